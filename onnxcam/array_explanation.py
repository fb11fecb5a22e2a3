"""Where the model looked in one signal or volume, for one target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onnxcam import signals, volumes
from onnxcam.errors import InvalidSlice
from onnxcam.explanation import OUTLIERS, AnyExplanation
from onnxcam.images import Image
from onnxcam.legend import with_legend
from onnxcam.overlay import DEFAULT_COLORMAP, coloured, drawable, saturated
from onnxcam.picture import Picture

MOST = 16  # channels of a signal in one drawing
SLICES = 16


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ArrayExplanation(AnyExplanation, ABC):
    """A heatmap, what it stands for, and whether it can be trusted; fields mean what those of `Explanation` do.

    Attributes:
        heatmap: float32 (L,) or (D, H, W), on the array's own values; 0 where the map is not finite.
        map: the same as the graph gave it.
        array: float32 (C, L) or (C, D, H, W): what was explained, with its channels first.
    """

    array: NDArray[np.float32]

    @property
    def shown(self) -> NDArray[np.float32]:
        """The heatmap in [0, 1] as it is drawn: of attributions, which have few high peaks, the top per cent is 1."""
        return saturated(drawable(self.heatmap), OUTLIERS if self.attribution is not None else 0.0)

    @abstractmethod
    def sheet(self, alpha: float = 0.5, colormap: str | None = None, *, legend: bool = False) -> Picture:
        """The whole of it in one picture, as the command line writes it."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SignalExplanation(ArrayExplanation):
    """An `ArrayExplanation` of a signal: heatmap (L,), array (C, L)."""

    def overlay(
        self,
        alpha: float = 0.5,
        colormap: str | None = None,
        *,
        rate: float | None = None,
        channels: Sequence[int] | None = None,
        names: Sequence[str] | None = None,
        legend: bool = False,
    ) -> Picture:
        """A line for each channel, shaded by the heatmap, which stands below as a curve.

        Args:
            alpha: weight of the shade, 0 (white) to 1.
            colormap: any of OpenCV's by name; by default white over yellow to red.
            rate: samples a second, for an axis in seconds.
            channels: which are drawn; by default the first `MOST`.
            names: of all channels.
            legend: say class, score, method and layer at the top.

        Raises:
            InvalidSlice: for a channel that there is not, names that are not one each, or a rate not above 0.
            UnknownChoice: for a colour map that does not exist.
        """
        count = len(self.array)
        chosen = list(range(min(count, MOST)) if channels is None else channels)
        if not chosen or not all(0 <= channel < count for channel in chosen):
            raise InvalidSlice(f"no channels {chosen}: there are {count}, counted from 0")
        if names is not None and len(names) != count:
            raise InvalidSlice(f"{len(names)} names for {count} channels")
        if rate is not None and not rate > 0:
            raise InvalidSlice(f"a rate of {rate} samples a second leads nowhere")
        lines = [
            signals.Line(names[channel] if names else f"channel {channel}", self.array[channel]) for channel in chosen
        ]
        note = self.told if legend else []
        if len(chosen) < count:
            note = [*note, f"{len(chosen)} of {count} channels"]
        colours = signals.on_paper if colormap is None else partial(coloured, colormap=colormap)
        return Picture(signals.draw(lines, self.shown, alpha=alpha, colours=colours, rate=rate, note=note))

    def sheet(self, alpha: float = 0.5, colormap: str | None = None, *, legend: bool = False) -> Picture:
        """The whole of it in one picture: the same as `overlay`."""
        return self.overlay(alpha, colormap, legend=legend)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VolumeExplanation(ArrayExplanation):
    """An `ArrayExplanation` of a volume or video: heatmap (D, H, W), array (C, D, H, W).

    Slices lie across an axis: 0, the depth of a volume or the frames of a video; 1, its rows; 2, its columns. Three
    channels are drawn as colours, of others the mean, or the one asked for.
    """

    def strongest(self, axis: int = 0) -> int:
        """The slice that the heatmap has most of: what `overlay` draws."""
        return volumes.strongest(self.shown, axis)

    def overlay(
        self,
        alpha: float = 0.5,
        colormap: str = DEFAULT_COLORMAP,
        *,
        slice: int | None = None,  # noqa: A002 - it is what everybody calls it
        axis: int = 0,
        blend: str = "alpha",
        channel: int | None = None,
        legend: bool = False,
    ) -> Picture:
        """One slice with the heatmap laid over it, and its number.

        Args:
            alpha: weight of the heatmap's colours, 0 (only the slice) to 1.
            colormap: any of OpenCV's by name.
            slice: its number, from the end if negative; by default the strongest.
            axis: 0, 1 or 2.
            blend: one of `overlay.BLENDS`.
            channel: the one to draw.
            legend: add a strip with class, score, method and layer.

        Raises:
            InvalidSlice: for a slice, axis or channel that there is not.
            UnknownChoice: for a colour map or blend rule that does not exist.
        """
        at = self.strongest(axis) if slice is None else slice
        image, heat = volumes.slice_of(volumes.greys(self.array, channel), self.shown, axis=axis, at=at)
        name = f"{at % self.heatmap.shape[axis]}"
        look = volumes.Look(alpha, colormap, blend)
        return self._finished(volumes.laid(image, heat, look, side=volumes.WHOLE, name=name), colormap, legend)

    def projection(
        self,
        alpha: float = 0.5,
        colormap: str = DEFAULT_COLORMAP,
        *,
        axis: int = 0,
        how: str = "maximum",
        blend: str = "alpha",
        channel: int | None = None,
        legend: bool = False,
    ) -> Picture:
        """The volume seen along an axis, "maximum" or "mean" of its slices, and the heatmap likewise.

        The mean of the heatmap is drawn over its own largest value. Arguments and errors as of `overlay`.
        """
        image, heat = volumes.projected(volumes.greys(self.array, channel), self.shown, axis=axis, how=how)
        look = volumes.Look(alpha, colormap, blend)
        return self._finished(volumes.laid(image, heat, look, side=volumes.WHOLE), colormap, legend)

    def mosaic(
        self,
        alpha: float = 0.5,
        colormap: str = DEFAULT_COLORMAP,
        *,
        count: int = SLICES,
        axis: int = 0,
        blend: str = "alpha",
        channel: int | None = None,
        legend: bool = False,
    ) -> Picture:
        """Numbered slices or frames at even distances; the strongest is among them, in a frame.

        There are `count`, or as many as the axis is long. Other arguments and errors are as of `overlay`.
        """
        best = self.strongest(axis)
        places = volumes.spread(self.heatmap.shape[axis], count, best)
        pixels, look = volumes.greys(self.array, channel), volumes.Look(alpha, colormap, blend)
        drawn = volumes.sheet(pixels, self.shown, look, axis=axis, places=places, framed=best)
        return self._finished(drawn, colormap, legend)

    def sheet(self, alpha: float = 0.5, colormap: str | None = None, *, legend: bool = False) -> Picture:
        """The whole of it in one picture: a mosaic along the first axis."""
        return self.mosaic(alpha, colormap or DEFAULT_COLORMAP, legend=legend)

    def _finished(self, image: Image, colormap: str, legend: bool) -> Picture:
        return Picture(with_legend(image, self.told, colormap=colormap) if legend else image)
