"""What the score loses when a window of the picture is covered."""

from __future__ import annotations

from itertools import product

import numpy as np

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.scorecam import Fill
from onnxcam.drivers.table import driver
from onnxcam.ranges import Count, Seed

WINDOWS = 8  # windows along the shorter side, where no size is said


@driver(
    "occlusion", source="Zeiler and Fergus 2014, arXiv:1311.2901", needs="score", score="probability", any_axes=True
)
def occlusion(
    probe: Probe, *, window: Count | None = None, stride: Count | None = None, fill: Fill = "grey", seed: Seed = 0
) -> Floats:
    """How much the score falls when a square is covered, averaged over the squares that cover a pixel.

    Signed: below 0 where covering helps. Squares begin at every `stride` pixels until the far edge is reached, where
    the last ones are cut, as in captum. `window`: pixels; by default an eighth of the shorter side; `stride` half of
    that. Of a signal it is a stretch, of a volume a block: by default an eighth of each side.
    """
    sizes, steps = _windows(probe, window, stride)
    ranges = zip(probe.sides, sizes, steps, strict=True)
    places = list(product(*(range(0, length - size + step, step) for length, size, step in ranges)))
    order = probe.rng(seed).permutation(len(places))  # interrupted, it has not seen the top alone
    probe.expect(len(places) + 1)
    blank, whole = probe.blank(fill, seed=seed), probe.score
    total, count = np.zeros(probe.sides), np.zeros(probe.sides)

    def covered(place: tuple[int, ...]) -> Floats:
        mask = np.ones(probe.sides, np.float32)
        mask[_window(place, sizes)] = 0
        return probe.masked(mask, blank)

    with probe.keeping():
        for place, score in probe.scored((places[k] for k in order), covered):
            total[_window(place, sizes)] += whole - score
            count[_window(place, sizes)] += 1
    return np.asarray(total / np.maximum(count, 1), np.float32)


def _windows(probe: Probe, window: int | None, stride: int | None) -> tuple[list[int], list[int]]:
    """How long what is covered is along each axis, and how far it moves."""
    sides = probe.sides
    shorter = [min(sides)] * 2 if len(sides) == 2 else list(sides)
    if window is not None:
        most = min(sides) if len(sides) == 2 else max(sides)
        probe.require(1 <= window <= most, "window", window, f"must be from 1 to {most} pixels")
    sizes = [max(1, side // WINDOWS) if window is None else min(window, side) for side in shorter]
    if stride is not None:
        most = min(sizes)
        fits = f"must be from 1 to the window's {most} pixels, to cover them all"
        probe.require(1 <= stride <= most, "stride", stride, fits)
    return sizes, [max(1, size // 2) if stride is None else stride for size in sizes]


def _window(place: tuple[int, ...], sizes: list[int]) -> tuple[slice, ...]:
    return tuple(slice(start, start + size) for start, size in zip(place, sizes, strict=True))
