"""A signal as a line for each channel on one axis of time, shaded where the heatmap is high."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil, floor, log10
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.images import Image
from onnxcam.legend import FONT, INK, PAPER, drawable, measured, wrapped
from onnxcam.overlay import coloured

Floats: TypeAlias = NDArray[np.float32]
Colours: TypeAlias = Callable[[Floats], Image]

WIDTH = 1000  # pixels of the whole drawing
HEIGHT, LOWEST, TALLEST = 420, 56, 190  # of all channels together, and of one
MARGIN, GAP, STRIP = 14, 10, 40  # the strip is the heatmap itself, below the channels
SCALE, SOFT, RULE = 0.42, (110, 110, 110), (205, 205, 205)
TICKS_X, TICKS_Y = 110, 45  # pixels from tick to tick, about
PITCH = 18  # pixels of a line of text
HEADROOM = 0.08  # of a channel's range, above and below its line
SHARE = 0.66  # of the colour map hot, from white over yellow to red
FRACTION = 4  # bits of a pixel's fraction, for cv2


@dataclass(frozen=True, slots=True)
class Line:
    """A channel's line.

    Attributes:
        name: what stands beside it.
        values: (L,).
    """

    name: str
    values: Floats


def on_paper(heatmap: Floats) -> Image:
    """White over yellow to red, for a drawing on white: (H, W) in [0, 1] → RGB."""
    return coloured(np.float32(1) - np.float32(SHARE) * heatmap, "hot")


def draw(
    lines: Sequence[Line],
    heatmap: Floats,
    *,
    alpha: float,
    colours: Colours,
    rate: float | None,
    note: Sequence[str] = (),
) -> Image:
    """The channels below each other, and the heatmap as a curve.

    Args:
        lines: the channels, of L values each.
        heatmap: (L,) in [0, 1].
        alpha: weight of the colours, 0 (white) to 1.
        colours: from (H, W) in [0, 1] to RGB.
        rate: samples a second, for an axis in seconds; None: an axis of samples, from 0.
        note: lines at the top.
    """
    height = min(max(HEIGHT // len(lines), LOWEST), TALLEST)
    ranges = [_range(line.values) for line in lines]
    ticks = [_ticks(low, high, max(2, height // TICKS_Y)) for low, high in ranges]
    texts = [_numbers(marks) for marks in ticks]
    names = [line.name for line in lines]
    gutter = MARGIN + max(measured(drawable(text), SCALE) for text in [*names, *chain(*texts), "heatmap"]) + GAP
    width = WIDTH - gutter - MARGIN
    shade = _shade(_columns(heatmap, width), alpha, colours)
    times = _ticks(0, (len(heatmap) - 1) / (rate or 1), max(2, width // TICKS_X), least=1 / (rate or 1))
    rows = [_head(note)] if note else [_paper(MARGIN)]
    for line, limits, marks, words in zip(lines, ranges, ticks, texts, strict=True):
        panel = _panel(shade, height, limits, marks, _places(times, len(heatmap), width, rate))
        _trace(panel, line.values, limits)
        rows += [_row(panel, gutter, limits, dict(zip(words, marks, strict=True)), line.name), _paper(GAP)]
    strip = _panel(shade * 0 + PAPER, STRIP, (0.0, 1.0), [], _places(times, len(heatmap), width, rate))
    _fill(strip, _columns(heatmap, width), colours)
    rows += [_row(strip, gutter, (0.0, 1.0), {}, "heatmap"), _axis(times, gutter, len(heatmap), width, rate)]
    return np.vstack(rows)


def _columns(values: Floats, width: int) -> Floats:
    """The heatmap at each column of pixels: between its places linear, and where several fall on one their maximum."""
    length = len(values)
    if length <= width:
        places = (np.arange(width) + 0.5) * (length / width) - 0.5
        return np.asarray(np.interp(places, np.arange(length), values), np.float32)
    starts = (np.arange(width) * length) // width
    return np.asarray(np.maximum.reduceat(values, starts), np.float32)


def _shade(columns: Floats, alpha: float, colours: Colours) -> NDArray[np.float32]:
    """(W, 3): what lies behind the lines."""
    found = colours(columns[None])[0].astype(np.float32)
    return np.asarray(np.float32(alpha) * found + np.float32(1 - alpha) * PAPER, np.float32)


def _panel(
    shade: Floats, height: int, limits: tuple[float, float], marks: Sequence[float], places: Sequence[int]
) -> Image:
    """The shaded field with its rules and its frame."""
    panel = np.ascontiguousarray(np.broadcast_to(np.rint(shade).astype(np.uint8), (height, *shade.shape)))
    rules = panel.copy()
    for mark in marks:
        rules[_level(mark, limits, height)] = (np.array(RULE) * 0.82).astype(np.uint8)
    for place in places:
        rules[:, min(place, len(shade) - 1)] = (np.array(RULE) * 0.82).astype(np.uint8)
    panel = np.asarray(cv2.addWeighted(panel, 0.6, rules, 0.4, 0), np.uint8)
    cv2.rectangle(panel, (0, 0), (len(shade) - 1, height - 1), SOFT, 1)
    return panel


def _trace(panel: Image, values: Floats, limits: tuple[float, float]) -> None:
    """The line; where many values fall on a column of pixels, from their lowest to their highest."""
    height, width = panel.shape[:2]
    places = (np.arange(len(values)) + 0.5) * (width / len(values))
    if len(values) > 4 * width:
        starts = (np.arange(width) * len(values)) // width
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        values, places = np.stack([low, high], 1).ravel(), np.repeat(np.arange(width) + 0.5, 2)
    below, above = limits
    heights = (height - 1) * (above - values.astype(np.float64)) / (above - below)
    points = np.rint(np.stack([places, heights], 1) * (1 << FRACTION)).astype(np.int32)
    if len(points) == 1:
        cv2.circle(panel, (width // 2, round(float(heights[0]))), 2, INK, -1, cv2.LINE_AA)
    cv2.polylines(panel, [points[:, None]], False, INK, 1, cv2.LINE_AA, FRACTION)


def _fill(strip: Image, columns: Floats, colours: Colours) -> None:
    """The heatmap as a curve over a filled field, in its colours."""
    height = len(strip)
    shown = colours(columns[None])[0]
    inside = np.arange(height)[:, None] >= (height - 1) * (1 - columns[None])
    strip[inside] = np.broadcast_to(shown, strip.shape)[inside]
    edge = np.stack([np.arange(len(columns)), np.rint((height - 1) * (1 - columns))], 1).astype(np.int32)
    cv2.polylines(strip, [edge[:, None]], False, SOFT, 1, cv2.LINE_AA)


def _row(panel: Image, gutter: int, limits: tuple[float, float], marks: dict[str, float], name: str) -> Image:
    """The field with its numbers and its name on the left."""
    left = np.full((len(panel), gutter, 3), PAPER, np.uint8)
    cv2.putText(left, drawable(name), (MARGIN, PITCH - 5), FONT, SCALE, INK, 1, cv2.LINE_AA)
    for text, mark in marks.items():
        level = _level(mark, limits, len(panel))
        if level > PITCH:
            place = gutter - measured(text, SCALE) - 6, min(level + 5, len(panel) - 2)
            cv2.putText(left, text, place, FONT, SCALE, SOFT, 1, cv2.LINE_AA)
    return np.hstack([left, panel, np.full((len(panel), MARGIN, 3), PAPER, np.uint8)])


def _axis(times: Sequence[float], gutter: int, length: int, width: int, rate: float | None) -> Image:
    """Numbers below the ticks, and what they count."""
    strip = _paper(2 * PITCH + 6)
    unit = "seconds" if rate else "sample"
    for text, place in zip(_numbers(times), _places(times, length, width, rate), strict=True):
        cv2.line(strip, (gutter + place, 0), (gutter + place, 4), SOFT, 1)
        left = min(gutter + place - measured(text, SCALE) // 2, WIDTH - measured(text, SCALE) - 2)
        cv2.putText(strip, text, (left, PITCH), FONT, SCALE, SOFT, 1, cv2.LINE_AA)
    middle = gutter + (width - measured(unit, SCALE)) // 2
    cv2.putText(strip, unit, (middle, 2 * PITCH), FONT, SCALE, SOFT, 1, cv2.LINE_AA)
    return strip


def _head(note: Sequence[str]) -> Image:
    """The lines at the top."""
    rows = [row for line in note for row in wrapped(drawable(line), WIDTH - 2 * MARGIN, SCALE)]
    strip = _paper(PITCH * len(rows) + 10)
    for number, row in enumerate(rows, start=1):
        cv2.putText(strip, row, (MARGIN, number * PITCH), FONT, SCALE, SOFT, 1, cv2.LINE_AA)
    return strip


def _paper(height: int) -> Image:
    return np.full((height, WIDTH, 3), PAPER, np.uint8)


def _range(values: Floats) -> tuple[float, float]:
    """What a channel's field reaches from and to; a flat line lies in the middle."""
    low, high = float(values.min()), float(values.max())
    room = HEADROOM * (high - low) or max(abs(high), 1.0) / 2
    return low - room, high + room


def _ticks(low: float, high: float, count: int, *, least: float = 0.0) -> list[float]:
    """Round numbers from low to high, about as many: in steps of 1, 2 or 5 times a power of ten, `least` or more."""
    least = max((high - low) / count, least)
    power = 10.0 ** floor(log10(least))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least * (1 - 1e-9))
    return [number * step for number in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _numbers(marks: Sequence[float]) -> list[str]:
    """The ticks as texts."""
    return [f"{mark:.6g}" if mark else "0" for mark in marks]


def _places(times: Sequence[float], length: int, width: int, rate: float | None) -> list[int]:
    """The columns of pixels of the ticks: in the middle of their samples."""
    return [round((time * (rate or 1) + 0.5) / length * width) for time in times]


def _level(mark: float, limits: tuple[float, float], height: int) -> int:
    """The row of pixels of a number."""
    low, high = limits
    return int(np.clip(round((height - 1) * (high - mark) / (high - low)), 0, height - 1))
