"""The command line: parse, call one function, print. Heavy imports sit inside the commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from onnxcam import __version__, console, inquiries
from onnxcam.commands.compare import compare
from onnxcam.commands.evaluate import evaluate, metrics
from onnxcam.commands.explain import explain
from onnxcam.commands.factorize import factorize
from onnxcam.errors import OnnxCamError
from onnxcam.options import (
    SOURCE,
    AddOutputs,
    AsJson,
    Check,
    DynamicSize,
    Folder,
    Groups,
    InputSize,
    KeepOutputs,
    Labels,
    Layers,
    Like,
    MethodName,
    MethodOptions,
    Normalize,
    Of,
    Preprocess,
    Pretrained,
    Rules,
    Score,
    Weights,
    Wrap,
    Wrt,
    asked,
    conversion,
    refuse_own_source,
    wishes,
)

app = typer.Typer(
    name="onnxcam",
    help="Where did the model look? Heatmaps for any ONNX vision model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Runs the command line; errors of ours are one line on stderr and exit code 1."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    try:
        app()
    except OnnxCamError as error:
        console.complain(error)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Where did the model look? Heatmaps for any ONNX vision model."""
    if version:
        print(f"onnxcam {__version__}")
        raise typer.Exit


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help=SOURCE)],
    output: Annotated[Path, typer.Option("-o", "--output", help="The explain graph to write.")],
    layer: Layers = None,
    method: MethodName = None,
    option: MethodOptions = None,
    like: Like = None,
    wrap: Wrap = None,
    score: Score = None,
    group: Groups = None,
    preprocess: Preprocess = None,
    labels: Labels = None,
    normalize: Normalize = None,
    add_output: AddOutputs = None,
    multi_target: Annotated[bool, typer.Option("--multi-target", help="K targets an image in one run.")] = False,
    weights: Weights = None,
    pretrained: Pretrained = False,
    input_size: InputSize = None,
    dynamic_size: DynamicSize = False,
    keep_output: KeepOutputs = None,
    check: Check = True,
    as_json: AsJson = False,
) -> None:
    """Write the explain graph of a model: image in; scores, class and heatmap out."""
    from onnxcam import api
    from onnxcam.opening import refuse_explain_graph, tell_label_list, tell_story

    refuse_explain_graph(source)
    refuse_own_source(source, output)
    given = asked(layer=layer, method=method, score=score, normalize=normalize, preprocess=preprocess, labels=labels)
    given |= asked(outputs=add_output) | wishes(like=like, option=option, group=group, wrap=wrap)
    given |= conversion(
        weights=weights,
        pretrained=pretrained,
        input_size=input_size,
        dynamic_size=dynamic_size,
        keep_outputs=keep_output,
        check=check,
    )
    with console.without_native_noise():
        graph = api.convert(source, **given, multi_target=multi_target)
    graph.save(output)
    found = graph.metadata
    tell_story(found)
    tell_label_list(found)
    if found.batch:
        console.note(f"the batch stays fixed at 1: {found.batch}")
    if found.preprocessing is None:
        console.note("how pixels become input is not stored; --preprocess stores it, else it is said at every run")
    row: dict[str, Any] = {
        "output": str(output),
        "method": found.method,
        "layer": ", ".join(found.layers),
        "classes": found.classes,
    }
    if as_json and found.conversion:
        row["conversion"] = dict(found.conversion)
    console.show(row, as_json=as_json)


app.command()(explain)
app.command()(compare)
app.command()(factorize)


@app.command()
def gradient(
    source: Annotated[str, typer.Argument(help=SOURCE)],
    output: Annotated[Path, typer.Option("-o", "--output", help="The model with gradients to write.")],
    of: Of = None,
    wrt: Wrt = None,
    rules: Rules = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    input_size: InputSize = None,
    dynamic_size: DynamicSize = False,
    as_json: AsJson = False,
) -> None:
    """Write the model with the gradient of a tensor appended: input cotangent, outputs gradient/NAME."""
    from onnxcam import gradients
    from onnxcam.conversion import Request
    from onnxcam.graph import write

    refuse_own_source(source, output)
    said = conversion(
        weights=weights,
        pretrained=pretrained,
        input_size=input_size,
        dynamic_size=dynamic_size,
        keep_outputs=None,
        check=True,
    )
    with console.without_native_noise():
        model = gradients.gradient(Request(source=source, **said), of, wrt or None, rules)
    write(model, output)
    added = [info.name for info in model.graph.output if info.name.startswith(gradients.PREFIX)]
    row = {"output": str(output), "gradients": added if as_json else ", ".join(added)}
    console.show(row, as_json=as_json)


@app.command()
def demo(output: Folder = Path("onnxcam-demo"), as_json: AsJson = False) -> None:
    """Explain the digits of a picture with the small net that comes along; works offline."""
    from onnxcam.demo import explain_scene

    records = explain_scene(output)
    console.report(iter([[record] for record in records]), len(records), as_json=as_json)


for command in (evaluate, inquiries.layers, inquiries.methods, metrics, inquiries.doctor):
    app.command()(command)
