"""A linear model of the score around the picture, on superpixels that are shown or hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.superpixels import Cover, Pieces, explained, fitted
from onnxcam.drivers.table import driver
from onnxcam.ranges import NotNegative, Positive, Seed, TwoOrMore

Array: TypeAlias = NDArray[np.float64]
RIBEIRO = "Ribeiro et al. 2016, arXiv:1602.04938"
ROUNDS, TOLERANCE = 1000, 1e-9  # of the lasso: over all coefficients, and the change that ends it


@driver("lime", source=RIBEIRO, needs="score", score="probability")
def lime(
    probe: Probe,
    *,
    samples: TwoOrMore = 1000,
    segments: TwoOrMore = 64,
    kernel_width: Positive = 0.25,
    ridge: NotNegative = 1.0,
    fill: Cover = "segment",
    seed: Seed = 0,
) -> Floats:
    """Coefficients of a weighted ridge regression of the score on which superpixels are shown.

    As the authors' package has it, but on SLIC superpixels: each shown with probability 1/2, weight
    √exp(−d²/`kernel_width`²) with d the cosine distance to the whole picture, and `ridge` the penalty. Not by that
    package itself, which brings matplotlib and has rested since 2020. The report has the share of the variance that the
    linear model explains.
    """
    pieces = Pieces(probe, segments, fill=fill, seed=seed)
    shown, found = asked(probe, pieces, drawn(probe.rng(seed), samples, pieces.count), samples)
    weights = nearness(shown, kernel_width)
    values, level = fitted(shown, found, weights, ridge)
    return told(probe, pieces, values, explained(found, shown @ values + level, weights))


@driver("lime", source=RIBEIRO, needs="score", score="output", like="captum")
def lime_of_captum(
    probe: Probe,
    *,
    samples: TwoOrMore = 25,
    segments: TwoOrMore = 64,
    kernel_width: Positive = 1.0,
    alpha: NotNegative = 0.01,
    fill: Cover = "zero",
    seed: Seed = 0,
) -> Floats:
    """LIME by Captum's lasso, `alpha` its penalty; near is what has a small angle to the picture, pixel by pixel.

    A row's weight is exp(−d²/2`kernel_width`²), d the cosine distance of the two inputs. The whole picture is not
    among the rows.
    """
    pieces, rng = Pieces(probe, segments, fill=fill, seed=seed), probe.rng(seed)
    shown, found = asked(probe, pieces, (rng.random(pieces.count) < 0.5 for _ in range(samples)), samples)
    distance = np.array([1 - cosine(pieces.shown(row > 0), probe.x) for row in shown])
    weights = np.exp(-(distance**2) / (2 * kernel_width**2))
    values, level = lasso(shown, found, weights, alpha)
    return told(probe, pieces, values, explained(found, shown @ values + level, weights))


def asked(probe: Probe, pieces: Pieces, draws: Iterator[NDArray[np.bool_]], samples: int) -> tuple[Array, Array]:
    """The rows drawn, of 0 and 1, (R, superpixels), and their scores, (R,); those reached, if it is interrupted."""
    probe.expect(samples)
    rows: list[NDArray[np.bool_]] = []
    scores: list[float] = []
    with probe.keeping():
        for row, score in probe.scored(draws, pieces.shown):
            rows.append(row)
            scores.append(score)
    count = min(len(rows), len(scores))  # an interruption may fall between the two
    return np.array(rows[:count], np.float64), np.array(scores[:count])


def told(probe: Probe, pieces: Pieces, values: Array, share: float) -> Floats:
    """The map of the superpixels' values, with the report."""
    probe.report |= {"superpixels": pieces.count, "explained": share}
    return pieces.map(values)


def cosine(first: Floats, second: Floats) -> float:
    """The cosine of the angle between two inputs; 0 where one of them is all 0."""
    a, b = (x.ravel().astype(np.float64) for x in (first, second))
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths > 0 else 0.0


def lasso(rows: Array, scores: Array, weights: Array, alpha: float) -> tuple[Array, float]:
    """Coefficients and intercept with the least Σ w·(y − rows·β)²/2 + α·Σ|β|, Σ w = 1; one coefficient at a time."""
    share = weights / weights.sum()
    middle, level = share @ rows, share @ scores
    centred, left = rows - middle, scores - level
    norms, values = share @ centred**2, np.zeros(rows.shape[1])
    for _ in range(ROUNDS):
        before = values.copy()
        for k in np.flatnonzero(norms > 0):
            pull = share @ (centred[:, k] * left) + norms[k] * values[k]
            new = np.sign(pull) * max(abs(pull) - alpha, 0.0) / norms[k]
            left -= centred[:, k] * (new - values[k])
            values[k] = new
        if np.abs(values - before).max() <= TOLERANCE * max(np.abs(values).max(), alpha):
            break
    return values, float(level - middle @ values)


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
