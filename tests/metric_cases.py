"""Models whose metrics are known by arithmetic: a weighted sum of the pixels, and a case that asks it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam.evaluation import METRICS, Case, Curve

Array = NDArray[Any]


def linear(weights: Array) -> Any:
    """Pictures (B, …) to the weighted sum of their numbers."""
    return lambda batch: np.tensordot(batch.astype(np.float64), weights, axes=weights.ndim)


def case(x: Array, weights: Array | None = None, **given: Any) -> Case:
    """A picture (h, w) or (C, h, w) under a linear model, mapped by what each pixel adds to the score."""
    planes = x[None] if x.ndim == 2 else x
    factors = np.ones(planes.shape) if weights is None else np.broadcast_to(weights, planes.shape)
    shown = given.pop("map", (planes * factors).sum(axis=0))
    return Case(x=planes, map=shown, scores=linear(factors), **given)


def value(name: str, given: Case, **options: Any) -> float:
    """What a metric makes of a case."""
    found = METRICS[name](given, options)
    return found.value if isinstance(found, Curve) else found


def curve(name: str, given: Case, **options: Any) -> Curve:
    """The curve of a metric that has one."""
    found = METRICS[name](given, options)
    assert isinstance(found, Curve)
    return found
