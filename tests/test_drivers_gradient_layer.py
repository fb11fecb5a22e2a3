"""Smooth Grad-CAM++: against its formula, against torch-cam, and against Grad-CAM++ where the two are one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradient_probes import picture, small_net

from onnxcam.drivers import Floats, Probe, find, from_functions

torch = pytest.importorskip("torch")

LAYER, TARGET = 4, 2  # the last activation of `small_net`


@pytest.fixture(scope="module")
def net() -> Any:
    return small_net("Softplus")


def at_layer(net: Any, batch: Floats) -> tuple[Any, Any]:
    """Activation and gradient of the layer, (N, C, h, w)."""
    activation = net[: LAYER + 1](torch.from_numpy(batch)).detach().requires_grad_()
    return activation, torch.autograd.grad(net[LAYER + 1 :](activation)[:, TARGET].sum(), activation)[0]


def probe_of(net: Any, x: Floats, **options: Any) -> Probe:
    return from_functions(
        x,
        activation=lambda batch: at_layer(net, batch)[0].detach().numpy(),
        gradient=lambda batch: at_layer(net, batch)[1].numpy(),
        **options,
    )


def noises(count: int, std: float, seed: int) -> list[Floats]:
    rng = np.random.default_rng(seed)
    return [np.float32(std) * rng.standard_normal(picture().shape, np.float32) for _ in range(count)]


def test_like_torchcam_the_map_is_torchcams(net: Any):
    methods = pytest.importorskip("torchcam.methods")
    x, count, std = picture(), 5, 0.3
    draws = iter(noises(count, std, 7))
    with methods.SmoothGradCAMpp(net, net[LAYER], num_samples=count, std=std, input_shape=x.shape) as extractor:
        extractor._distrib.sample = lambda shape: torch.from_numpy(next(draws)[None])
        scores = net(torch.from_numpy(x[None]).requires_grad_())
        wanted = extractor.compute_cams(TARGET, scores, normalized=False)[0].numpy()[0]
    found = find("smooth-gradcam++", "torchcam")(probe_of(net, x), {"samples": count, "std": std, "seed": 7})
    assert wanted.max() > 0
    np.testing.assert_allclose(np.maximum(found, 0), wanted, rtol=1e-4, atol=1e-5 * wanted.max())


@pytest.mark.parametrize("numerator", ["second", "first"])
def test_the_map_is_the_formulas(net: Any, numerator: str):
    x, count, std = picture(), 6, 0.4
    pairs = [at_layer(net, (x + noise)[None]) for noise in noises(count, std, 3)]
    first, second, third = (torch.stack([g[0].double() ** power for _, g in pairs]).mean(0) for power in (1, 2, 3))
    a = at_layer(net, x[None])[0][0].detach().double()
    alpha = (second if numerator == "second" else first) / (2 * second + a.sum((1, 2), keepdim=True) * third + 1e-6)
    weights = (alpha * first.relu()).sum((1, 2))
    wanted = (weights[:, None, None] * a).sum(0).numpy()
    options = {"samples": count, "std": std, "seed": 3, "numerator": numerator}
    np.testing.assert_allclose(find("smooth-gradcam++")(probe_of(net, x), options), wanted, rtol=1e-4)


def test_without_noise_the_map_is_that_of_gradcam_plus_plus(net: Any):
    x = picture()
    activation, gradient = (value[0].detach().numpy().astype(np.float64) for value in at_layer(net, x[None]))
    alpha = gradient**2 / (2 * gradient**2 + activation.sum((1, 2), keepdims=True) * gradient**3 + 1e-6)
    wanted = np.tensordot((alpha * np.maximum(gradient, 0)).sum((1, 2)), activation, 1)
    found = find("smooth-gradcam++")(probe_of(net, x), {"samples": 3, "noise": 0})
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_where_the_gradient_is_zero_nothing_is_divided():
    x = picture()

    def flat(value: float) -> Callable[[Floats], Any]:
        return lambda batch: np.full((len(batch), 2, 3, 3), value)

    probe = from_functions(x, activation=flat(1.0), gradient=flat(0.0))
    for like in ("", "torchcam"):
        assert not find("smooth-gradcam++", like)(probe).any()


def test_neither_the_size_of_a_batch_nor_a_second_run_changes_the_map(net: Any):
    maps = [find("smooth-gradcam++")(probe_of(net, picture(), batch_size=size)) for size in (1, 8, 8)]
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-4)
    assert (maps[1] == maps[2]).all()
