"""The command line: parse, call one function, print. Heavy imports sit inside the commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from onnxcam import __version__, console
from onnxcam.errors import OnnxCamError, UnknownChoice, WouldOverwriteModel

app = typer.Typer(
    name="onnxcam",
    help="Where did the model look? Heatmaps for any ONNX vision model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Layers = Annotated[list[str] | None, typer.Option("--layer", help="Layer to explain; several are fused.")]
MethodName = Annotated[str | None, typer.Option("--method", help="See `onnxcam methods`; gradcam by default.")]
Score = Annotated[
    str | None, typer.Option("--score", help='"logit" (default), or "probability": the softmax or sigmoid itself.')
]
Preprocess = Annotated[
    str | None, typer.Option("--preprocess", help="torchvision, caffe, tf, torch, unit, raw, letterbox; or JSON.")
]
Labels = Annotated[Path | None, typer.Option("--labels", help="Class names: one a line, or JSON.")]
Normalize = Annotated[str | None, typer.Option("--normalize", help="Whose convention scales the map to [0, 1].")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Providers = Annotated[list[str] | None, typer.Option("--provider", help="cpu, cuda, tensorrt, openvino …")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder for the results; made when missing.")]
Targets = Annotated[
    list[str] | None, typer.Option("--target", help='Class index or label, "not:…", or a rank: -1 the best.')
]
Alpha = Annotated[float, typer.Option("--alpha", min=0, max=1, help="Weight of the heatmap, 0 to 1.")]
Colormap = Annotated[str | None, typer.Option("--colormap", help="Any of OpenCV's: viridis, jet, turbo …")]
Legend = Annotated[bool, typer.Option("--legend", help="A strip with class, score, method and layer.")]


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
    source: Annotated[str, typer.Argument(help="An ONNX model.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The explain graph to write.")],
    layer: Layers = None,
    method: MethodName = None,
    score: Score = None,
    preprocess: Preprocess = None,
    labels: Labels = None,
    normalize: Normalize = None,
    multi_target: Annotated[bool, typer.Option("--multi-target", help="K targets an image in one run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the explain graph of a model: image in; scores, class and heatmap out."""
    from onnxcam import api
    from onnxcam.opening import refuse_explain_graph

    refuse_explain_graph(source)
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise WouldOverwriteModel(str(output))
    given = asked(layer=layer, method=method, score=score, normalize=normalize, preprocess=preprocess, labels=labels)
    graph = api.convert(source, **given, multi_target=multi_target)
    graph.save(output)
    found = graph.metadata
    if found.batch:
        console.note(f"the batch stays fixed at 1: {found.batch}")
    if found.preprocessing is None:
        console.note("how pixels become input is not stored; --preprocess stores it, else it is said at every run")
    row = {"output": str(output), "method": found.method, "layer": ", ".join(found.layers), "classes": found.classes}
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
    layer: Layers = None,
    method: MethodName = None,
    score: Score = None,
    preprocess: Preprocess = None,
    labels: Labels = None,
    provider: Providers = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Draw where the model looked, for each picture and target: STEM.cam.png, or STEM.CLASS.cam.png for several."""
    from onnxcam.folders import Style, explain_jobs, find_jobs, make_folder
    from onnxcam.opening import open_explainer

    check_drawing(colormap, blend)
    jobs = find_jobs(images, output)
    targets = [_target(text) for text in target or []] + [-rank for rank in range(1, top_k + 1)]
    build = asked(layer=layer, method=method, score=score)
    run = asked(preprocess=preprocess, labels=labels, providers=provider, threads=threads)
    explainer = open_explainer(model, build, run, several=len(targets) > 1)
    for entry in targets:
        explainer.classes.number(entry)  # a class that does not exist is one error, not one a picture
    make_folder(output)
    style = Style(alpha, colormap, blend, contour=contour, box=box, legend=legend, save_heatmap=save_heatmap)
    with console.without_native_noise():
        results = console.progress(explain_jobs(explainer, jobs, targets, style), len(jobs))
        console.report(results, len(jobs), as_json=as_json)


@app.command()
def layers(model: Annotated[str, typer.Argument(help="An ONNX model.")], as_json: AsJson = False) -> None:
    """List what can be explained, the default (marked *) first."""
    from onnxcam import api
    from onnxcam.opening import refuse_explain_graph

    refuse_explain_graph(model)
    found = api.layers(model)
    width = max(len(layer.name) for layer in found)
    for layer in found:
        row = {
            "name": layer.name,
            "tensor": layer.tensor,
            "shape": list(layer.shape),
            "layout": layer.layout,
            "default": layer.is_default,
            "reason": layer.reason,
        }
        mark = "*" if layer.is_default else " "
        text = f"{mark} {layer.name:{width}}  {_dims(layer.shape):16}  {layer.layout}  {layer.reason}"
        console.answer(json.dumps(row, ensure_ascii=False) if as_json else text)


@app.command()
def methods(as_json: AsJson = False) -> None:
    """List the methods."""
    from onnxcam.methods import METHODS

    for method in METHODS.values():
        row = {"name": method.name, "gradient": method.needs_gradient}
        row |= {"summary": method.summary, "source": method.source}
        text = f"{method.name:20} {method.summary} [{method.source}]"
        console.answer(json.dumps(row, ensure_ascii=False) if as_json else text)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, which providers and converters there are, and whether they work."""
    from onnxcam.diagnosis import diagnose

    findings = diagnose()
    for finding in findings:
        console.answer(json.dumps(finding.to_dict()) if as_json else str(finding))
    if any(not finding.is_fine for finding in findings):
        raise typer.Exit(1)


@app.command()
def demo(output: Folder = Path("onnxcam-demo"), as_json: AsJson = False) -> None:
    """Explain the digits of a picture with the small net that comes along; works offline."""
    from onnxcam.demo import explain_scene

    records = explain_scene(output)
    console.report(iter([[record] for record in records]), len(records), as_json=as_json)


def check_drawing(colormap: str | None, blend: str | None) -> None:
    """Refuses a colour map or blend rule that does not exist, before any work is done."""
    from onnxcam.overlay import BLENDS, COLORMAPS

    for kind, name, known in (("colour map", colormap, COLORMAPS), ("blend rule", blend, BLENDS)):
        if name is not None and name.lower() not in known:
            raise UnknownChoice(kind, name, known)


def asked(**options: Any) -> dict[str, Any]:
    """The options that were given, so that the library's own defaults hold for the others."""
    return {name: value for name, value in options.items() if value is not None and value != []}


def _target(text: str) -> int | str:
    """A number as a class index or rank, anything else as a label."""
    try:
        return int(text)
    except ValueError:
        return text


def _dims(shape: Iterable[Any]) -> str:
    return "×".join("?" if n is None else str(n) for n in shape)
