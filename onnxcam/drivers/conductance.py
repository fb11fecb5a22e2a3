"""What a layer hands on of the change from a picture that says nothing: integrated gradients seen at that layer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.baselines import Baselines, baselines_of
from onnxcam.drivers.integrated import report_gap
from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.quadrature import gauss_legendre
from onnxcam.drivers.table import driver
from onnxcam.ranges import Count, Seed

Floats64: TypeAlias = NDArray[np.float64]
Gradients: TypeAlias = Literal["mean", "first"]
DHAMDHERE = "Dhamdhere et al. 2018, arXiv:1805.12233"


@driver("conductance", source=DHAMDHERE, needs="both")
def conductance(probe: Probe, *, steps: Count = 50, baselines: Baselines = ("black",), seed: Seed = 0) -> Floats:
    """What each place of the layer hands on of the score's change on the straight way from a blank picture: ∫ g da.

    In steps, each the change of the activation times the mean of the gradients at its two ends; channels are added up.
    The report's `gap` is how far the sum is from score − baseline_score, which it would be with endless steps at a
    layer that nothing goes around.

    Options:
        steps: on the way from each baseline.
        baselines: one, or several whose maps are averaged; see `baselines_of`.
        seed: of the baseline "noise".
    """
    return _conducted(probe, np.linspace(0, 1, steps + 1), baselines, seed=seed, gradients="mean")


@driver("conductance", source=DHAMDHERE, needs="both", score="output", like="captum")
def conductance_captum(probe: Probe, *, steps: Count = 50, baselines: Baselines = ("zero",), seed: Seed = 0) -> Floats:
    """Conductance between the places of Gauss and Legendre, neither end included, with each step's first gradient."""
    return _conducted(probe, gauss_legendre(steps + 1)[0], baselines, seed=seed, gradients="first")


def _conducted(probe: Probe, places: Floats64, given: Baselines, *, seed: int, gradients: Gradients) -> Floats:
    """Σ g·Δa over the steps between the places, averaged over the baselines; of an interrupted run, those reached."""
    blanks = [load() for load in baselines_of(probe, given, seed=seed)]
    probe.expect(len(blanks) * (len(places) + 1) + 1)
    *before, after = probe.scores([*blanks, probe.x]).tolist()
    maps: list[Floats64] = []  # of the baselines that were reached
    with probe.keeping():
        for at, blank in enumerate(blanks):
            for first, last in pairwise(_on_the_way(probe, blank, places)):
                g = first["gradient"].astype(np.float64)
                g = (g + last["gradient"]) / 2 if gradients == "mean" else g
                part = (g * (last["activation"].astype(np.float64) - first["activation"])).sum(axis=0)
                maps[at:] = [maps[at] + part if at < len(maps) else part]
    if not maps:
        return np.zeros(probe.sides, np.float32)
    total = sum(maps[1:], maps[0]) / len(maps)
    report_gap(probe, total, (float(np.mean(before[: len(maps)])), after))
    return np.asarray(total, np.float32)


def _on_the_way(probe: Probe, blank: Floats, places: Floats64) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Activation and gradient at each place from the blank (0) to the picture (1)."""
    answers = probe.answers(places, lambda at: blank + np.float32(at) * (probe.x - blank), "activation", "gradient")
    return (found for _, found in answers)
