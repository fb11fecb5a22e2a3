"""A linear model of the score around the picture, on superpixels that are shown or hidden."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.superpixels import Cover, Pieces, explained, fitted
from onnxcam.drivers.table import driver


@driver("lime", source="Ribeiro et al. 2016, arXiv:1602.04938", needs="score", score="probability")
def lime(
    probe: Probe,
    *,
    samples: int = 1000,
    segments: int = 64,
    kernel_width: float = 0.25,
    ridge: float = 1.0,
    fill: Cover = "segment",
    seed: int = 0,
) -> Floats:
    """Coefficients of a weighted ridge regression of the score on which superpixels are shown.

    As the authors' package has it, but on SLIC superpixels: each shown with probability 1/2, weight
    √exp(−d²/`kernel_width`²) with d the cosine distance to the whole picture, and `ridge` the penalty. Not by that
    package itself, which brings matplotlib and has rested since 2020. The report has the share of the variance that the
    linear model explains.
    """
    probe.require(samples >= 2, "samples", samples, "must be 2 or more")
    probe.require(kernel_width > 0, "kernel_width", kernel_width, "must be more than 0")
    probe.require(ridge >= 0, "ridge", ridge, "must be 0 or more")
    pieces = Pieces(probe, segments, fill=fill, seed=seed)
    probe.expect(samples)
    rows: list[NDArray[np.bool_]] = []
    scores: list[float] = []
    with probe.keeping():
        for row, score in probe.scored(drawn(probe.rng(seed), samples, pieces.count), pieces.shown):
            rows.append(row)
            scores.append(score)
    count = min(len(rows), len(scores))  # an interruption may fall between the two
    shown, found = np.array(rows[:count], np.float64), np.array(scores[:count])
    weights = nearness(shown, kernel_width)
    values, level = fitted(shown, found, weights, ridge)
    probe.report |= {"superpixels": pieces.count, "explained": explained(found, shown @ values + level, weights)}
    return pieces.map(values)


def drawn(rng: np.random.Generator, samples: int, count: int) -> Iterator[NDArray[np.bool_]]:
    """The whole picture first, then superpixels shown at random, each with probability 1/2."""
    yield np.ones(count, np.bool_)
    for _ in range(samples - 1):
        yield rng.random(count) < 0.5


def nearness(shown: NDArray[np.float64], kernel_width: float) -> NDArray[np.float64]:
    """The weight of each row: 1 for the whole picture, less the less of it is shown."""
    # The cosine of a row of 0 and 1 with all ones is √(share of ones).
    distance = 1 - np.sqrt(shown.mean(axis=1))
    return np.asarray(np.sqrt(np.exp(-((distance / kernel_width) ** 2))))
