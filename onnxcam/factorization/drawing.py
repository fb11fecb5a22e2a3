"""Concepts in colours over a photo, and what each colour stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.images import Image
from onnxcam.legend import FONT, FONT_SCALE_PER_PIXEL, INK, LARGEST, PAPER, SMALLEST, drawable, wrapped

Colour: TypeAlias = tuple[int, int, int]

# Okabe and Ito's colours, which the colour-blind can tell apart; the dark ones last.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (213, 94, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (0, 114, 178),
)  # fmt: skip
GOLDEN = 0.618034  # of the circle of hues: no two of a series come close
SOFT: Colour = (110, 110, 110)
GREY_SHARE = 0.75  # of the photo under the colours: its own would be taken for concepts


def colours(count: int) -> list[Colour]:
    """A colour for each concept."""
    return [PALETTE[at] if at < len(PALETTE) else _hue((at - len(PALETTE)) * GOLDEN % 1) for at in range(count)]


def _hue(share: float) -> Colour:
    pixel = np.array([[[round(share * 179), 150, 220]]], np.uint8)  # OpenCV's hues end at 179
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]
    return int(red), int(green), int(blue)


def painted(image: Image, heatmaps: NDArray[np.float32], *, alpha: float) -> Image:
    """The photo, paler, with each place in the colour of the concept that is strongest there, as strong as that is.

    `heatmaps`: (K, H, W) in [0, 1] on the photo's pixels.
    """
    grey = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.float32)
    pale = GREY_SHARE * grey + (1 - GREY_SHARE) * image.astype(np.float32)
    palette = np.array(colours(len(heatmaps)), np.float32)
    weight = (alpha * heatmaps.max(0).clip(0, 1))[..., None]
    mixed = (1 - weight) * pale + weight * palette[heatmaps.argmax(0)]
    return np.asarray(np.rint(mixed), np.uint8)


def with_key(image: Image, entries: Sequence[tuple[Colour, str, str]]) -> Image:
    """The picture over a strip with a line for each colour: what it speaks for, dark, and a remark, lighter."""
    width = image.shape[1]
    scale = min(max(width * FONT_SCALE_PER_PIXEL, SMALLEST), LARGEST)
    return np.vstack([image, *(_entry(entry, width, scale) for entry in entries), blank(width, round(10 * scale))])


def _entry(entry: tuple[Colour, str, str], width: int, scale: float) -> Image:
    colour, *texts = entry
    margin, pitch, thickness = round(18 * scale), round(34 * scale), 1 if scale < 1 else 2
    left = margin + round(40 * scale)
    rows = [
        (row, ink)
        for text, ink in zip(texts, (INK, SOFT), strict=True)
        if text
        for row in wrapped(drawable(text), max(width - left - margin, 1), scale)
    ]
    strip = blank(width, max(len(rows), 1) * pitch + margin // 2)
    side = round(24 * scale)
    top = margin // 2 + round(4 * scale)
    cv2.rectangle(strip, (margin, top), (margin + side, top + side), colour, -1, cv2.LINE_AA)
    for number, (row, ink) in enumerate(rows):
        place = left, margin // 2 + number * pitch + round(24 * scale)
        cv2.putText(strip, row, place, FONT, scale, ink, thickness, cv2.LINE_AA)
    return strip


def blank(width: int, height: int) -> Image:
    """Paper."""
    return np.full((height, width, 3), PAPER, np.uint8)
