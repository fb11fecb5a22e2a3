"""The options of the command line, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxcam.errors import UnknownChoice, UnknownSize, WouldOverwriteModel

SOURCE = (
    "A model: .onnx, .h5, .keras, .pt2, .pt, .pb, a SavedModel folder, timm:NAME, torchvision:NAME, hf:NAME, or "
    "package.module:function."
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

Channels = Annotated[
    int, typer.Option("--channels", min=0, help="Also write STEM.channels.cam.png: the K strongest channels.")
]
AddOutputs = Annotated[
    list[str] | None, typer.Option("--add-output", help="activation, gradient, raw_map: also give these.")
]
Weights = Annotated[Path | None, typer.Option("--weights", help="Weights of an architecture: .safetensors, .pth, .h5.")]
Pretrained = Annotated[bool, typer.Option("--pretrained", help="The weights that the factory's owner publishes.")]
InputSize = Annotated[str | None, typer.Option("--input-size", help="HEIGHT,WIDTH where the source leaves it open.")]
DynamicSize = Annotated[bool, typer.Option("--dynamic-size", help="Leave height and width open.")]
KeepOutputs = Annotated[list[str] | None, typer.Option("--keep-output", help="Which output of a TensorFlow graph.")]
Check = Annotated[bool, typer.Option("--check/--no-check", help="Compare what was converted with its framework.")]
Of = Annotated[str | None, typer.Option("--of", help="The tensor to differentiate; the first output by default.")]
Wrt = Annotated[
    list[str] | None, typer.Option("--wrt", help="Tensors to differentiate by; every float input by default.")
]
Rules = Annotated[
    str | None, typer.Option("--rules", help="A modified backward pass: guided, deconvnet, lrp-epsilon …")
]


def conversion(
    *,
    weights: Path | None,
    pretrained: bool,
    input_size: str | None,
    dynamic_size: bool,
    keep_outputs: list[str] | None,
    check: bool,
) -> dict[str, Any]:
    """What was said about converting, as arguments of `onnxcam.convert`; what was not is left out."""
    said = {
        "weights": weights,
        "pretrained": pretrained or None,
        "input_size": size(input_size) if input_size else None,
        "dynamic_size": dynamic_size or None,
        "keep_outputs": keep_outputs,
        "check": None if check else False,
    }
    return asked(**said)


def asked(**options: Any) -> dict[str, Any]:
    """The options that were given, so that the library's own defaults hold for the others."""
    return {name: value for name, value in options.items() if value is not None and value != []}


def size(text: str) -> tuple[int, int]:
    """(height, width) from "224", "224,320" or "224x320".

    Raises:
        UnknownSize: if it is neither.
    """
    sides = text.lower().replace("x", ",").split(",")
    if len(sides) > 2 or not all(side.strip().isdecimal() and int(side) > 0 for side in sides):
        raise UnknownSize(text)
    return int(sides[0]), int(sides[-1])


def refuse_own_source(source: str, output: Path) -> None:
    """Refuses to write over the model that is read."""
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise WouldOverwriteModel(str(output))


def target_of(text: str) -> int | str:
    """A number as a class index or rank, anything else as a label."""
    try:
        return int(text)
    except ValueError:
        return text


def check_drawing(colormap: str | None, blend: str | None) -> None:
    """Refuses a colour map or blend rule that does not exist, before any work is done."""
    from onnxcam.overlay import BLENDS, COLORMAPS

    for kind, name, known in (("colour map", colormap, COLORMAPS), ("blend rule", blend, BLENDS)):
        if name is not None and name.lower() not in known:
            raise UnknownChoice(kind, name, known)
