"""The hot region: where the heatmap reaches a share of its maximum."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.images import Image

HOT_SHARE = 0.5  # of the maximum
LINE_SHARE = 1 / 250  # of the photo's shorter side
LIGHT, DARK = (255, 255, 255), (0, 0, 0)
GREEN = (57, 255, 20)  # of a detection: in no colour map that photos are usually laid over with


def hot_mask(heatmap: NDArray[np.float32], share: float = HOT_SHARE) -> NDArray[np.bool_]:
    """Where the heatmap (H, W) is at least `share` of its maximum; nowhere if that is not above 0."""
    peak = float(heatmap.max(initial=0))
    return heatmap >= share * peak if peak > 0 else np.zeros(heatmap.shape, np.bool_)


def hot_box(heatmap: NDArray[np.float32], share: float = HOT_SHARE) -> tuple[int, int, int, int] | None:
    """(x0, y0, x1, y1), x1 and y1 excluded, around the largest connected hot region (Zhou et al. 2016, section 3.2)."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(hot_mask(heatmap, share).astype(np.uint8), connectivity=8)
    if len(stats) < 2:
        return None
    x, y, width, height, _ = (int(value) for value in stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()])
    return x, y, x + width, y + height


def with_contour(image: Image, heatmap: NDArray[np.float32], *, share: float = HOT_SHARE) -> Image:
    """The picture with a line around every hot region; `heatmap` is of its size."""
    mask = hot_mask(heatmap, share).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    canvas = image.copy()
    for colour, width in strokes(image):
        cv2.drawContours(canvas, outlines, -1, colour, width, cv2.LINE_AA)
    return canvas


def with_box(image: Image, heatmap: NDArray[np.float32], *, share: float = HOT_SHARE) -> Image:
    """The picture with `hot_box` drawn, if there is one; `heatmap` is of its size."""
    box, canvas = hot_box(heatmap, share), image.copy()
    if box is None:
        return canvas
    x0, y0, x1, y1 = box
    for colour, width in strokes(image):
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), colour, width)
    return canvas


def with_detection(image: Image, box: tuple[float, float, float, float]) -> Image:
    """The picture with the box of a detection, x0, y0, x1, y1 in its pixels, in green."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(edge) for edge in box)
    canvas = image.copy()
    for colour, stroke in strokes(image, GREEN):
        # Half of a line on the picture's edge would lie beyond it.
        inset = stroke // 2
        corner = min(max(x0, inset), width - 1), min(max(y0, inset), height - 1)
        cv2.rectangle(canvas, corner, (min(x1, width - 1 - inset), min(y1, height - 1 - inset)), colour, stroke)
    return canvas


def strokes(image: Image, colour: tuple[int, int, int] = LIGHT) -> tuple[tuple[tuple[int, int, int], int], ...]:
    """A dark line and a lighter one inside it, so that it shows on any ground."""
    width = max(1, round(min(image.shape[:2]) * LINE_SHARE))
    return (DARK, width + 2), (colour, width)
