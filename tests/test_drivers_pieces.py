"""Cells and superpixels against the definitions of Sobol's indices, HSIC and Shapley values, and against Captum."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from driver_probes import Net, in_numpy, linear, on_region, picture

from onnxcam.drivers import DRIVERS, Floats, from_functions
from onnxcam.drivers.grids import dependence
from onnxcam.drivers.superpixels import Pieces
from onnxcam.errors import InvalidOption


def test_of_a_sum_the_sobol_index_is_the_cells_share_of_the_variance():
    """Σ aᵢ·mᵢ with independent m: the total index of cell i is aᵢ² / Σ a²."""
    x, weights = np.ones((1, 12, 18), np.float32), np.zeros((1, 12, 18), np.float32)
    terms = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 4.0]])
    weights[0, 2::4, 3::6] = terms
    found = DRIVERS["sobol"](linear(weights, x, batch_size=64), {"cells": 3, "designs": 256})
    np.testing.assert_allclose(found, terms**2 / (terms**2).sum(), atol=0.03)


def test_a_product_gives_each_factor_more_than_its_own_share():
    """For m₁·m₂ with uniform m the total index is (1/3·1/3 − 1/4·1/3) / (1/9 − 1/16) = 4/7."""
    x = np.ones((1, 4, 4), np.float32)
    probe = from_functions(x, score=lambda batch: batch[:, 0, 0, 0] * batch[:, 0, 3, 3], batch_size=64)
    found = DRIVERS["sobol"](probe, {"cells": 2, "designs": 1024})
    np.testing.assert_allclose(found, [[4 / 7, 0], [0, 4 / 7]], atol=0.02)


def test_hsic_is_its_double_sum():
    rng = np.random.default_rng(0)
    rows = (rng.random((40, 5)) < 0.5).astype(float)
    scores = rows @ rng.normal(size=5) + 0.1 * rng.normal(size=40)
    count = len(rows)
    centre = np.eye(count) - 1 / count
    distances = np.abs(scores[:, None] - scores)
    width = np.median([distances[i, j] for i in range(count) for j in range(i)])
    outer = np.exp(-(distances**2) / (2 * width**2))
    for cell, found in enumerate(dependence(rows, scores)):
        inner = 0.5 - (rows[:, cell, None] - rows[:, cell]) ** 2
        assert found == pytest.approx(np.trace(inner @ centre @ outer @ centre) / count**2)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sobol", {"cells": 5, "designs": 16}),
        ("hsic", {"cells": 5, "samples": 300}),
        ("feature-ablation", {"segments": 30}),
        ("shapley-sampling", {"segments": 30, "samples": 3}),
    ],
)
def test_what_alone_counts_is_found(name: str, options: dict[str, Any]):
    found = DRIVERS[name](on_region(picture()), options)

    found = cv2.resize(found, (32, 20), interpolation=cv2.INTER_NEAREST)
    top, left = np.unravel_index(found.argmax(), found.shape)
    assert 0 <= top < 13
    assert 17 <= left < 32
    assert found[3:9, 20:29].mean() > 3 * max(found[12:, :16].mean(), 0)


def test_hiding_superpixels_one_by_one_is_captums_feature_ablation():
    ablation = pytest.importorskip("captum.attr").FeatureAblation
    x, net = picture(), Net()
    score = in_numpy(lambda batch: net(batch)[:, 2])
    pieces = Pieces(from_functions(x, score=score), 20, fill="zero", seed=0)
    theirs = ablation(net).attribute(
        torch.from_numpy(x)[None], target=2, feature_mask=torch.from_numpy(pieces.numbers)[None, None], baselines=0
    )
    found = DRIVERS["feature-ablation"](from_functions(x, score=score), {"segments": 20, "fill": "zero"})
    np.testing.assert_allclose(found, theirs[0, 0].numpy(), atol=1e-5)


def test_sampled_shapley_values_add_up_and_come_near_those_of_kernelshap():
    def score(batch: Floats) -> Floats:
        return batch[:, 0].sum((1, 2)) * batch[:, 1, :8].sum((1, 2)) / 100

    x, small = picture((18, 24)), {"segments": 6}
    probe = from_functions(x, score=score)
    found = DRIVERS["shapley-sampling"](probe, small | {"samples": 400})
    exact = DRIVERS["kernelshap"](from_functions(x, score=score), small | {"samples": 4096})
    assert np.abs(found - exact).max() < 0.06 * np.abs(exact).max()
    pieces = Pieces(probe, 6, fill="mean", seed=0)
    values = [found[pieces.numbers == k][0] for k in range(pieces.count)]
    assert sum(values) == pytest.approx(probe.score - probe.scores([probe.blank("mean")])[0], rel=1e-4)


@pytest.mark.parametrize("name", ["sobol", "hsic", "feature-ablation", "shapley-sampling"])
def test_interrupted_they_give_what_they_have(name: str):
    probe = on_region(picture(), batch_size=8)
    ask, calls = probe._ask, []

    def stopping(batch: Floats, wanted: tuple[str, ...]) -> Any:
        calls.append(len(batch))
        if len(calls) > 40:
            raise KeyboardInterrupt
        return ask(batch, wanted)

    probe._ask = stopping
    fewer = {"feature-ablation": {"segments": 500}, "hsic": {}, "sobol": {}, "shapley-sampling": {}}
    probe.batch_size = 1 if name == "feature-ablation" else 8
    found = DRIVERS[name](probe, fewer[name])
    assert probe.interrupted
    assert np.isfinite(found).all()
    assert found.any()


@pytest.mark.parametrize("name", ["sobol", "shapley-sampling"])
def test_an_interruption_before_anything_is_known_is_passed_on(name: str):
    probe = on_region(picture(), batch_size=4)
    ask, calls = probe._ask, []

    def stopping(batch: Floats, wanted: tuple[str, ...]) -> Any:
        calls.append(len(batch))
        if len(calls) > 20:
            raise KeyboardInterrupt
        return ask(batch, wanted)

    probe._ask = stopping
    with pytest.raises(KeyboardInterrupt):
        DRIVERS[name](probe, {"designs": 64} if name == "sobol" else {"segments": 200})


@pytest.mark.parametrize("name", ["sobol", "hsic", "shapley-sampling"])
def test_the_same_seed_gives_the_same_map_and_another_seed_another(name: str):
    options = {"sobol": {"designs": 4, "cells": 3}, "hsic": {"samples": 20}, "shapley-sampling": {"samples": 2}}[name]
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(3, 20, 32)).astype(np.float32)

    def run(seed: int) -> Floats:
        probe = from_functions(picture(), score=lambda batch: (batch * weights).sum((1, 2, 3)) ** 2)
        return DRIVERS[name](probe, options | {"seed": seed})

    np.testing.assert_array_equal(run(1), run(1))
    assert np.abs(run(1) - run(2)).max() > 1e-6


def test_a_score_that_never_changes_depends_on_no_cell():
    probe = from_functions(picture(), score=lambda batch: np.ones(len(batch)))
    assert not DRIVERS["sobol"](probe, {"cells": 3, "designs": 4}).any()
    assert np.abs(DRIVERS["hsic"](probe, {"cells": 3, "samples": 20})).max() < 1e-12


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("sobol", {"cells": 1}, "must be 2 or more"),
        ("sobol", {"designs": 12}, "must be a power of 2"),
        ("hsic", {"samples": 3}, "must be 4 or more"),
        ("hsic", {"cells": 40}, "must be from 1 to 20"),
        ("feature-ablation", {"segments": 0}, "must be 2 or more"),
        ("shapley-sampling", {"samples": 0}, "must be 1 or more"),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: dict[str, Any], said: str):
    with pytest.raises(InvalidOption, match=said):
        DRIVERS[name](on_region(picture()), options)
