"""What TensorFlow's image resizing does to an axis, as a matrix (after, before).

Written down from the kernels' own definitions: ScaleAndTranslate for the filters, ResizeBicubic and ResizeArea for
those two; centres of pixels at ½.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# ResizeBicubic reads its weights from a table of so many steps.
STEPS = 1024


@dataclass(frozen=True, slots=True)
class Filter:
    """Weights by the distance from the centre, zero from the radius on."""

    radius: float
    weigh: Callable[[Array], Array]


def matrix(before: int, after: int, *, interpolation: str, antialias: bool) -> NDArray[np.float32] | None:
    """The matrix of an axis; None for an interpolation that TensorFlow does not have."""
    if interpolation == "area":
        return _area(before, after).astype(np.float32)
    if interpolation == "bicubic" and not antialias:
        return _bicubic(before, after).astype(np.float32)
    if interpolation not in FILTERS:
        return None
    return _filtered(before, after, FILTERS[interpolation], antialias=antialias).astype(np.float32)


def _filtered(before: int, after: int, kind: Filter, *, antialias: bool) -> Array:
    """Each pixel is the mean of those around it, weighted; made smaller with antialias, the filter grows."""
    ratio = np.float32(before) / np.float32(after)
    stretch = max(float(ratio), 1.0) if antialias else 1.0
    centres = (np.arange(after, dtype=np.float32) + np.float32(0.5)) * ratio
    reach = kind.radius * stretch
    sources = np.arange(before)
    first = np.clip(np.ceil(centres - reach - 0.5), 0, before - 1)[:, None]
    last = np.clip(np.floor(centres + reach - 0.5), 0, before - 1)[:, None]
    weights = kind.weigh(np.abs(sources + 0.5 - centres[:, None].astype(np.float64)) / stretch)
    return _normalized(np.where((sources >= first) & (sources <= last), weights, 0.0))


def _bicubic(before: int, after: int) -> Array:
    """Four neighbours, those outside of the picture without weight."""
    ratio = np.float32(before) / np.float32(after)
    centres = (np.arange(after, dtype=np.float32) + np.float32(0.5)) * ratio - np.float32(0.5)
    floors = np.floor(centres)
    steps = np.rint((centres - floors) * STEPS)
    made = np.zeros((after, before))
    for shift, distance in ((-1, STEPS + steps), (0, steps), (1, STEPS - steps), (2, 2 * STEPS - steps)):
        places = (floors + shift).astype(int)
        is_inside = (places >= 0) & (places < before)
        made[np.flatnonzero(is_inside), places[is_inside]] = _keys_cubic(distance / STEPS)[is_inside]
    return _normalized(made)


def _area(before: int, after: int) -> Array:
    """The mean over what a pixel covers."""
    edges = np.arange(after + 1, dtype=np.float32) * (np.float32(before) / np.float32(after))
    start, end = edges[:-1, None].astype(np.float64), edges[1:, None].astype(np.float64)
    sources = np.arange(before)
    return _normalized(np.clip(np.minimum(end, sources + 1) - np.maximum(start, sources), 0.0, None))


def _normalized(weights: Array) -> Array:
    total: Array = weights.sum(axis=1, keepdims=True)
    return weights / total


def _triangle(x: Array) -> Array:
    return np.clip(1.0 - x, 0.0, None)


def _keys_cubic(x: Array) -> Array:
    """With a = −½."""
    near, far = ((1.5 * x - 2.5) * x) * x + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x >= 2.0, 0.0, np.where(x >= 1.0, far, near))


def _mitchell_cubic(x: Array) -> Array:
    near = ((7.0 / 6.0 * x - 2.0) * x) * x + 8.0 / 9.0
    far = ((-7.0 / 18.0 * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0
    return np.where(x >= 2.0, 0.0, np.where(x >= 1.0, far, near))


def _gaussian(x: Array) -> Array:
    return np.where(x >= 1.5, 0.0, np.exp(-2.0 * x * x))


def _lanczos(radius: float) -> Filter:
    def weigh(x: Array) -> Array:
        return np.where(x > radius, 0.0, np.where(x <= 1e-3, 1.0, np.sinc(x) * np.sinc(x / radius)))

    return Filter(radius, weigh)


FILTERS = {
    "bilinear": Filter(1.0, _triangle),
    "bicubic": Filter(2.0, _keys_cubic),
    "mitchellcubic": Filter(2.0, _mitchell_cubic),
    "gaussian": Filter(1.5, _gaussian),
    "lanczos3": _lanczos(3.0),
    "lanczos5": _lanczos(5.0),
}
