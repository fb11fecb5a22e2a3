"""Shapley values of superpixels: what each adds to the score, averaged over the orders in which they may appear."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.superpixels import Cover, Pieces, explained
from onnxcam.drivers.table import driver
from onnxcam.ranges import FourOrMore, Seed, TwoOrMore

Row = NDArray[np.bool_]


@driver("kernelshap", source="Lundberg and Lee 2017, arXiv:1705.07874", needs="score")
def kernelshap(
    probe: Probe, *, samples: FourOrMore = 2000, segments: TwoOrMore = 64, fill: Cover = "mean", seed: Seed = 0
) -> Floats:
    """Shapley values of superpixels, by weighted regression (KernelSHAP); their sum is the score less the blank's.

    Exact where `samples` are enough for every subset. Otherwise the smallest and largest subsets are all taken, as far
    as the samples go, and the others drawn, each with its complement. Not by the shap package, which brings numba and
    pandas. The report has the share of the variance that the values explain.
    """
    pieces = Pieces(probe, segments, fill=fill, seed=seed)
    count = pieces.count
    rows, weights = coalitions(probe.rng(seed), count, samples)
    probe.expect(len(rows) + 2)
    none, whole = probe.scores(pieces.shown(np.full(count, is_shown)) for is_shown in (False, True))
    scores: list[float] = []
    with probe.keeping():
        # Interrupted, the draw is still one: the rows come in an order of chance.
        scores.extend(score for _, score in probe.scored(rows, pieces.shown))
    reached = len(scores)
    shown, weights, found = rows[:reached].astype(np.float64), weights[:reached], np.array(scores)
    values = shapley(shown, found - none, weights, whole - none)
    probe.report |= {"superpixels": count, "explained": explained(found, shown @ values + none, weights)}
    return pieces.map(values)


def coalitions(rng: np.random.Generator, count: int, samples: int) -> tuple[Row, NDArray[np.float64]]:
    """Subsets (R, count) and their weights: every one of the sizes that the samples suffice for, others drawn.

    The weight of all subsets of a size k together is (count − 1) / (k·(count − k)).
    """
    rows: list[Row] = []
    weights: list[float] = []
    sizes = list(range(1, count // 2 + 1))
    left = samples
    while sizes and left >= whole_size(count, sizes[0]):
        size = sizes.pop(0)
        share = size_weight(count, size) / whole_size(count, size)
        found = list(every(count, size))
        rows += found
        weights += [share] * len(found)
        left -= len(found)
    if sizes and left >= 2:
        found = list(at_random(rng, count, sizes, left // 2))
        rows += found
        weights += [sum(size_weight(count, size) for size in sizes) / len(found)] * len(found)
    order = rng.permutation(len(rows))
    return np.array(rows, np.bool_).reshape(-1, count)[order], np.array(weights)[order]


def size_weight(count: int, size: int) -> float:
    """The Shapley kernel's weight of all subsets of a size, and of their complements, together."""
    return (count - 1) / (size * (count - size)) * (1 if 2 * size == count else 2)


def whole_size(count: int, size: int) -> int:
    """How many subsets of a size there are, with their complements."""
    return comb(count, size) * (1 if 2 * size == count else 2)


def every(count: int, size: int) -> Iterator[Row]:
    """All subsets of a size, and their complements."""
    for chosen in combinations(range(count), size):
        row = np.zeros(count, np.bool_)
        row[list(chosen)] = True
        yield row
        if 2 * size != count:
            yield ~row


def at_random(rng: np.random.Generator, count: int, sizes: list[int], pairs: int) -> Iterator[Row]:
    """Subsets of these sizes drawn by their weight, each with its complement."""
    chances = np.array([size_weight(count, size) for size in sizes])
    for size in rng.choice(sizes, pairs, p=chances / chances.sum()):
        row = np.zeros(count, np.bool_)
        row[rng.choice(count, size, replace=False)] = True
        yield row
        yield ~row


def shapley(
    shown: NDArray[np.float64], gains: NDArray[np.float64], weights: NDArray[np.float64], total: float
) -> NDArray[np.float64]:
    """The values whose sums come nearest to the gains of the subsets, and whose sum is the total exactly."""
    if shown.shape[1] == 1:
        return np.array([total])
    # The last value is the total less the others, which leaves an ordinary regression.
    last = shown[:, -1]
    rows, left = shown[:, :-1] - last[:, None], gains - last * total
    root = np.sqrt(weights)
    values = np.linalg.lstsq(rows * root[:, None], left * root, rcond=None)[0]
    return np.append(values, total - values.sum())
