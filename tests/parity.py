"""Our maps beside another library's, and how near the two come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
from onnx_runs import session
from parity_draws import squares
from parity_peers import Array, Asked
from parity_rows import Row

from onnxcam import convert
from onnxcam.api import explainer_of

FLAT = 1e-3  # standard deviation, over the largest value, below which a map shows nothing
DIFFERENCE, CORRELATION = 2e-3, 0.9999


@dataclass(frozen=True)
class Agreement:
    """How near two libraries' maps came.

    Attributes:
        difference: the largest; where maps are not in [0, 1], over the largest value of the other library's map.
        correlation: over the places of a map, the least of all maps; NaN where all are flat.
        flat: how many of the other library's maps show nothing, and have no correlation.
    """

    difference: float
    correlation: float
    flat: int

    @property
    def is_reached(self) -> bool:
        """Whether it is as near as it must be."""
        return self.difference <= DIFFERENCE and self.correlation >= CORRELATION


def agreement(found: Array, expected: Array, *, in_unit: bool) -> Agreement:
    """Of two stacks of maps, (N, …); `in_unit`: in [0, 1]."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    ours, theirs = (x.reshape(len(x), -1).astype(np.float64) for x in (found, expected))
    sizes = np.ones(len(theirs)) if in_unit else np.maximum(np.abs(theirs).max(axis=1), 1e-30)
    shows = theirs.std(axis=1) > FLAT * sizes
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours[shows], theirs[shows], strict=True)]
    gaps = np.abs(ours - theirs).max(axis=1) / sizes
    return Agreement(float(gaps.max()), float(min(correlations, default=np.nan)), int((~shows).sum()))


def our_maps(model: Any, row: Row, asked: Asked, *, is_like: bool = True) -> Array:
    """Our maps of what is asked, by ONNX Runtime; without `is_like` the paper's, by the other library's convention."""
    with patch("onnxcam.drivers.superpixels.cut", lambda probe, count: squares(probe.size, count)):
        return _our_maps(model, row, asked, is_like=is_like)


def _our_maps(model: Any, row: Row, asked: Asked, *, is_like: bool) -> Array:
    graph = convert(
        model,
        method=row.method,
        wrap=row.wrap,
        layer=asked.layers or None,
        score=row.score,
        options=row.options,
        outputs=[row.output] if row.output != "heatmap" and not row.is_slow else [],
        **({"like": row.peer} if is_like else {"normalize": row.peer}),
    )
    if graph.metadata.driver:
        explainer, output = explainer_of(graph), {"raw_map": "raw"}.get(row.output, row.output)
        pairs = zip(asked.x.numpy(), asked.targets, strict=True)
        return np.stack([getattr(explainer.drive(x, target), output) for x, target in pairs])
    run = session(graph.model)
    feeds = {run.get_inputs()[0].name: asked.x.numpy(), "target": np.array(asked.targets)}
    return np.asarray(run.run([row.output], feeds)[0])


def compared(model: Any, row: Row, asked: Asked) -> Agreement:
    """The two libraries' maps of the same."""
    found, expected = our_maps(model, row, asked), row.theirs(asked)
    return agreement(found, expected, in_unit=row.output == "heatmap")
