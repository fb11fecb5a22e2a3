"""How heatmaps are drawn, and what is written beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxcam.errors import OnlyForPictures, UnknownChoice
from onnxcam.options.single import Alpha, asked

if TYPE_CHECKING:
    from onnxcam.records import Style


@dataclass(frozen=True)
class Colouring:
    """How a heatmap is laid over its picture."""

    alpha: Alpha = 0.5
    colormap: Annotated[str | None, typer.Option("--colormap", help="Any of OpenCV's: viridis, jet, turbo …")] = None

    def arguments(self) -> dict[str, Any]:
        """Those of `Explanation.overlay`; what was not said is left out."""
        return asked(alpha=self.alpha, colormap=self.colormap)

    def check(self) -> None:
        """Refuses a colour map that does not exist, before any work is done.

        Raises:
            UnknownChoice: if it does not.
        """
        from onnxcam.overlay import COLORMAPS

        check_choice("colour map", self.colormap, COLORMAPS)


@dataclass(frozen=True)
class Drawing(Colouring):
    """How a heatmap is laid over its picture, what is drawn around it, and what else is written of it."""

    blend: Annotated[str | None, typer.Option("--blend", help="How they mix: alpha, add, pytorch-grad-cam.")] = None
    contour: Annotated[bool, typer.Option("--contour", help="Outline the hot region.")] = False
    box: Annotated[bool, typer.Option("--box", help="A box around the hot region.")] = False
    detection: Annotated[
        bool, typer.Option("--detection/--no-detection", help="The box of the detection that is explained, in green.")
    ] = True
    legend: Annotated[bool, typer.Option("--legend", help="A strip with class, score, method and layer.")] = False
    save_heatmap: Annotated[bool, typer.Option("--save-heatmap", help="Also write STEM.npy, float32, H×W.")] = False
    channels: Annotated[
        int, typer.Option("--channels", min=0, help="Also write STEM.channels.cam.png: the K strongest channels.")
    ] = 0
    channel_view: Annotated[
        str | None, typer.Option("--channel-view", help="Their contribution (default) to the heatmap, or activation.")
    ] = None

    def check(self) -> None:
        """Refuses a colour map, blend rule or view that does not exist, before any work is done.

        Raises:
            UnknownChoice: if one does not.
            typer.BadParameter: if there is a view of no channels.
        """
        from onnxcam.channels import KINDS
        from onnxcam.overlay import BLENDS

        super().check()
        check_choice("blend rule", self.blend, BLENDS)
        check_choice("view of channels", self.channel_view, KINDS)
        if self.channel_view and not self.channels:
            raise typer.BadParameter("it needs --channels K", param_hint="--channel-view")

    def style(self) -> Style:
        """The same for `onnxcam.folders`."""
        from onnxcam.records import Style

        return Style(**asdict(self))

    def of_pictures(self) -> dict[str, object]:
        """What only pictures can have, by option."""
        return {"--contour": self.contour, "--box": self.box, "--blend": self.blend, "--channels": self.channels}

    def of_stills(self) -> dict[str, object]:
        """What films cannot have, by option."""
        return {"--channels": self.channels, "--save-heatmap": self.save_heatmap}


def refuse_of_films(given: Mapping[str, object]) -> None:
    """Refuses what is written beside a picture and not beside a film.

    Raises:
        typer.BadParameter: if it was asked for.
    """
    for what, value in given.items():
        if value:
            raise typer.BadParameter("it is for pictures, and there is a film among them", param_hint=what)


def check_choice(kind: str, name: str | None, known: Iterable[str]) -> None:
    """Refuses what is not among the known."""
    if name is not None and name.lower() not in known:
        raise UnknownChoice(kind, name, known)


def refuse_of_arrays(given: Mapping[str, object], wanted: str) -> None:
    """Refuses what only pictures can have, where the model takes signals or volumes: `wanted` says what."""
    for what, value in given.items():
        if value:
            raise OnlyForPictures(what, wanted)
