"""Options that stand by themselves in some command, each said once; and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxcam.errors import NotAPair, SaidTwice, WouldOverwriteModel

SOURCE = (
    "A model: .onnx, .h5, .keras, .pt2, .pt, .pb, a SavedModel folder, timm:NAME, torchvision:NAME, hf:NAME, or "
    "package.module:function."
)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="Folder for the results; made when missing.")]
Report = Annotated[
    Path | None, typer.Option("--report", help="Also write one HTML page of all results: sort, filter, compare.")
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", help='Class index or label, "not:A", "A-B", "A+B", "A+B-C", or a rank: -1 the best.'),
]
Score = Annotated[
    str | None,
    typer.Option("--score", help="logit, probability, output, segmentation, detector, similarity; or an expression."),
]
Wrap = Annotated[
    str | None, typer.Option("--wrap", help="Many passes around a method of one pass: tta, or sess (scales).")
]
Alpha = Annotated[float, typer.Option("--alpha", min=0, max=1, help="Weight of the heatmap, 0 to 1.")]
Providers = Annotated[list[str] | None, typer.Option("--provider", help="cpu, cuda, tensorrt, openvino …")]
KeepOutputs = Annotated[list[str] | None, typer.Option("--keep-output", help="Which output of a TensorFlow graph.")]
DynamicSize = Annotated[bool, typer.Option("--dynamic-size", help="Leave height and width open.")]


def asked(**options: Any) -> dict[str, Any]:
    """The options that were given, so that the library's own defaults hold for the others."""
    empty = [name for name, value in options.items() if value is None or (isinstance(value, list) and not value)]
    return {name: value for name, value in options.items() if name not in empty}


def pairs(flag: str, texts: list[str] | None) -> dict[str, str]:
    """NAME=VALUE, several times, by name.

    Raises:
        NotAPair: if one has no equals sign, or no name before it.
        SaidTwice: if a name comes again.
    """
    found = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise NotAPair(flag, text)
        if name.strip() in found:
            raise SaidTwice(flag, name.strip())
        found[name.strip()] = value.strip()
    return found


def targets_of(texts: list[str] | None, top_k: int) -> list[int | str]:
    """The targets that were said, then the K best as ranks."""
    return [*map(target_of, texts or ()), *(-rank for rank in range(1, top_k + 1))]


def target_of(text: str) -> int | str:
    """A number as a class index or rank, anything else as a label."""
    try:
        return int(text)
    except ValueError:
        return text


def refuse_own_source(source: str, output: Path) -> None:
    """Refuses to write over the model that is read."""
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise WouldOverwriteModel(str(output))
