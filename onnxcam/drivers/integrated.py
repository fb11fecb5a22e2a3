"""Integrated gradients: the gradient gathered on the straight way from a picture that says nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.baselines import Baselines, Load, baselines_of
from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.quadrature import RULES, Rule, scattered
from onnxcam.drivers.reduction import Channels, by_pixel
from onnxcam.drivers.table import driver
from onnxcam.ranges import Count, Seed


@driver("integrated-gradients", source="Sundararajan et al. 2017, arXiv:1703.01365", needs="gradient", any_axes=True)
def integrated_gradients(
    probe: Probe,
    *,
    steps: Count = 50,
    rule: Rule = "gausslegendre",
    baselines: Baselines = ("black",),
    channels: Channels = "absolute",
    seed: Seed = 0,
) -> Floats:
    """What each pixel adds to the score on the straight way from a blank picture: (x − b) · ∫ g.

    The report's `gap` is how far the sum is from score − baseline_score, which it would be with endless steps.

    Options:
        steps: gradients on the way from each baseline.
        rule: of the integral, see `quadrature`.
        baselines: one, or several whose attributions are averaged; see `baselines_of`.
        channels: see `by_pixel`.
        seed: of the baseline "noise".
    """
    starts = baselines_of(probe, baselines, seed=seed)
    return by_pixel(probe, integrated(probe, starts, steps=steps, rule=rule), channels)


def integrated(probe: Probe, starts: Sequence[Load], *, steps: int, rule: Rule) -> NDArray[np.float64]:
    """The attribution like x, averaged over the baselines.

    The steps are taken in an order that covers the whole way early, so that the result of an interrupted run, scaled
    to the weight of a whole one, means the same.
    """
    blanks = [load() for load in starts]
    probe.expect(len(blanks) * (steps + 1) + 1)
    change = scores_before_and_after(probe, blanks)
    places, weights = RULES[rule](steps)
    ways = [(at, blank) for at in scattered(steps) for blank in blanks]
    total, done = np.zeros(probe.x.shape), 0.0
    with probe.keeping():
        for (at, blank), gradient in probe.differentiated(
            ways, lambda way: way[1] + np.float32(places[way[0]]) * (probe.x - way[1])
        ):
            total += weights[at] * gradient * (probe.x - blank)
            done += weights[at] / len(blanks)
    if probe.interrupted and done:
        total *= weights.sum() / done
    total /= len(blanks)
    report_gap(probe, total, change)
    return total


def scores_before_and_after(
    probe: Probe, blanks: Iterable[Floats], weights: Sequence[float] | None = None
) -> tuple[float, float]:
    """The baselines' mean score, weighted if so asked, and the picture's: what an attribution should add up to."""
    *before, after = probe.scores(chain(blanks, [probe.x])).tolist()
    return float(np.average(before, weights=weights)), after


def report_gap(probe: Probe, attribution: NDArray[np.float64], change: tuple[float, float]) -> None:
    """Says what the attribution should add up to, and how far it is from that."""
    before, after = change
    probe.report |= {
        "score": after,
        "baseline_score": before,
        "gap": float(attribution.sum()) - (after - before),
    }
