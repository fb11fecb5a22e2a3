"""The options of the command line, each said once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from onnxcam.errors import (
    InputMismatch,
    InvalidGroup,
    NotAPair,
    OnlyForPictures,
    UnknownChoice,
    UnknownSize,
    WouldOverwriteModel,
)

SOURCE = (
    "A model: .onnx, .h5, .keras, .pt2, .pt, .pb, a SavedModel folder, timm:NAME, torchvision:NAME, hf:NAME, or "
    "package.module:function."
)
Layers = Annotated[list[str] | None, typer.Option("--layer", help="Layer to explain; several are fused.")]
MethodName = Annotated[str | None, typer.Option("--method", help="See `onnxcam methods`; gradcam by default.")]
Score = Annotated[
    str | None,
    typer.Option("--score", help="logit, probability, output, segmentation, detector, similarity; or an expression."),
]
Preprocess = Annotated[
    str | None, typer.Option("--preprocess", help="torchvision, caffe, tf, torch, unit, raw, letterbox; or JSON.")
]
Labels = Annotated[Path | None, typer.Option("--labels", help="Class names: one a line, or JSON.")]
Normalize = Annotated[str | None, typer.Option("--normalize", help="Whose convention scales the map to [0, 1].")]
Like = Annotated[
    str | None, typer.Option("--like", help="Give the numbers of: pytorch-grad-cam, torchcam, captum, tf-keras-vis.")
]
MethodOptions = Annotated[
    list[str] | None, typer.Option("--option", help="NAME=VALUE: an option of the method (`onnxcam methods`).")
]
Groups = Annotated[
    list[str] | None, typer.Option("--group", help="NAME=CLASSES: a sum of classes, as dog=151-268,537.")
]
Wrap = Annotated[str | None, typer.Option("--wrap", help="Many passes around the method: tta, or sess (scales).")]
TargetBox = Annotated[
    str | None, typer.Option("--target-box", help="X0,Y0,X1,Y1 in the photo's pixels: the detection that is meant.")
]
Region = Annotated[Path | None, typer.Option("--region", help="A mask of the photo: where a class is explained.")]
Reference = Annotated[
    Path | None, typer.Option("--reference", help="A picture, or a vector in a .npy file, to compare with.")
]
OtherInputs = Annotated[list[str] | None, typer.Option("--input", help="NAME=FILE.npy: another input of the model.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Providers = Annotated[list[str] | None, typer.Option("--provider", help="cpu, cuda, tensorrt, openvino …")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder for the results; made when missing.")]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", help='Class index or label, "not:A", "A-B", "A+B", or a rank: -1 the best.'),
]
Alpha = Annotated[float, typer.Option("--alpha", min=0, max=1, help="Weight of the heatmap, 0 to 1.")]
Colormap = Annotated[str | None, typer.Option("--colormap", help="Any of OpenCV's: viridis, jet, turbo …")]
Legend = Annotated[bool, typer.Option("--legend", help="A strip with class, score, method and layer.")]

Channels = Annotated[
    int, typer.Option("--channels", min=0, help="Also write STEM.channels.cam.png: the K strongest channels.")
]
ChannelView = Annotated[
    str | None, typer.Option("--channel-view", help="Their contribution (default) to the heatmap, or activation.")
]
Report = Annotated[
    Path | None, typer.Option("--report", help="Also write one HTML page of all results: sort, filter, compare.")
]
AddOutputs = Annotated[
    list[str] | None, typer.Option("--add-output", help="activation, gradient, raw_map, attribution: also give these.")
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


def wishes(*, like: str | None, option: list[str] | None, group: list[str] | None, wrap: str | None) -> dict[str, Any]:
    """What was said about the method, as arguments of `onnxcam.convert`; what was not is left out."""
    groups = {name: members(name, text) for name, text in pairs("--group", group).items()}
    return asked(like=like, options=pairs("--option", option) or None, groups=groups or None, wrap=wrap)


def pairs(flag: str, texts: list[str] | None) -> dict[str, str]:
    """NAME=VALUE, several times, by name.

    Raises:
        NotAPair: if one has no equals sign, or no name before it.
    """
    found = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise NotAPair(flag, text)
        found[name.strip()] = value.strip()
    return found


def members(name: str, text: str) -> list[int]:
    """Class indices from "151-268,537".

    Raises:
        InvalidGroup: if it is no list of whole numbers and ranges.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (entry.strip() for entry in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InvalidGroup(name, f"{part.strip()!r} is neither a class index nor a range FIRST-LAST")
        found.extend(range(int(first), int(last if dash else first) + 1))
    return found


def pointing(
    *, target_box: str | None, region: Path | None, reference: Path | None, inputs: list[str] | None
) -> dict[str, Any]:
    """What was said about a part of the picture, as arguments of an explainer's call; what was not is left out."""
    box = None if target_box is None else target_box.replace(" ", "").split(",")
    other = {name: array_of(name, Path(file)) for name, file in pairs("--input", inputs).items()}
    return asked(
        box=box,
        region=None if region is None else mask_of(region),
        reference=None if reference is None else reference_of(reference),
        inputs=other or None,
    )


def mask_of(path: Path) -> Any:
    """A mask (H, W) in [0, 1]: the brightness of a picture, or the array of a .npy file."""
    if path.suffix == ".npy":
        return array_of("region", path)
    from onnxcam.images import read

    return read(str(path)).mean(axis=2) / 255


def reference_of(path: Path) -> Any:
    """The vector in a .npy file, or the path of a picture."""
    return array_of("reference", path) if path.suffix == ".npy" else str(path)


def array_of(name: str, path: Path) -> Any:
    """The array in a .npy file; nothing in it is executed.

    Raises:
        InputMismatch: if there is none.
    """
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputMismatch(name, f"cannot be read from {str(path)!r} as a .npy file ({error})") from error


def asked(**options: Any) -> dict[str, Any]:
    """The options that were given, so that the library's own defaults hold for the others."""
    empty = [name for name, value in options.items() if value is None or (isinstance(value, list) and not value)]
    return {name: value for name, value in options.items() if name not in empty}


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


def refuse_of_arrays(given: Mapping[str, object], wanted: str) -> None:
    """Refuses what only pictures can have, where the model takes signals or volumes: `wanted` says what."""
    for what, value in given.items():
        if value:
            raise OnlyForPictures(what, wanted)


def check_drawing(colormap: str | None, blend: str | None, channel_view: str | None = None) -> None:
    """Refuses a colour map, blend rule or view that does not exist, before any work is done."""
    from onnxcam.channels import KINDS
    from onnxcam.overlay import BLENDS, COLORMAPS

    choices: list[tuple[str, str | None, Iterable[str]]] = [
        ("colour map", colormap, COLORMAPS),
        ("blend rule", blend, BLENDS),
        ("view of channels", channel_view, KINDS),
    ]
    for kind, name, known in choices:
        if name is not None and name.lower() not in known:
            raise UnknownChoice(kind, name, known)
