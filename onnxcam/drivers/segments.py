"""Pieces of a picture that belong together, at several scales, as XRAI cuts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats
from onnxcam.errors import MissingExtra

Tool: TypeAlias = Callable[..., NDArray[Any]]

SCALES = (50, 100, 150, 250, 500, 1200)
SIGMA, MIN_PIXELS = 0.8, 150
SIDE = 224  # the scales are meant for pictures of that size
RADIUS = 5  # pixels by which every piece is widened, so that it holds its own edge


def pieces(picture: Floats) -> Iterator[NDArray[np.intp]]:
    """The pixels, as sorted indices into the flat picture (H, W, C), of each piece, those of the finest scale first.

    Felzenszwalb and Huttenlocher's segments at six scales, widened: pieces overlap, and each pixel lies in six or more.

    Raises:
        MissingExtra: without scikit-image.
    """
    for labels in labelled(picture):
        order = np.argsort(labels, axis=None, kind="stable")
        _, starts = np.unique(labels.reshape(-1)[order], return_index=True)
        yield from (widened(part, labels.shape) for part in np.split(order, starts[1:]))


def labelled(picture: Floats) -> Iterator[NDArray[np.intp]]:
    """Which segment each pixel is in, (H, W), scale by scale."""
    felzenszwalb, resize = _tools()
    square = resize(
        stretched_levels(picture), (SIDE, SIDE), order=3, mode="constant", preserve_range=True, anti_aliasing=True
    )
    for scale in SCALES:
        labels = felzenszwalb(square, scale=scale, sigma=SIGMA, min_size=MIN_PIXELS)
        whole = resize(labels, picture.shape[:2], order=0, preserve_range=True, mode="constant", anti_aliasing=False)
        yield whole.astype(np.intp)


def _tools() -> tuple[Tool, Tool]:
    try:
        from skimage.segmentation import felzenszwalb
        from skimage.transform import resize
    except ImportError as error:
        raise MissingExtra("cutting a picture into segments (xrai)", "superpixels") from error
    cut: Tool = felzenszwalb
    scale: Tool = resize
    return cut, scale


def stretched_levels(picture: Floats) -> NDArray[np.float64]:
    """The picture with its values from −1 to 1; all −1 if it is of one value."""
    low, high = float(picture.min()), float(picture.max())
    scale = 2 / (high - low) if high > low else 0.0
    return np.asarray((picture.astype(np.float64) - low) * scale - 1, np.float64)


def widened(part: NDArray[np.intp], size: tuple[int, ...]) -> NDArray[np.intp]:
    """The pixels within `RADIUS` of these."""
    rows, columns = np.divmod(part, size[1])
    top, left = max(int(rows.min()) - RADIUS, 0), max(int(columns.min()) - RADIUS, 0)
    box = np.zeros((int(rows.max()) + RADIUS + 1 - top, int(columns.max()) + RADIUS + 1 - left), np.uint8)
    box = box[: size[0] - top, : size[1] - left]
    box[rows - top, columns - left] = 1
    wide_rows, wide_columns = np.nonzero(cv2.dilate(box, disk(RADIUS)))
    return (wide_rows + top) * size[1] + wide_columns + left


def disk(radius: int) -> NDArray[np.uint8]:
    """1 within a circle."""
    across = np.arange(-radius, radius + 1)
    return (across[:, None] ** 2 + across**2 <= radius**2).astype(np.uint8)
