"""What is explained, where in the model, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from onnxcam.errors import InvalidGroup
from onnxcam.options.single import Score, Wrap, asked, pairs


@dataclass(frozen=True)
class Shaping:
    """What methods are told, and what they are asked about beside the classes."""

    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="NAME=VALUE: an option of the method, or of --wrap (`onnxcam methods`)."),
    ] = None
    like: Annotated[
        str | None,
        typer.Option("--like", help="Give the numbers of: pytorch-grad-cam, torchcam, captum, tf-keras-vis."),
    ] = None
    group: Annotated[
        list[str] | None, typer.Option("--group", help="NAME=CLASSES: a sum of classes, as dog=151-268,537.")
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Those of `onnxcam.convert`; what was not said is left out."""
        groups = {name: members(name, text) for name, text in pairs("--group", self.group).items()}
        return asked(options=pairs("--option", self.option) or None, like=self.like, groups=groups or None)


@dataclass(frozen=True)
class Building(Shaping):
    """Where a model is explained, and by which method."""

    layer: Annotated[list[str] | None, typer.Option("--layer", help="Layer to explain; several are fused.")] = None
    method: Annotated[str | None, typer.Option("--method", help="See `onnxcam methods`; gradcam by default.")] = None
    wrap: Wrap = None

    def arguments(self) -> dict[str, Any]:
        """Those of `onnxcam.convert`; what was not said is left out."""
        return asked(layer=self.layer, method=self.method, wrap=self.wrap) | super().arguments()


@dataclass(frozen=True)
class Scoring:
    """Which number is explained, and how its map is scaled."""

    score: Score = None
    normalize: Annotated[str | None, typer.Option("--normalize", help="Whose convention scales the map to [0, 1].")] = (
        None
    )

    def arguments(self) -> dict[str, Any]:
        """Those of `onnxcam.convert`; what was not said is left out."""
        return asked(score=self.score, normalize=self.normalize)


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
