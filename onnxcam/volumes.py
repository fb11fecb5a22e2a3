"""A volume, or the frames of a video, as pictures: slices, projections, and a sheet of slices with the heatmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import InvalidSlice
from onnxcam.geometry import stretched
from onnxcam.images import Image
from onnxcam.legend import FONT, PAPER
from onnxcam.overlay import blend

Floats: TypeAlias = NDArray[np.float32]

TILE, WHOLE = 200, 560  # pixels of the longer side: of a slice among others, and of one alone
GAP = 4
DARKEST, LIGHTEST = 0.5, 99.5  # percentiles of the volume that are drawn black and white
ENOUGH = 1_000_000  # values that percentiles are taken of
SCALE = 0.45
FRAME = (255, 140, 0)  # around the slice that the heatmap has most of
REDUCTIONS: dict[str, Callable[[NDArray[Any], int], NDArray[Any]]] = {
    "maximum": lambda values, axis: np.asarray(values.max(axis)),
    "mean": lambda values, axis: np.asarray(values.mean(axis, dtype=np.float32)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How heatmaps are laid over slices: weight of the colours, colour map, and one of `overlay.BLENDS`."""

    alpha: float
    colormap: str
    rule: str = "alpha"


def greys(volume: Floats, channel: int | None = None) -> NDArray[np.uint8]:
    """The volume (C, D, H, W) in 256 steps, (D, H, W, 3): three channels as colours, of others their mean.

    Args:
        volume: in any units; the darkest and lightest half per cent are cut.
        channel: the one to draw alone.

    Raises:
        InvalidSlice: if there is no such channel.
    """
    if channel is not None:
        volume = volume[_within("channel", channel, len(volume))][None]
    shown = volume if len(volume) == 3 else volume.mean(axis=0, keepdims=True)
    some = shown.ravel()[:: max(1, shown.size // ENOUGH)]
    low, high = np.percentile(some, [DARKEST, LIGHTEST])
    if high <= low:
        low, high = float(some.min()), float(some.max())
    levels = (shown - low) * (255 / ((high - low) or 1.0))
    return np.broadcast_to(np.moveaxis(np.clip(np.rint(levels), 0, 255).astype(np.uint8), 0, -1), (*shown.shape[1:], 3))


def slice_of(pixels: NDArray[np.uint8], heatmap: Floats, *, axis: int, at: int) -> tuple[Image, Floats]:
    """Pixels (h, w, 3) and heatmap (h, w) of one slice across an axis.

    Raises:
        InvalidSlice: if there is no such axis or slice.
    """
    place = _within(f"slice along axis {axis}", at, heatmap.shape[checked_axis(axis)])
    return np.ascontiguousarray(pixels.take(place, axis)), np.ascontiguousarray(heatmap.take(place, axis))


def projected(pixels: NDArray[np.uint8], heatmap: Floats, *, axis: int, how: str) -> tuple[Image, Floats]:
    """Pixels (h, w, 3) and heatmap (h, w), along an axis their maximum or mean; of means the largest is drawn as 1.

    Raises:
        InvalidSlice: if there is no such axis, or no such way.
    """
    if how not in REDUCTIONS:
        raise InvalidSlice(f"no projection {how!r}: there are {' and '.join(map(repr, REDUCTIONS))}")
    reduce, axis = REDUCTIONS[how], checked_axis(axis)
    image, heat = np.rint(reduce(pixels, axis)).astype(np.uint8), np.asarray(reduce(heatmap, axis), np.float32)
    return image, heat / np.float32(float(heat.max()) or 1.0) if how == "mean" else heat


def strongest(heatmap: Floats, axis: int) -> int:
    """The slice across an axis that the heatmap has most of; the middle one of a heatmap of zeros.

    Raises:
        InvalidSlice: if there is no such axis.
    """
    axis = checked_axis(axis)
    masses = np.maximum(heatmap, 0).sum(axis=tuple(other for other in range(3) if other != axis), dtype=np.float64)
    return int(np.argmax(masses)) if masses.any() else len(masses) // 2


def spread(length: int, count: int, always: int) -> list[int]:
    """So many slices at even distances; the nearest to `always` gives way to it."""
    if count < 1:
        raise InvalidSlice(f"{count} slices are none to draw: ask for 1 or more")
    count = min(count, length)
    places = [(2 * at + 1) * length // (2 * count) for at in range(count)]
    nearest = min(range(count), key=lambda at: abs(places[at] - always))
    places[nearest] = always
    return places


def laid(image: Image, heatmap: Floats, look: Look, *, side: int, name: str = "") -> Image:
    """A slice with the heatmap over it, enlarged or reduced to `side` pixels, and its number in the corner."""
    height, width = heatmap.shape
    ratio = side / max(height, width)
    size = max(1, round(height * ratio)), max(1, round(width * ratio))
    way = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    fitted = np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=way), np.uint8)
    heat = np.clip(stretched(heatmap, size), 0, 1)
    tile = blend(fitted, heat, alpha=look.alpha, colormap=look.colormap, rule=look.rule)
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(tile, name, (5, 16), FONT, SCALE, colour, thickness, cv2.LINE_AA)
    return tile


def sheet(
    pixels: NDArray[np.uint8], heatmap: Floats, look: Look, *, axis: int, places: Sequence[int], framed: int
) -> Image:
    """The slices in rows, each with its number; a frame is around the one that the heatmap has most of."""
    tiles = []
    for place in places:
        image, heat = slice_of(pixels, heatmap, axis=axis, at=place)
        tile = laid(image, heat, look, side=TILE, name=str(place))
        if place == framed and len(places) > 1:
            cv2.rectangle(tile, (0, 0), (tile.shape[1] - 1, tile.shape[0] - 1), FRAME, 3)
        tiles.append(tile)
    columns = _columns(len(tiles), tiles[0].shape[0] / tiles[0].shape[1])
    blank = np.full_like(tiles[0], PAPER)
    rows = [[*tiles[at : at + columns], *[blank] * columns][:columns] for at in range(0, len(tiles), columns)]
    return _joined([_joined(row, axis=1) for row in rows], axis=0)


def _columns(count: int, proportion: float) -> int:
    """How many tiles go into a row for a sheet that is about as wide as high; of equal rows where that can be had."""
    ideal = max(1, min(count, ceil(sqrt(count * proportion))))
    return ideal + 1 if count % ideal and count % (ideal + 1) == 0 else ceil(count / ceil(count / ideal))


def _joined(parts: Sequence[Image], *, axis: int) -> Image:
    """The parts in a row or a column with gaps between them."""
    gap = list(parts[0].shape)
    gap[axis] = GAP
    between = np.full(gap, PAPER, np.uint8)
    return np.concatenate(
        [part for pair in zip(parts, [between] * len(parts), strict=True) for part in pair][:-1], axis
    )


def checked_axis(axis: int) -> int:
    """The axis, if it is one of the three."""
    if axis not in (0, 1, 2):
        raise InvalidSlice(f"no axis {axis}: there are 0 (depth, or frames), 1 (rows) and 2 (columns)")
    return axis


def _within(what: str, at: int, count: int) -> int:
    """The place counted from 0; negative ones from the end."""
    if not -count <= at < count:
        raise InvalidSlice(f"no {what} number {at}: there are {count}, counted from 0")
    return at % count
