"""What single channels of the layer see, and what each contributes to the heatmap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import NoChannels, UnknownChoice
from onnxcam.geometry import Geometry
from onnxcam.images import Image
from onnxcam.legend import FONT, INK, PAPER
from onnxcam.overlay import blend

Floats = NDArray[np.float32]
KINDS = ("contribution", "activation")
TILE = 192  # pixels of a tile's longer side
CAPTION = 22  # pixels below it
GAP = 6  # pixels beside it


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What a heatmap was made of, for one photo and target.

    Attributes:
        activation: (C, h, w), of the layer.
        gradient: the same shape, of the score; None for methods that take none.
        geometry: where the photo lies in the model's input.
    """

    activation: Floats
    gradient: Floats | None
    geometry: Geometry


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One channel of the layer.

    Attributes:
        index: its number.
        weight: its mean gradient, which is Grad-CAM's weight of it; 1 where there is no gradient.
        map: (h, w): weight · activation, or the activation itself, at the layer's resolution.
    """

    index: int
    weight: float
    map: Floats


def parts_of(found: Mapping[str, NDArray[Any]], at: tuple[int, int], *, geometry: Geometry, targets: bool) -> Parts:
    """Activation and gradient of one photo and target, out of the graph's outputs.

    Raises:
        NoChannels: if the graph does not give them.
    """
    if "activation" not in found:
        raise NoChannels
    place = at if targets else at[:1]
    gradient = found.get("gradient")
    return Parts(
        found["activation"][place].astype(np.float32),
        None if gradient is None else gradient[place].astype(np.float32),
        geometry,
    )


def strongest(parts: Parts, count: int | None, of: str) -> list[Channel]:
    """The channels, those first that weigh most: by the sum of the contribution's size, or of the activation's.

    Raises:
        UnknownChoice: if `of` is none of `KINDS`.
    """
    if of not in KINDS:
        raise UnknownChoice("view of channels", of, KINDS)
    a, g = parts.activation, parts.gradient
    weights = np.ones(len(a), np.float32) if g is None else g.mean((1, 2))
    shown = a if of == "activation" else weights[:, None, None] * a
    order = np.argsort(-np.abs(shown).sum((1, 2)), kind="stable")[:count]
    return [Channel(int(index), float(weights[index]), shown[index]) for index in order]


def gallery(image: Image, channels: Sequence[Channel], geometry: Geometry, *, alpha: float, colormap: str) -> Image:
    """The photo once for each channel with the channel's map over it, all on one scale; number and weight below.

    What speaks against the target (negative) is not coloured.
    """
    top = max((float(channel.map.max()) for channel in channels), default=0.0)
    tiles = [_tile(image, channel, geometry, top=top, alpha=alpha, colormap=colormap) for channel in channels]
    columns = int(np.ceil(np.sqrt(len(tiles))))
    blank = np.full_like(tiles[0], PAPER)
    rows = [tiles[at : at + columns] for at in range(0, len(tiles), columns)]
    return np.vstack([np.hstack([*row, *[blank] * (columns - len(row))]) for row in rows])


def _tile(image: Image, channel: Channel, geometry: Geometry, *, top: float, alpha: float, colormap: str) -> Image:
    height, width = image.shape[:2]
    ratio = TILE / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    scaled = geometry.to_photo((channel.map / (top or 1.0)).clip(0, 1).astype(np.float32))
    fitted = np.asarray(cv2.resize(scaled, size, interpolation=cv2.INTER_LINEAR), np.float32).clip(0, 1)
    caption = np.full((CAPTION, size[0], 3), PAPER, np.uint8)
    cv2.putText(caption, f"{channel.index}: {channel.weight:+.2g}", (4, 16), FONT, 0.42, INK, 1, cv2.LINE_AA)
    tile = np.vstack([blend(small, fitted, alpha=alpha, colormap=colormap), caption])
    return np.pad(tile, ((0, 0), (0, GAP), (0, 0)), constant_values=PAPER)
