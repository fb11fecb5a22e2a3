"""What the score loses when a window of the picture is covered."""

from __future__ import annotations

from itertools import product

import numpy as np

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.scorecam import Fill
from onnxcam.drivers.table import driver

WINDOWS = 8  # windows along the shorter side, where no size is said


@driver("occlusion", source="Zeiler and Fergus 2014, arXiv:1311.2901", needs="score", score="probability")
def occlusion(
    probe: Probe, *, window: int | None = None, stride: int | None = None, fill: Fill = "grey", seed: int = 0
) -> Floats:
    """How much the score falls when a square is covered, averaged over the squares that cover a pixel.

    Signed: below 0 where covering helps. Squares begin at every `stride` pixels until the far edge is reached, where
    the last ones are cut, as in captum. `window`: pixels; by default an eighth of the shorter side; `stride` half of
    that.
    """
    side = max(1, min(probe.size) // WINDOWS) if window is None else window
    step = max(1, side // 2) if stride is None else stride
    probe.require(1 <= side <= min(probe.size), "window", side, f"must be from 1 to {min(probe.size)} pixels")
    probe.require(1 <= step <= side, "stride", step, f"must be from 1 to the window's {side} pixels, to cover them all")
    places = list(product(*(range(0, length - side + step, step) for length in probe.size)))
    order = probe.rng(seed).permutation(len(places))  # interrupted, it has not seen the top alone
    probe.expect(len(places) + 1)
    blank, whole = probe.blank(fill, seed=seed), probe.score
    total, count = np.zeros(probe.size), np.zeros(probe.size)

    def covered(place: tuple[int, ...]) -> Floats:
        mask = np.ones(probe.size, np.float32)
        mask[place[0] : place[0] + side, place[1] : place[1] + side] = 0
        return probe.masked(mask, blank)

    with probe.keeping():
        for (top, left), score in probe.scored((places[k] for k in order), covered):
            total[top : top + side, left : left + side] += whole - score
            count[top : top + side, left : left + side] += 1
    return np.asarray(total / np.maximum(count, 1), np.float32)
