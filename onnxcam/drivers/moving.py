"""What points at a part of the picture, after the picture was mirrored or a piece of it enlarged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from onnxcam.drivers.probe import Floats
from onnxcam.geometry import stretched

BOX = "box"


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of the enlarged picture, as large as the model's input.

    Attributes:
        whole: (H, W) of the enlarged picture.
        top, left: where the piece begins.
    """

    whole: tuple[int, int]
    top: int
    left: int


def mirrored(guides: Mapping[str, Floats], width: int) -> dict[str, Floats]:
    """The box, and any region, of the picture mirrored left to right. `width`: of the input, in pixels."""
    return {name: _mirrored_box(given, width) if name == BOX else given[:, ::-1] for name, given in guides.items()}


def windowed(guides: Mapping[str, Floats], window: Window, size: tuple[int, int]) -> dict[str, Floats]:
    """The box, which may then lie outside, and any region in the window. `size`: (H, W) of the input, in pixels."""
    return {
        name: _box_in(given, window, size) if name == BOX else _region_in(given, window, size)
        for name, given in guides.items()
    }


def overlap(boxes: Floats, box: Floats) -> Floats:
    """Intersection over union of boxes (…, 4 or more), x0 y0 x1 y1 first, with one; 0 for those without extent."""
    low, high = np.maximum(boxes[..., :2], box[:2]), np.minimum(boxes[..., 2:4], box[2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = np.clip(boxes[..., 2:4] - boxes[..., :2], 0, None).prod(axis=-1)
    union = areas + np.clip(box[2:] - box[:2], 0, None).prod() - shared
    return np.asarray(shared / np.where(union > 0, union, 1), np.float32)


def _mirrored_box(box: Floats, width: int) -> Floats:
    x0, y0, x1, y1 = box
    return np.array([width - x1, y0, width - x0, y1], np.float32)


def _box_in(box: Floats, window: Window, size: tuple[int, int]) -> Floats:
    down, across = (whole / length for whole, length in zip(window.whole, size, strict=True))
    shift = np.array([window.left, window.top, window.left, window.top])
    return np.asarray(box * np.array([across, down, across, down]) - shift, np.float32)


def _region_in(region: Floats, window: Window, size: tuple[int, int]) -> Floats:
    grown = stretched(region, window.whole)
    return grown[window.top : window.top + size[0], window.left : window.left + size[1]]
