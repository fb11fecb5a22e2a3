"""Resizing that is Pillow's to the last bit, since predictions move otherwise.

Pillow resamples in one direction, rounds to bytes, then in the other, with weights in 22-bit fixed point. The same is
done here as products of small dense matrices: a band of output lines needs only a band of input lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import UnknownChoice

BAND = 8
# Multiplications up to which OpenBLAS takes no second thread. One that it has started goes on spinning for a while, and
# takes a core from the model that runs next.
ON_ONE_THREAD = 1 << 18
FIXED_POINT = float(1 << 22)
WHOLE = slice(None)


def triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 at 0, falling to 0 at ±1."""
    return np.maximum(0.0, 1.0 - np.abs(x))


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic with a = −1/2 (Keys 1981), 0 from ±2 on."""
    a, x = -0.5, np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """sinc(x)·sinc(x/3), 0 from ±3 on."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


KERNELS: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], float]] = {
    "bilinear": (triangle, 1.0),
    "bicubic": (cubic, 2.0),
    "lanczos": (lanczos, 3.0),
}
INTERPOLATIONS = ("nearest", *KERNELS)


def resize(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    *,
    interpolation: str = "bilinear",
    antialias: bool = True,
    window: tuple[slice, slice] = (WHOLE, WHOLE),
) -> NDArray[np.uint8]:
    """The picture (H, W, C) at `size` = (h, w), or the window of that which is asked for.

    With `antialias` the kernel widens when shrinking, as Pillow's does; without it pixels are skipped. `window` is rows
    and columns of the result; nothing outside is computed.
    """
    if interpolation not in INTERPOLATIONS:
        raise UnknownChoice("interpolation", interpolation, INTERPOLATIONS)
    rows, columns = (range(*part.indices(length)) for part, length in zip(window, size, strict=True))
    if image.shape[:2] == size:
        return np.ascontiguousarray(image[rows.start : rows.stop, columns.start : columns.stop])
    if interpolation == "nearest":
        return image[np.ix_(nearest(image.shape[0], size[0], rows), nearest(image.shape[1], size[1], columns))]
    kernel, support = KERNELS[interpolation]
    down = Taps(image.shape[0], size[0], rows, kernel=kernel, support=support, antialias=antialias)
    along = Taps(image.shape[1], size[1], columns, kernel=kernel, support=support, antialias=antialias)
    if is_height_first(image.shape, size):
        return swapped(along.apply(swapped(down.apply(image[:, along.first : along.last])), offset=along.first))
    return down.apply(swapped(along.apply(swapped(image[down.first : down.last]))), offset=down.first)


def is_height_first(source: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether Pillow 13 shrinks the height before it touches the width; earlier releases never do.

    It shows in overshoots, which are cut off between the passes. The rule was found by asking Pillow.
    """
    return source[0] - size[0] > max(0, 2 * (source[1] - size[1]))


def nearest(source: int, target: int, wanted: range) -> NDArray[np.intp]:
    """The source line under the middle of each wanted line."""
    # Summed step by step: where a middle falls between two lines, Pillow's choice hangs on its rounding errors.
    steps = np.full(target, source / target)
    steps[0] /= 2
    return np.minimum(np.add.accumulate(steps), source - 1).astype(np.intp)[wanted.start : wanted.stop]


def swapped(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows and columns exchanged, in memory too, so that one pass serves both directions."""
    turned = np.asarray(cv2.transpose(np.ascontiguousarray(image)), np.uint8)
    return turned.reshape(image.shape[1], image.shape[0], -1)  # cv2 drops a single channel


class Taps:
    """Which lines of the source make up each wanted line, and by how much."""

    def __init__(
        self,
        source: int,
        target: int,
        wanted: range,
        *,
        kernel: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        support: float,
        antialias: bool,
    ) -> None:
        scale = source / target
        stretch = max(scale, 1.0) if antialias else 1.0
        middle = (np.array(wanted) + 0.5) * scale
        self.start = np.maximum((middle - support * stretch + 0.5).astype(np.intp), 0)
        self.stop = np.minimum((middle + support * stretch + 0.5).astype(np.intp), source)
        taps = self.start[:, None] + np.arange(math.ceil(2 * support * stretch) + 2)
        weights = kernel((taps - middle[:, None] + 0.5) / stretch) * (taps < self.stop[:, None])
        weights *= 1 / weights.sum(axis=1, keepdims=True)
        self.weights = np.trunc(weights * FIXED_POINT + np.copysign(0.5, weights)) / FIXED_POINT
        self.first, self.last = int(self.start.min(initial=source)), int(self.stop.max(initial=0))

    def apply(self, lines: NDArray[np.uint8], *, offset: int = 0) -> NDArray[np.uint8]:
        """The wanted lines (n, M, C), rounded to bytes; `lines` begin at the source's line `offset`."""
        flat = lines.reshape(len(lines), -1)
        result = np.empty((len(self.start), flat.shape[1]), np.uint8)
        for at in range(0, len(self.start), BAND):
            band = slice(at, at + BAND)
            first, last = int(self.start[band].min()), int(self.stop[band].max())
            weights, source = self.dense(band, first=first, last=last), flat[first - offset : last - offset]
            width = max(1, ON_ONE_THREAD // weights.size)
            for left in range(0, flat.shape[1], width):
                part = slice(left, left + width)
                # float64 holds every sum exactly, as Pillow's integers do: int8 models answer to a single grey level.
                sums = weights @ source[:, part].astype(np.float64)
                sums += 0.5
                result[band, part] = np.clip(sums, 0, 255, out=sums)
        return result.reshape(-1, *lines.shape[1:])

    def dense(self, band: slice, *, first: int, last: int) -> NDArray[np.float64]:
        """The weights of one band over the source lines from `first` to `last`."""
        starts, weights = self.start[band], self.weights[band]
        matrix = np.zeros((len(starts), last - first + weights.shape[1]))
        columns = (starts - first)[:, None] + np.arange(weights.shape[1])
        np.put_along_axis(matrix, columns, weights, axis=1)
        return matrix[:, : last - first]
