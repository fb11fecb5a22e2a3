"""The same numbers as Captum, where the two compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_probes import of_torch, picture, small_net

from onnxcam.drivers import find

torch = pytest.importorskip("torch")
attr = pytest.importorskip("captum.attr")

TARGET = 2
CAPTUM = {
    "gausslegendre": "gausslegendre",
    "left": "riemann_left",
    "right": "riemann_right",
    "middle": "riemann_middle",
    "captum-trapezoid": "riemann_trapezoid",
}


@pytest.fixture(params=["ReLU", "Softplus"], scope="module")
def net(request) -> Any:
    return small_net(request.param)


def near(found: Any, wanted: Any, share: float = 1e-5) -> None:
    """Within a share of the largest value: both add up float32 numbers, in another order."""
    wanted = np.asarray(wanted.detach())
    np.testing.assert_allclose(found, wanted, rtol=0, atol=share * np.abs(wanted).max())


@pytest.mark.parametrize("rule", CAPTUM)
@pytest.mark.parametrize("steps", [2, 17])
def test_integrated_gradients_are_captums(net: Any, rule: str, steps: int):
    x, base = picture(), picture(seed=5)
    probe = of_torch(net, x, TARGET)
    find("integrated-gradients")(probe, {"rule": rule, "steps": steps, "baselines": base})
    wanted, delta = attr.IntegratedGradients(net).attribute(
        torch.from_numpy(x[None]),
        torch.from_numpy(base[None]),
        target=TARGET,
        n_steps=steps,
        method=CAPTUM[rule],
        return_convergence_delta=True,
    )
    near(probe.attribution, wanted[0])
    assert abs(probe.report["gap"] - float(delta)) < 1e-4


def test_like_captum_the_defaults_are_captums(net: Any):
    x = picture()
    found = find("integrated-gradients", "captum")(of_torch(net, x, TARGET))
    near(found, attr.IntegratedGradients(net).attribute(torch.from_numpy(x[None]), target=TARGET)[0].sum(0))


def test_our_trapezoid_is_captums_with_weights_that_sum_to_one(net: Any):
    x, steps = picture(), 5
    probe = of_torch(net, x, TARGET)
    find("integrated-gradients")(probe, {"rule": "trapezoid", "steps": steps, "baselines": "zero"})
    wanted = attr.IntegratedGradients(net).attribute(
        torch.from_numpy(x[None]), target=TARGET, n_steps=steps, method="riemann_trapezoid"
    )
    near(probe.attribution, wanted[0] * steps / (steps - 1))


def test_smoothgrad_without_noise_is_captums_saliency(net: Any):
    x = picture()
    probe = of_torch(net, x, TARGET)
    found = find("smoothgrad")(probe, {"samples": 1, "noise": 0, "channels": "maximum"})
    wanted = attr.Saliency(net).attribute(torch.from_numpy(x[None]).requires_grad_(), target=TARGET, abs=False)[0]
    near(probe.attribution, wanted)
    near(found, wanted.abs().amax(0))


def draws(count: int, std: float, seed: int) -> Any:
    """The noise of smoothgrad and its kin, (count, C, H, W)."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([std * rng.standard_normal(picture().shape, np.float32) for _ in range(count)]))


@pytest.mark.parametrize(
    ("name", "kind"), [("smoothgrad", "smoothgrad"), ("squaregrad", "smoothgrad_sq"), ("vargrad", "vargrad")]
)
@pytest.mark.parametrize("of", ["gradient", "absolute", "input"])
def test_averages_over_the_same_noise_are_those_of_captums_noise_tunnel(
    net: Any, name: str, kind: str, of: str, monkeypatch: pytest.MonkeyPatch
):
    x, std = picture(), 0.3
    noise = draws(6, std, seed=4)
    monkeypatch.setattr(torch, "normal", lambda mean, spread: noise)
    inner = attr.InputXGradient(net) if of == "input" else attr.Saliency(net)
    options = {} if of == "input" else {"abs": of == "absolute"}
    wanted = attr.NoiseTunnel(inner).attribute(
        torch.from_numpy(x[None]), nt_type=kind, nt_samples=6, stdevs=std, target=TARGET, **options
    )
    probe = of_torch(net, x, TARGET)
    find(name)(probe, {"samples": 6, "std": std, "of": of, "seed": 4})
    near(probe.attribution, wanted[0], 1e-4)


def test_gradient_shap_with_the_same_draws_is_captums(net: Any, monkeypatch: pytest.MonkeyPatch):
    x, bases, std, count = picture(), np.stack([picture(seed=at) for at in (5, 6, 7)]), 0.2, 8
    rng = np.random.default_rng(9)
    picks, noise, places = rng.integers(3, size=count), [], []
    for _ in range(count):
        noise.append(np.float32(std) * rng.standard_normal(x.shape, np.float32))
        places.append(rng.random())
    monkeypatch.setattr(torch, "normal", lambda mean, spread: torch.from_numpy(np.stack(noise)))
    monkeypatch.setattr(np.random, "choice", lambda *_, **__: picks)
    monkeypatch.setattr(np.random, "uniform", lambda *_: np.array(places))
    wanted = attr.GradientShap(net).attribute(
        torch.from_numpy(x[None]), torch.from_numpy(bases), n_samples=count, stdevs=std, target=TARGET
    )
    probe = of_torch(net, x, TARGET)
    find("gradient-shap")(probe, {"samples": count, "std": std, "baselines": bases, "seed": 9})
    near(probe.attribution, wanted[0], 1e-4)
