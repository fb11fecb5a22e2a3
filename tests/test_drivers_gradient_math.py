"""Attributions by gradients on functions of which the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_probes import cubic, linear, of_torch, picture, small_net, weights
from scipy import ndimage

from onnxcam.drivers import find, from_functions
from onnxcam.drivers.blurring import blurred
from onnxcam.drivers.quadrature import RULES, scattered
from onnxcam.drivers.smoothing import Moments

PATHS = ["integrated-gradients", "guided-ig", "expected-gradients", "xrai"]
HONEST = ["gausslegendre", "middle", "trapezoid", "left", "right", "ends"]


@pytest.mark.parametrize("rule", HONEST)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_integrated_gradients_of_a_linear_score_are_exact_in_any_number_of_steps(rule: str, steps: int):
    x, w, base = picture(), weights(), picture(seed=5)
    probe = linear(x, w)
    find("integrated-gradients")(probe, {"steps": steps, "rule": rule, "baselines": base})
    np.testing.assert_allclose(probe.attribution, w * (x - base), rtol=1e-5, atol=1e-6)
    assert abs(probe.report["gap"]) < 1e-4


def test_guided_integrated_gradients_of_a_linear_score_are_exact():
    x, w, base = picture(), weights(), picture(seed=5)
    probe = linear(x, w)
    find("guided-ig")(probe, {"steps": 9, "baselines": base})
    np.testing.assert_allclose(probe.attribution, w * (x - base), rtol=1e-5, atol=1e-6)


def test_expected_gradients_of_a_linear_score_compare_with_the_mean_of_the_baselines_drawn():
    x, w = picture(), weights()
    bases = np.stack([picture(seed=5), picture(seed=6)])
    probe = linear(x, w)
    find("expected-gradients")(probe, {"samples": 10, "baselines": bases})
    first, second = w * (x - bases[0]), w * (x - bases[1])
    share = np.sum((probe.attribution - second) * (first - second)) / np.sum((first - second) ** 2)
    assert np.isclose(share * 10, round(share * 10), atol=1e-4)
    assert 0 < share < 1
    np.testing.assert_allclose(probe.attribution, share * first + (1 - share) * second, rtol=1e-4, atol=1e-5)
    assert abs(probe.report["gap"]) < 1e-4


def test_smoothgrad_of_a_linear_score_is_its_gradient_whatever_the_noise():
    w = weights()
    probe = linear(picture(), w)
    find("smoothgrad")(probe, {"samples": 5, "noise": 3.0})
    np.testing.assert_allclose(probe.attribution, w, rtol=1e-6)


def test_vargrad_of_a_linear_score_is_zero():
    assert not find("vargrad")(linear(picture(), weights()), {"samples": 5, "noise": 1.0}).any()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("smoothgrad", lambda x, w, s: w * (x**2 + s**2)),
        ("vargrad", lambda x, w, s: w**2 * (4 * x**2 * s**2 + 2 * s**4)),
        ("squaregrad", lambda x, w, s: w**2 * (4 * x**2 * s**2 + 2 * s**4 + (x**2 + s**2) ** 2)),
    ],
)
def test_moments_of_a_cubic_scores_gradient_are_those_of_the_normal_distribution(name: str, wanted):
    x, w, std = picture(1, 2, 2), weights(1, 2, 2), 0.5
    probe = cubic(x, w, batch_size=1000)
    find(name)(probe, {"samples": 40000, "std": std})
    np.testing.assert_allclose(probe.attribution, wanted(x.astype(np.float64), w, std), rtol=0.06)


@pytest.mark.parametrize("name", ["smoothgrad", "squaregrad"])
def test_without_noise_one_sample_is_the_gradient(name: str):
    x, w = picture(), weights()
    probe = cubic(x, w)
    find(name)(probe, {"samples": 3, "noise": 0})
    gradient = w * x.astype(np.float64) ** 2
    np.testing.assert_allclose(probe.attribution, gradient if name == "smoothgrad" else gradient**2, rtol=1e-5)


def test_smoothgrad_comes_near_the_gradient_as_the_noise_goes_to_zero():
    x, w = picture(), weights()
    gaps = []
    for noise in (0.1, 0.01, 0.001):
        probe = cubic(x, w)
        find("smoothgrad")(probe, {"samples": 10, "noise": noise})
        gaps.append(np.abs(probe.attribution - w * x**2).max())
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]


def test_moments_are_those_of_numpy_also_far_from_zero():
    rows = np.random.default_rng(0).normal(1e6, 1.0, (50, 4))
    found = Moments((4,))
    for row in rows:
        found.add(row)
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, rows.var(0), rtol=1e-8)
    np.testing.assert_allclose(found.mean_square, (rows**2).mean(0), rtol=1e-12)


def test_gauss_legendre_integrates_a_cubic_score_exactly_in_two_steps():
    x, w, base = picture(), weights(), picture(seed=5)
    probe = cubic(x, w)
    find("integrated-gradients")(probe, {"steps": 2, "baselines": base})
    # along the straight way each value moves alone: w·(x − b)·∫(b + t(x − b))² dt = w·(x³ − b³)/3
    np.testing.assert_allclose(probe.attribution, w * (x.astype(float) ** 3 - base**3.0) / 3, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rule", "order"), [("left", 1), ("right", 1), ("middle", 2), ("trapezoid", 2)])
def test_a_rules_error_falls_with_its_order(rule: str, order: int):
    gaps = []
    for steps in (21, 41):  # 20 and 40 parts for the trapezoid, close enough to that for the others
        probe = cubic(picture(), weights())
        find("integrated-gradients")(probe, {"steps": steps, "rule": rule, "baselines": "zero"})
        gaps.append(abs(probe.report["gap"]))
    assert np.isclose(gaps[0] / gaps[1], 2**order, rtol=0.08)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 2, 5, 50])
def test_a_rules_places_lie_on_the_way_and_its_weights_sum_to_one(rule: str, count: int):
    places, shares = RULES[rule](count)
    assert len(places) == len(shares) == count
    assert places.min() >= 0
    assert places.max() <= 1
    missing = 1 / count if rule == "captum-trapezoid" and count > 1 else 0
    assert np.isclose(shares.sum(), 1 - missing)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 50, 301])
def test_gauss_legendre_is_numpys(count: int):
    places, shares = RULES["gausslegendre"](count)
    wanted_places, wanted_shares = np.polynomial.legendre.leggauss(count)
    np.testing.assert_allclose(places, (1 + wanted_places) / 2, atol=1e-14)
    np.testing.assert_allclose(shares, wanted_shares / 2, rtol=1e-9)


def test_every_beginning_of_the_order_of_steps_is_spread_over_the_way():
    order = scattered(64)
    assert sorted(order) == list(range(64))
    for length in (2, 4, 8, 16):
        assert {at * length // 64 for at in order[:length]} == set(range(length))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("integrated-gradients", {"steps": 20}),
        ("guided-ig", {"steps": 200}),
        ("guided-ig", {"steps": 1000, "distance": 1.0}),
        ("blur-ig", {"steps": 100, "sigma": 6.0, "rule": "middle"}),
    ],
)
def test_the_attribution_adds_up_to_the_score_on_a_smooth_net(name: str, options: dict[str, object]):
    pytest.importorskip("torch")
    probe = of_torch(small_net(), picture(), 1, black=-1.0)
    find(name)(probe, options)
    change = probe.report["score"] - probe.report["baseline_score"]
    assert abs(change) > 0.1
    assert abs(probe.report["gap"]) < 0.015 * abs(change)
    np.testing.assert_allclose(probe.attribution.sum() - change, probe.report["gap"], atol=1e-4)


def test_expected_gradients_add_up_to_the_score_with_many_samples():
    pytest.importorskip("torch")
    probe = of_torch(small_net(), picture(), 1, batch_size=100)
    find("expected-gradients")(probe, {"samples": 2000, "baselines": "black,white"})
    change = probe.report["score"] - probe.report["baseline_score"]
    assert abs(probe.report["gap"]) < 0.05 * abs(change)


def test_without_distance_guided_integrated_gradients_go_straight():
    pytest.importorskip("torch")
    net, x = small_net("ReLU"), picture()
    guided, straight = of_torch(net, x, 0), of_torch(net, x, 0)
    find("guided-ig")(guided, {"steps": 20, "distance": 0})
    find("integrated-gradients")(straight, {"steps": 20, "rule": "left"})
    np.testing.assert_allclose(guided.attribution, straight.attribution, atol=1e-5)


def test_several_baselines_give_the_mean_of_their_attributions():
    x, w = picture(), weights()
    bases = [picture(seed=5), picture(seed=6)]
    alone = []
    for base in bases:
        probe = cubic(x, w)
        find("integrated-gradients")(probe, {"steps": 8, "baselines": base})
        alone.append(probe.attribution)
    probe = cubic(x, w)
    find("integrated-gradients")(probe, {"steps": 8, "baselines": np.stack(bases)})
    np.testing.assert_allclose(probe.attribution, np.mean(alone, axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.7, 3.0, 40.0])
def test_the_blur_is_scipys(sigma: float):
    x = picture(3, 20, 31)
    wanted = ndimage.gaussian_filter(x.astype(np.float64), [0, sigma, sigma], mode="constant")
    np.testing.assert_allclose(blurred(linear(x, weights(3, 20, 31)), sigma), wanted, atol=1e-12)


@pytest.mark.parametrize("name", ["smoothgrad", "integrated-gradients", "blur-ig", "guided-ig", "gradient-shap"])
def test_the_layout_does_not_matter(name: str):
    x, w = picture(), weights()
    options = {"samples": 2, "noise": 0.0, "baselines": "mean"} if name == "gradient-shap" else {}
    options = {"noise": 0.0, "samples": 2} if name == "smoothgrad" else options
    turned = cubic(x.transpose(1, 2, 0), w.transpose(1, 2, 0), layout="HWC")
    first, second = find(name)(cubic(x, w), options), find(name)(turned, options)
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["smoothgrad", "vargrad", "integrated-gradients", "expected-gradients", "gradient-shap"]
)
def test_neither_the_size_of_a_batch_nor_a_second_run_changes_the_map(name: str):
    x, w = picture(), weights()
    maps = [find(name)(cubic(x, w, batch_size=size), {"seed": 3}) for size in (1, 7, 7)]
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-5)
    assert (maps[1] == maps[2]).all()


@pytest.mark.parametrize("name", ["smoothgrad", "vargrad", "expected-gradients", "gradient-shap"])
def test_another_seed_gives_other_draws(name: str):
    x, w = picture(), weights()
    first, second = (find(name)(cubic(x, w), {"seed": seed, "samples": 4}) for seed in (0, 1))
    assert np.abs(first - second).max() > 1e-3


def test_a_value_that_the_score_ignores_gets_nothing():
    w = weights()
    w[:, 3, 4] = 0
    for name in ["smoothgrad", "vargrad", "squaregrad", "integrated-gradients", "blur-ig", "guided-ig"]:
        assert find(name)(cubic(picture(), w), {})[3, 4] == 0


def test_two_functions_with_the_same_values_get_the_same_map():
    """Implementation invariance, of IG's axioms: relu(a) − relu(−a) is a."""
    torch = pytest.importorskip("torch")
    direct = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(360, 1))

    def detour(inputs):
        plain = direct(inputs)
        return torch.relu(plain) - torch.relu(-plain)

    first, second = (find("integrated-gradients")(of_torch(net, picture(), 0)) for net in (direct, detour))
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("channels", "wanted"),
    [
        ("absolute", lambda a: np.abs(a).sum(0)),
        ("sum", lambda a: a.sum(0)),
        ("net", lambda a: np.abs(a.sum(0))),
        ("maximum", lambda a: np.abs(a).max(0)),
        ("largest", lambda a: a.max(0)),
    ],
)
def test_channels_are_joined_as_asked(channels: str, wanted):
    w = weights()
    found = find("smoothgrad")(linear(picture(), w), {"channels": channels, "samples": 1})
    np.testing.assert_allclose(found, wanted(w), rtol=1e-5)


