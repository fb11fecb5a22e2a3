"""What the score makes of the picture seen through its own heatmap: average drop, increase, coherency, ADCC.

The picture is multiplied by the map in the model's own numbers, as in the other libraries: what the map does not show
turns into the model's 0, mid-grey for most.
"""

from __future__ import annotations

import numpy as np

from onnxcam.evaluation.blanks import Blank, blank
from onnxcam.evaluation.case import Array, Case
from onnxcam.evaluation.complexity import complexity
from onnxcam.evaluation.likeness import pearson
from onnxcam.evaluation.table import metric

GRAD_CAM_PP = "Chattopadhay et al. 2018"
ADCC = "Poppi et al. 2021"


@metric("average-drop", source=GRAD_CAM_PP, better="lower", needs="scores", quick=True)
def average_drop(case: Case, *, baseline: Blank = "zero") -> float:
    """Share of the score that is lost when only what the map shows is left; 0 where it rises."""
    if case.score <= 0:
        return float("nan")
    return max(0.0, case.score - seen_score(case, baseline)) / case.score


@metric("increase", source=GRAD_CAM_PP, better="higher", needs="scores", quick=True)
def increase(case: Case, *, baseline: Blank = "zero") -> float:
    """Whether the score rises when only what the map shows is left: its mean is the share of such pictures."""
    return float(seen_score(case, baseline) > case.score)


@metric("coherency", source=ADCC, better="higher", needs="explain")
def coherency(case: Case) -> float:
    """Correlation, scaled to 0…1, of the map with the map of the picture seen through it."""
    assert case.explain is not None  # noqa: S101 - whoever measures has seen to it
    again = case.explain(through(case, "zero")[None])[0]
    found = pearson(case.map, again)
    if not np.isfinite(found):  # a flat map is like itself, and like no other
        return 1.0 if np.array_equal(case.map, again) else 0.5
    return (1 + found) / 2


@metric("adcc", source=ADCC, better="higher", needs="explain")
def adcc(case: Case) -> float:
    """Harmonic mean of coherency, 1 − complexity and 1 − average drop; 0 as soon as one of them is."""
    drop = average_drop(case)
    if not np.isfinite(drop):
        return float("nan")
    parts = (coherency(case), 1 - complexity(case), 1 - drop)
    return 0.0 if min(parts) <= 0 else 3 / sum(1 / part for part in parts)


def through(case: Case, baseline: Blank) -> Array:
    """The picture as far as the map shows it."""
    return case.mixed(case.map, blank(case, baseline))


def seen_score(case: Case, baseline: Blank) -> float:
    """The score of the picture as far as the map shows it."""
    return float(case.scores(through(case, baseline)[None])[0])
