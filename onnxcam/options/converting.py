"""How what the user has becomes ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from onnxcam.errors import UnknownSize
from onnxcam.options.single import KeepOutputs, asked


@dataclass(frozen=True)
class Opening:
    """What a source leaves open."""

    weights: Annotated[
        Path | None, typer.Option("--weights", help="Weights of an architecture: .safetensors, .pth, .h5.")
    ] = None
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="The weights that the factory's owner publishes.")
    ] = False
    input_size: Annotated[
        str | None, typer.Option("--input-size", help="HEIGHT,WIDTH where the source leaves it open.")
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Those of `onnxcam.convert`; what was not said is left out."""
        sides = size(self.input_size) if self.input_size else None
        return asked(weights=self.weights, pretrained=self.pretrained or None, input_size=sides)


@dataclass(frozen=True)
class Conversion(Opening):
    """What a source leaves open, what is kept of it, and whether the result is compared with it."""

    keep_output: KeepOutputs = None
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare what was converted with its framework.")
    ] = True

    def arguments(self) -> dict[str, Any]:
        """Those of `onnxcam.convert`; what was not said is left out."""
        return super().arguments() | asked(keep_outputs=self.keep_output, check=None if self.check else False)


def size(text: str) -> tuple[int, int]:
    """(height, width) from "224", "224,320" or "224x320".

    Raises:
        UnknownSize: if it is neither.
    """
    sides = text.lower().replace("x", ",").split(",")
    if len(sides) > 2 or not all(side.strip().isdecimal() and int(side) > 0 for side in sides):
        raise UnknownSize(text)
    return int(sides[0]), int(sides[-1])