def test_smoothgrad_can_average_absolute_gradients_or_gradients_times_input():
    x, w = picture(), weights()
    probe = linear(x, w)
    find("smoothgrad")(probe, {"of": "absolute", "samples": 3})
    np.testing.assert_allclose(probe.attribution, np.abs(w), rtol=1e-6)
    find("smoothgrad")(probe, {"of": "input", "samples": 3, "noise": 0})
    np.testing.assert_allclose(probe.attribution, w * x, rtol=1e-5)


def test_noise_is_a_share_of_the_inputs_range():
    """For the score Σ x³/3 the mean gradient rises by the noise's variance."""
    x = picture(1, 3, 3)
    probe = cubic(x, np.ones((1, 3, 3)), batch_size=1000)
    find("smoothgrad")(probe, {"samples": 20000, "noise": 0.2})
    np.testing.assert_allclose((probe.attribution - x**2).mean(), (0.2 * np.ptp(x)) ** 2, rtol=0.05)


def test_a_score_without_gradient_gives_a_map_of_zeros():
    x = picture()
    probe = from_functions(x, score=lambda batch: np.ones(len(batch)), gradient=np.zeros_like)
    for name in ["smoothgrad", "vargrad", "squaregrad", *PATHS, "blur-ig", "gradient-shap"]:
        if name != "xrai":
            assert not find(name)(probe, {}).any()


def test_a_picture_that_is_its_own_baseline_gets_a_map_of_zeros():
    x, w = picture(), weights()
    for name in ["integrated-gradients", "guided-ig", "expected-gradients"]:
        assert not find(name)(cubic(x, w), {"baselines": x}).any()


@pytest.mark.parametrize(
    "name", ["smoothgrad", "integrated-gradients", "blur-ig", "guided-ig", "expected-gradients", "xrai"]
)
def test_a_gradient_that_is_no_number_ends_in_a_map_that_says_so(name: str):
    x, w = picture(), weights()
    w[0, 0, 0] = np.nan
    if name == "xrai":
        pytest.importorskip("skimage")
    assert np.isnan(find(name)(linear(x, w), {})[0, 0])
