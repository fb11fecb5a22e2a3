"""The command line: parse, call one function, print. Heavy imports sit inside the commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from onnxcam import __version__, console, inquiries
from onnxcam.errors import OnnxCamError
from onnxcam.options import (
    SOURCE,
    AddOutputs,
    Alpha,
    AsJson,
    Channels,
    Check,
    Colormap,
    DynamicSize,
    Folder,
    InputSize,
    KeepOutputs,
    Labels,
    Layers,
    Legend,
    MethodName,
    Normalize,
    Of,
    Preprocess,
    Pretrained,
    Providers,
    Rules,
    Score,
    Targets,
    Threads,
    Weights,
    Wrt,
    asked,
    check_drawing,
    conversion,
    refuse_own_source,
    target_of,
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
    score: Score = None,
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
    given |= asked(outputs=add_output)
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


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="An explain graph, or a model, which is converted on the fly.")],
    images: Annotated[list[str], typer.Argument(help="Pictures, folders or globs.")],
    output: Folder = Path(),
    target: Targets = None,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="The K best classes of each picture.")] = 0,
    alpha: Alpha = 0.5,
    colormap: Colormap = None,
    blend: Annotated[str | None, typer.Option("--blend", help="How they mix: alpha, add, pytorch-grad-cam.")] = None,
    contour: Annotated[bool, typer.Option("--contour", help="Outline the hot region.")] = False,
    box: Annotated[bool, typer.Option("--box", help="A box around the hot region.")] = False,
    legend: Legend = False,
    save_heatmap: Annotated[bool, typer.Option("--save-heatmap", help="Also write STEM.npy: float32, H×W.")] = False,
    channels: Channels = 0,
    layer: Layers = None,
    method: MethodName = None,
    score: Score = None,
    normalize: Normalize = None,
    preprocess: Preprocess = None,
    labels: Labels = None,
    provider: Providers = None,
    threads: Threads = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    input_size: InputSize = None,
    keep_output: KeepOutputs = None,
    check: Check = True,
    as_json: AsJson = False,
) -> None:
    """Draw where the model looked, for each picture and target: STEM.cam.png, or STEM.CLASS.cam.png for several."""
    from onnxcam.folders import Style, explain_jobs, make_folder
    from onnxcam.jobs import find_jobs
    from onnxcam.metadata import is_explain_graph
    from onnxcam.opening import open_explainer, parts_for

    check_drawing(colormap, blend)
    jobs = find_jobs(images, output)
    targets = [target_of(text) for text in target or []] + [-rank for rank in range(1, top_k + 1)]
    build = asked(layer=layer, method=method, score=score, normalize=normalize) | conversion(
        weights=weights,
        pretrained=pretrained,
        input_size=input_size,
        dynamic_size=False,
        keep_outputs=keep_output,
        check=check,
    )
    run = asked(preprocess=preprocess, labels=labels, providers=provider, threads=threads)
    if channels and not is_explain_graph(model):
        build["outputs"] = parts_for(method)
    explainer = open_explainer(model, build, run, several=len(targets) > 1)
    for entry in targets:
        explainer.classes.number(entry)  # a class that does not exist is one error, not one a picture
    make_folder(output)
    style = Style(
        alpha, colormap, blend, contour=contour, box=box, legend=legend, save_heatmap=save_heatmap, channels=channels
    )
    with console.without_native_noise():
        results = console.progress(explain_jobs(explainer, jobs, targets, style), len(jobs))
        console.report(results, len(jobs), as_json=as_json)


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


for inquiry in (inquiries.layers, inquiries.methods, inquiries.doctor):
    app.command()(inquiry)
