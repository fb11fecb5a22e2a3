"""Sanity checks: how much of the map is left when the model's weights are gone (Adebayo et al., NeurIPS 2018).

A map that stays as it was, whatever becomes of the weights, shows the picture and not the model.
"""

from __future__ import annotations

import numpy as np

from onnxcam.evaluation.case import Case, Curve
from onnxcam.evaluation.likeness import LIKENESSES, Likeness
from onnxcam.evaluation.table import metric

SOURCE = "Adebayo et al. 2018"


@metric("cascading-randomization", source=SOURCE, better="lower", needs="model")
def cascading(case: Case, *, likeness: Likeness = "spearman") -> Curve:
    """Likeness of the map to those of the model with its layers randomised from the last down, mean of all stages."""
    return faded(case, "cascading", likeness)


@metric("independent-randomization", source=SOURCE, better="lower", needs="model")
def independent(case: Case, *, likeness: Likeness = "spearman") -> Curve:
    """Likeness of the map to those of the model with one layer randomised, from the last to the first, mean of all."""
    return faded(case, "independent", likeness)


def faded(case: Case, kind: str, likeness: Likeness) -> Curve:
    """The likeness after each stage; where a map has gone flat there is none, which counts as 0."""
    assert case.randomised is not None  # noqa: S101 - whoever measures has seen to it
    alike = LIKENESSES[likeness]
    found = np.array([alike(case.map, other) for other in case.randomised(kind)])
    found = np.where(np.isfinite(found), found, 0.0)
    return Curve(np.arange(1, len(found) + 1) / len(found), found, float(found.mean()))
