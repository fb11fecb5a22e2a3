"""Infidelity, max-sensitivity, complexity and likeness, against closed forms, SciPy and scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from metric_cases import case, value
from scipy import stats

from onnxcam.evaluation import likeness

SHAPE = 7, 9
RNG = np.random.default_rng(0)
X, W = RNG.uniform(0.1, 1, SHAPE), RNG.normal(size=SHAPE)


def test_the_gradient_of_a_linear_model_has_no_infidelity_to_noise():
    given = case(X, W, map=W)
    assert value("infidelity", given, kind="gaussian", normalize=False) == pytest.approx(0, abs=1e-9)


def test_what_each_pixel_adds_to_a_linear_model_has_no_infidelity_to_squares():
    assert value("infidelity", case(X, W), normalize=False) == pytest.approx(0, abs=1e-9)


def test_normalised_infidelity_does_not_change_with_the_scale_of_the_map():
    other = case(X, W, map=X)
    scaled = case(X, W, map=13 * X)
    assert value("infidelity", other) == pytest.approx(value("infidelity", scaled))
    assert value("infidelity", other, normalize=False) != pytest.approx(value("infidelity", scaled, normalize=False))


def test_a_map_of_nothing_has_the_mean_squared_drop_as_infidelity():
    noisy = case(X, W, map=np.zeros(SHAPE))
    expected = 0.02**2 * (W**2).sum()  # the variance of noise · W
    assert value("infidelity", noisy, kind="gaussian", count=4000) == pytest.approx(expected, rel=0.1)


def test_infidelity_asks_about_the_score_that_is_explained():
    given = case(X, W, values=lambda b: np.zeros(len(b)))
    assert value("infidelity", given, normalize=False, count=8) > 0
    assert value("infidelity", given, count=8) == pytest.approx(0, abs=1e-12)


def test_a_map_that_never_changes_has_no_sensitivity():
    assert value("max-sensitivity", case(X, explain=lambda b: np.stack([X] * len(b)))) == 0


def test_the_sensitivity_of_a_map_that_is_the_picture_is_the_noise_over_its_length():
    given = case(X, explain=lambda b: b[:, 0])
    noise = given.rng(4).uniform(-0.02, 0.02, (10, *SHAPE))
    expected = np.linalg.norm(noise.reshape(10, -1), axis=1).max() / np.linalg.norm(X)
    assert value("max-sensitivity", given) == pytest.approx(expected)


def test_noise_is_counted_in_the_distance_from_black_to_white():
    unit = case(X, explain=lambda b: b[:, 0])
    bytewise = case(X * 255, explain=lambda b: b[:, 0], black=np.zeros(1), white=np.full(1, 255.0))
    assert value("max-sensitivity", bytewise) == pytest.approx(value("max-sensitivity", unit))


def test_complexity_is_the_mean_of_the_map():
    assert value("complexity", case(X, map=-X)) == pytest.approx(X.mean())


def test_entropy_of_a_flat_map_is_the_logarithm_of_its_size_and_of_a_point_zero():
    point = np.zeros(SHAPE)
    point[3, 4] = 5
    assert value("entropy", case(X, map=np.full(SHAPE, 3.0))) == pytest.approx(math.log(63))
    assert value("entropy", case(X, map=point)) == 0


def test_entropy_is_that_of_scipy():
    assert value("entropy", case(X, map=X)) == pytest.approx(stats.entropy(X.reshape(-1)))


def test_sparseness_of_a_flat_map_is_zero_and_of_a_point_near_one():
    point = np.zeros(SHAPE)
    point[3, 4] = 5
    assert value("sparseness", case(X, map=np.full(SHAPE, 3.0))) == pytest.approx(0)
    assert value("sparseness", case(X, map=point)) == pytest.approx(62 / 63)


def test_sparseness_is_half_the_mean_difference_over_the_mean():
    values = X.reshape(-1)
    expected = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert value("sparseness", case(X, map=X)) == pytest.approx(expected)


def test_a_map_of_nothing_has_neither_entropy_nor_sparseness():
    empty = case(X, map=np.zeros(SHAPE))
    assert math.isnan(value("entropy", empty))
    assert math.isnan(value("sparseness", empty))


@pytest.mark.parametrize("digits", [1, 12])
def test_rank_correlation_is_that_of_scipy_with_and_without_ties(digits: int):
    a, b = np.round(RNG.normal(size=(2, 20, 20)), digits)
    assert likeness.spearman(a, b) == pytest.approx(stats.spearmanr(a.reshape(-1), b.reshape(-1)).statistic)
    assert likeness.pearson(a, b) == pytest.approx(stats.pearsonr(a.reshape(-1), b.reshape(-1)).statistic)


def test_a_flat_map_is_like_nothing():
    assert math.isnan(likeness.spearman(np.ones(SHAPE), X))


def test_structural_similarity_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    a, b = np.random.default_rng(1).uniform(size=(2, 40, 50))
    expected = metrics.structural_similarity(
        a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert likeness.ssim(a, b) == pytest.approx(expected, abs=1e-6)


def test_oriented_gradients_tell_stripes_from_stripes_across():
    stripes = np.tile(np.sin(np.arange(64) / 3), (64, 1))
    assert likeness.hog(stripes, stripes) == pytest.approx(1)
    assert likeness.hog(stripes, stripes.T) < 0.1


def test_oriented_gradients_do_not_care_about_contrast():
    rough = np.random.default_rng(2).uniform(size=(48, 48))
    assert likeness.hog(rough, 0.1 * rough + 0.5) == pytest.approx(1)


def test_noise_on_bytes_stays_within_them():
    seen = []
    given = case(np.array([[0, 255]], np.uint8), map=np.ones((1, 2)), explain=lambda b: seen.append(b) or b[:, 0] * 1.0)
    value("max-sensitivity", given, radius=20)
    assert seen[0].dtype == np.uint8
    assert (seen[0][:, 0, 0, 0] <= 20).all()
    assert (seen[0][:, 0, 0, 1] >= 235).all()
    assert seen[0].std() > 0
