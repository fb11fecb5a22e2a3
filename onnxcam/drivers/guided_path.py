"""Guided integrated gradients: the way to the picture that goes first where the score hardly moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.baselines import Baselines, baselines_of
from onnxcam.drivers.integrated import report_gap, scores_before_and_after
from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.reduction import Channels, by_pixel
from onnxcam.drivers.table import driver
from onnxcam.ranges import Count, Seed, Share, SomeShare

Floats64 = NDArray[np.float64]
NEAR = 1e-9


@driver("guided-ig", source="Kapishnikov et al. 2021, arXiv:2106.09788", needs="gradient", any_axes=True)
def guided_ig(
    probe: Probe,
    *,
    steps: Count = 200,
    fraction: SomeShare = 0.25,
    distance: Share = 0.02,
    baselines: Baselines = ("black",),
    channels: Channels = "absolute",
    seed: Seed = 0,
) -> Floats:
    """What each pixel adds to the score on a way that changes first what matters least: less noise from saturation.

    Every step looks at the gradient where the last one ended, so that nothing can be run in batches. The report's
    `gap` is how far the sum is from score − baseline_score.

    Options:
        steps: gradients on the way from each baseline.
        fraction: 0 to 1, of the values that move at a time.
        distance: 0 to 1, how far from the straight way any value may be: 0 is integrated gradients, 1 no bound.
        baselines: one, or several whose attributions are averaged; see `baselines_of`.
        channels: see `by_pixel`.
        seed: of the baseline "noise".
    """
    blanks = [load() for load in baselines_of(probe, baselines, seed=seed)]
    total = _gathered(probe, blanks, steps=steps, fraction=fraction, distance=distance)
    return by_pixel(probe, total, channels)


def _gathered(probe: Probe, blanks: Sequence[Floats], *, steps: int, fraction: float, distance: float) -> Floats64:
    """The attribution like x, averaged over the baselines."""
    probe.expect(len(blanks) * (steps + 1) + 1)
    change = scores_before_and_after(probe, blanks)
    total = np.zeros(probe.x.shape)
    with probe.keeping():
        for blank in blanks:
            _follow(probe, Corridor(blank, probe.x, steps, distance), fraction=fraction, total=total)
    total /= len(blanks)
    report_gap(probe, total, change)
    return total


def _follow(probe: Probe, corridor: Corridor, *, fraction: float, total: Floats64) -> None:
    """Adds to `total` what each value contributes on the way; what was added by then stays if it is interrupted."""
    x = corridor.start.copy()
    for step in range(1, corridor.steps + 1):
        gradient = probe.gradients([np.asarray(x, np.float32)])[0].astype(np.float64)
        moved = corridor.advanced(x, np.abs(gradient), step=step, fraction=fraction)
        total += (moved - x) * gradient
        x = moved


@dataclass(frozen=True, slots=True)
class Corridor:
    """The ways from a baseline to the picture that stay near the straight one."""

    blank: Floats
    picture: Floats
    steps: int
    distance: float

    @property
    def start(self) -> Floats64:
        """The baseline."""
        return self.blank.astype(np.float64)

    @property
    def end(self) -> Floats64:
        """The picture."""
        return self.picture.astype(np.float64)

    def at(self, share: float) -> Floats64:
        """The point of the straight way; `share` 0 is its start, 1 its end."""
        share = min(max(share, 0.0), 1.0)
        return self.start + (self.end - self.start) * share

    def advanced(self, x: Floats64, magnitude: Floats64, *, step: int, fraction: float) -> Floats64:
        """The next point, as near to the end (in L1) as the straight way would be.

        Args:
            x: where one is.
            magnitude: |g| there: the smallest moves first.
            step: 1 to `steps`.
            fraction: of the values that move at a time.
        """
        share = step / self.steps
        low, high, end = self.at(share - self.distance), self.at(share + self.distance), self.end
        x = np.where(self._is_behind(x, low), low, x)
        wanted = float(np.abs(end - self.start).sum()) * (1 - share)
        while not math.isclose(left := float(np.abs(x - end).sum()), wanted, rel_tol=NEAR, abs_tol=NEAR):
            moving = _smallest(np.where(x == high, np.inf, magnitude), fraction)
            reach = float(np.abs(high - x)[moving].sum())
            if reach == 0:  # all at the corridor's edge, or the gradient is not a number
                return x
            gamma = (left - wanted) / reach
            if gamma <= 1:
                return np.where(moving, x + (high - x) * gamma, x)
            x = np.where(moving, high, x)
        return x

    def _is_behind(self, x: Floats64, low: Floats64) -> NDArray[np.bool_]:
        return (low - x) * np.sign(self.end - self.start) > 0


def _smallest(magnitude: Floats64, fraction: float) -> NDArray[np.bool_]:
    """Which are the smallest `fraction` of all values, endless ones (those that may not move) left out."""
    rank = int(fraction * (magnitude.size - 1))
    threshold = np.partition(magnitude, rank, axis=None)[rank]
    moving: NDArray[np.bool_] = (magnitude <= threshold) & (magnitude != np.inf)
    return moving
