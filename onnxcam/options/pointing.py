"""What of a picture is meant, and what else goes into the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from onnxcam.options.single import asked, pairs

OtherInputs = Annotated[list[str] | None, typer.Option("--input", help="NAME=FILE.npy: another input of the model.")]


@dataclass(frozen=True)
class Accompanying:
    """Over which part of pictures a class is explained, in comparison with what, and beside which other inputs."""

    region: Annotated[
        Path | None, typer.Option("--region", help="A mask of the photo: where a class is explained.")
    ] = None
    reference: Annotated[
        Path | None, typer.Option("--reference", help="A picture, or a vector in a .npy file, to compare with.")
    ] = None
    other_input: OtherInputs = None

    def arguments(self) -> dict[str, Any]:
        """Those of an explainer's call, with what the files hold; what was not said is left out."""
        from onnxcam.guides import mask_of

        return asked(
            region=None if self.region is None else mask_of(self.region),
            reference=None if self.reference is None else reference_of(self.reference),
            inputs=inputs_of(self.other_input) or None,
        )


@dataclass(frozen=True)
class Pointing(Accompanying):
    """The same of a picture in which a detection may be meant."""

    target_box: Annotated[
        str | None, typer.Option("--target-box", help="X0,Y0,X1,Y1 in the photo's pixels: the detection that is meant.")
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Those of an explainer's call, with what the files hold; what was not said is left out."""
        box = None if self.target_box is None else self.target_box.replace(" ", "").split(",")
        return asked(box=box) | super().arguments()


def inputs_of(texts: list[str] | None) -> dict[str, Any]:
    """The model's other inputs by name, from NAME=FILE.npy.

    Raises:
        NotAPair, SaidTwice: for a text that is none, or a name that comes again.
        InputMismatch: for a file that is no array.
    """
    from onnxcam.fillings import array_in

    return {name: array_in(file, name) for name, file in pairs("--input", texts).items()}


def reference_of(path: Path) -> Any:
    """The vector in a .npy file, or the path of a picture.

    Raises:
        InputMismatch: for a .npy file that is no array.
    """
    from onnxcam.fillings import array_in

    return array_in(str(path), "reference") if path.suffix == ".npy" else str(path)
