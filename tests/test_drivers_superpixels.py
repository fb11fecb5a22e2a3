"""LIME and KernelSHAP against scikit-learn, and against Shapley values by their definition."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial

import numpy as np
import pytest
from driver_probes import linear, picture
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from onnxcam.drivers import DRIVERS, Floats, Probe, from_functions
from onnxcam.drivers.kernelshap import coalitions, shapley
from onnxcam.drivers.lime import drawn, nearness
from onnxcam.drivers.superpixels import Pieces, fitted


def pieces_of(probe: Probe, segments: int, fill: str) -> Pieces:
    return Pieces(probe, segments, fill=fill, seed=0)


def by_definition(game: Callable[[frozenset[int]], float], count: int) -> NDArray[np.float64]:
    """Σ over subsets without i of |S|!(n−|S|−1)!/n! · (game(S ∪ i) − game(S))."""
    values = np.zeros(count)
    for i in range(count):
        others = [k for k in range(count) if k != i]
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for chosen in combinations(others, size):
                values[i] += weight * (game(frozenset({*chosen, i})) - game(frozenset(chosen)))
    return values


def curved(x: Floats) -> Probe:
    """A score in which superpixels interact: a product of sums, and a root."""
    return from_functions(
        x, score=lambda batch: batch[:, 0].sum((1, 2)) * batch[:, 1, :8].sum((1, 2)) + np.sqrt(batch[:, 2].sum((1, 2)))
    )


def test_with_all_subsets_kernelshap_gives_the_shapley_values():
    x = picture((18, 24))
    probe = curved(x)
    pieces = pieces_of(probe, 6, "mean")
    assert 4 <= pieces.count <= 8

    def game(shown: frozenset[int]) -> float:
        row = np.isin(np.arange(pieces.count), list(shown))
        return float(probe.scores([pieces.shown(row)])[0])

    found = DRIVERS["kernelshap"](curved(x), {"segments": 6, "samples": 2**pieces.count})
    values = by_definition(game, pieces.count)
    np.testing.assert_allclose(found, values[pieces.numbers], rtol=1e-4)


def test_of_a_sum_kernelshap_gives_the_terms_however_few_the_samples():
    x, rng = picture(), np.random.default_rng(2)
    weights = rng.normal(size=x.shape).astype(np.float32)
    probe = linear(weights, x)
    pieces = pieces_of(probe, 30, "zero")
    terms = np.bincount(pieces.numbers.ravel(), (weights * x).sum(0).ravel())
    found = DRIVERS["kernelshap"](probe, {"segments": 30, "samples": 120, "fill": "zero"})
    np.testing.assert_allclose(found, terms[pieces.numbers], atol=2e-4)
    assert probe.report["explained"] == pytest.approx(1, abs=1e-5)


def test_the_values_add_up_to_what_the_picture_has_over_the_blank():
    x = picture()
    probe = curved(x)
    pieces = pieces_of(probe, 30, "mean")
    found = DRIVERS["kernelshap"](probe, {"segments": 30, "samples": 100})
    values = [found[pieces.numbers == k][0] for k in range(pieces.count)]
    assert sum(values) == pytest.approx(probe.score - probe.scores([probe.blank("mean")])[0], rel=1e-4)


def test_drawn_subsets_come_near_the_shapley_values_on_average():
    rng = np.random.default_rng(0)
    count, pairs = 10, np.random.default_rng(1).normal(size=(10, 10))

    def game(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.einsum("ri,ij,rj->r", rows.astype(float), pairs, rows.astype(float))

    exact = np.diag(pairs) + 0.5 * (pairs + pairs.T - 2 * np.diag(np.diag(pairs))).sum(1)
    total = float(game(np.ones((1, count), bool))[0])
    found = []
    for _ in range(60):
        rows, weights = coalitions(rng, count, 60)  # of 1022: sizes 1 and 9 whole, the others drawn
        assert (rows.sum(1) == 1).sum() == (rows.sum(1) == 9).sum() == count
        found.append(shapley(rows.astype(float), game(rows), weights, total))
    error = np.abs(np.mean(found, 0) - exact).max()
    assert error < 4 * np.max(np.std(found, 0)) / np.sqrt(60) + 1e-9


def test_limes_coefficients_are_those_of_scikit_learn():
    x = picture()
    probe = curved(x)
    pieces = pieces_of(probe, 25, "segment")
    rows = np.array(list(drawn(np.random.default_rng(3), 80, pieces.count)))
    scores = probe.scores(pieces.shown(row) for row in rows)
    shares = rows.sum(1) / np.sqrt(np.maximum(rows.sum(1), 1) * pieces.count)  # the cosine with a row of ones
    weights = np.sqrt(np.exp(-((1 - shares) ** 2) / 0.25**2))
    ridge = Ridge(alpha=1.0).fit(rows, scores, sample_weight=weights)
    found = DRIVERS["lime"](probe, {"segments": 25, "samples": 80, "seed": 3})
    np.testing.assert_allclose(found, ridge.coef_[pieces.numbers], rtol=1e-3, atol=1e-4)
    r2 = r2_score(scores, ridge.predict(rows), sample_weight=weights)
    assert probe.report["explained"] == pytest.approx(r2, abs=1e-5)


def test_an_unshrunk_regression_is_that_of_numpy():
    rng = np.random.default_rng(0)
    rows, scores, weights = rng.random((40, 6)), rng.random(40), rng.random(40) + 0.1
    values, level = fitted(rows, scores, weights, 0.0)
    root = np.sqrt(weights)
    expected = np.linalg.lstsq(np.c_[rows, np.ones(40)] * root[:, None], scores * root, rcond=None)[0]
    np.testing.assert_allclose([*values, level], expected, atol=1e-9)


def test_the_whole_picture_weighs_most():
    rows = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], np.float64)
    weights = nearness(rows, 0.25)
    assert weights[0] == 1
    assert weights[0] > weights[1] > weights[2]


def test_a_hidden_superpixel_shows_its_mean_colour():
    probe = linear(np.ones((3, 20, 32)), picture())
    pieces = pieces_of(probe, 12, "segment")
    shown = pieces.shown(np.zeros(pieces.count, bool))
    place = pieces.numbers == 4
    np.testing.assert_allclose(shown[:, place], probe.x[:, place].mean(1, keepdims=True).repeat(place.sum(), 1), 1e-5)


def test_superpixels_follow_an_edge():
    x = np.zeros((3, 24, 24), np.float32)
    x[:, :, 13:] = 1
    numbers = pieces_of(linear(np.ones_like(x), x), 8, "zero").numbers
    assert not set(numbers[:, :13].ravel()) & set(numbers[:, 13:].ravel())


@pytest.mark.parametrize("name", ["lime", "kernelshap"])
def test_a_picture_that_cannot_be_cut_is_one_piece(name: str):
    x = np.full((1, 3, 3), 0.5, np.float32)
    found = DRIVERS[name](linear(np.ones_like(x), x), {"segments": 2, "samples": 8, "fill": "zero"})
    assert found.shape == (3, 3)
    assert np.isfinite(found).all()
