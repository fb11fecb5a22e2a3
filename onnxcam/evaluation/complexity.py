"""How simple a map is: entropy, mean, and Gini's sparseness."""

from __future__ import annotations

import numpy as np

from onnxcam.evaluation.case import Case
from onnxcam.evaluation.table import metric


@metric("complexity", source="Poppi et al. 2021", better="lower")
def complexity(case: Case) -> float:
    """Mean of the map's absolute values: its L1 norm for each pixel."""
    return float(np.abs(case.map, dtype=np.float64).mean())


@metric("entropy", source="Bhatt et al. 2020", better="lower")
def entropy(case: Case) -> float:
    """Entropy, in nats, of the map's absolute values as shares of their sum."""
    values = np.abs(case.map, dtype=np.float64).reshape(-1)
    if not values.sum():
        return float("nan")
    shares = values[values > 0] / values.sum()
    return float(-(shares * np.log(shares)).sum())


@metric("sparseness", source="Chalasani et al. 2020", better="higher", quick=True)
def sparseness(case: Case) -> float:
    """Gini index of the map's absolute values: 0 if all are equal, near 1 if one has it all."""
    values = np.sort(np.abs(case.map, dtype=np.float64).reshape(-1))
    if not values.sum():
        return float("nan")
    count = values.size
    return float(((2 * np.arange(1, count + 1) - count - 1) * values).sum() / (count * values.sum()))
