"""Masks of a coarse grid of cells, and what the cells matter by the scores of the masked pictures."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.scorecam import Fill
from onnxcam.drivers.table import driver
from onnxcam.errors import MissingExtra
from onnxcam.ranges import Count, FourOrMore, PowerOfTwo, Seed, TwoOrMore

Array = NDArray[np.float64]


@driver("sobol", source="Fel et al. 2021, arXiv:2111.04138", needs="score", score="probability")
def sobol(
    probe: Probe, *, cells: TwoOrMore = 8, designs: PowerOfTwo = 32, fill: Fill = "zero", seed: Seed = 0
) -> Floats:
    """The share of the score's variance that a cell of the picture has a part in: its total Sobol index.

    By Jansen's estimator. The cells are dimmed by a scrambled Sobol sequence of `designs` points, a power of 2, which
    makes designs·(cells² + 2) passes.
    """
    probe.require(2 <= cells <= min(probe.size), "cells", cells, f"must be from 2 to {min(probe.size)}")
    rng, blank = probe.rng(seed), probe.blank(fill, seed=seed)
    first, second = np.split(sequence(2 * cells * cells, designs, rng), 2, axis=1)
    probe.expect(designs * (cells * cells + 2))
    base, other = (grid_scores(probe, rows, cells, blank) for rows in (first, second))
    spread = float(np.var(np.append(base, other)))
    total, reached = np.zeros(cells * cells), 0
    with probe.keeping():
        for cell in rng.permutation(cells * cells):  # interrupted, it has not seen the top alone
            mixed = first.copy()
            mixed[:, cell] = second[:, cell]
            total[cell] = np.mean((base - grid_scores(probe, mixed, cells, blank)) ** 2) / 2
            reached += 1
    if not reached:
        raise KeyboardInterrupt  # nothing is known yet
    return np.asarray((total / spread if spread > 0 else 0 * total).reshape(cells, cells), np.float32)


@driver("hsic", source="Novello et al. 2022, arXiv:2206.06219", needs="score", score="probability")
def hsic(probe: Probe, *, cells: Count = 7, samples: FourOrMore = 1500, fill: Fill = "zero", seed: Seed = 0) -> Floats:
    """How much the score depends on whether a cell is shown (Hilbert-Schmidt independence criterion).

    Each cell is shown with probability 1/2. The kernel of cells is 1/2 − (m − m′)²; that of scores is Gaussian, as wide
    as the median distance between two of them.
    """
    probe.require(1 <= cells <= min(probe.size), "cells", cells, f"must be from 1 to {min(probe.size)}")
    rng, blank = probe.rng(seed), probe.blank(fill, seed=seed)
    rows = (rng.random((samples, cells * cells)) < 0.5).astype(np.float64)
    probe.expect(samples)
    scores: list[float] = []
    with probe.keeping():
        scores.extend(score for _, score in probe.scored(rows, masking(probe, cells, blank)))
    found = dependence(rows[: len(scores)], np.array(scores))
    return np.asarray(found.reshape(cells, cells), np.float32)


def dependence(rows: Array, scores: Array) -> Array:
    """The HSIC of each column of 0 and 1 with the scores: tr(K·H·L·H) / n², H what centres."""
    kernel = gaussian(scores)
    centred = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
    # 1/2 − (m − m′)² is (2m − 1)(2m′ − 1)/2 for 0 and 1, so the trace is a quadratic form of the signs.
    signs = 2 * rows - 1
    return np.asarray(np.einsum("ri,rs,si->i", signs, centred, signs, optimize=True) / 2 / len(scores) ** 2)


def gaussian(scores: Array) -> Array:
    """exp(−(s − s′)² / 2w²), w the median distance between two scores."""
    distances = np.abs(scores[:, None] - scores)
    width = float(np.median(distances[np.triu_indices(len(scores), 1)])) if len(scores) > 1 else 0.0
    return np.asarray(np.exp(-0.5 * (distances / (width or 1.0)) ** 2))


def grid_scores(probe: Probe, rows: Array, cells: int, blank: Floats) -> Array:
    """The score of the picture under each row of cells, (R,)."""
    return np.array([score for _, score in probe.scored(rows, masking(probe, cells, blank))])


def masking(probe: Probe, cells: int, blank: Floats) -> Callable[[Array], Floats]:
    """From a row of cells to the input that shows as much of each as it says."""
    height, width = probe.size

    def masked(row: Array) -> Floats:
        grid = row.reshape(cells, cells).astype(np.float32)
        mask = cv2.resize(grid, (width, height), interpolation=cv2.INTER_NEAREST)
        return probe.masked(np.asarray(mask, np.float32), blank)

    return masked


def sequence(width: int, count: int, rng: np.random.Generator) -> Array:
    """Points in [0, 1]^width, (count, width), spread evenly: a scrambled Sobol sequence.

    Raises:
        MissingExtra: without scipy.
    """
    try:
        from scipy.stats import qmc  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtra("the sequence of sobol", "superpixels") from error
    return np.asarray(qmc.Sobol(width, rng=rng).random(count), np.float64)
