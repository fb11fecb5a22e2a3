"""The same numbers as PAIR's saliency, the code of the papers' authors, for their methods."""

from __future__ import annotations

from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
from gradient_probes import of_torch, picture, small_net

from onnxcam.drivers import Floats, Probe, find
from onnxcam.drivers.segments import pieces
from onnxcam.drivers.xrai import by_gain, by_rank, painted

saliency = pytest.importorskip("saliency.core")
pytest.importorskip("torch")

SIZE = (40, 32)


@pytest.fixture(scope="module")
def net() -> Any:
    return small_net("ReLU", SIZE)


@pytest.fixture(autouse=True)
def old_quantile(monkeypatch: pytest.MonkeyPatch):
    """Guided IG of saliency 0.2.1 uses a name that NumPy 2.4 has dropped."""
    monkeypatch.setattr(np, "quantile", _quantile)


def _quantile(values: Any, share: float, interpolation: str | None = None, _quantile: Any = np.quantile, **given: Any):
    return _quantile(values, share, **({"method": interpolation} if interpolation else given))


def asked(probe: Probe, batch: Any, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
    """What saliency asks of a model."""
    return {saliency.INPUT_OUTPUT_GRADIENTS: probe.gradients(np.asarray(batch, np.float32))}


def wide(shape: tuple[int, ...] = (3, *SIZE)) -> Floats:
    """A picture with large even parts, so that there are segments to find."""
    coarse = np.random.default_rng(3).random((shape[0], 5, 4), np.float32)
    planes = [cv2.resize(plane, shape[:0:-1], interpolation=cv2.INTER_NEAREST) for plane in coarse]
    return np.stack(planes) + 0.1 * picture(*shape)


@pytest.mark.parametrize(
    ("steps", "fraction", "distance"),
    [(20, 0.25, 0.02), (20, 0.25, 0.2), (7, 0.1, 1.0), (12, 1.0, 0.0), (9, 0.6, 0.05)],
)
def test_guided_integrated_gradients_are_pairs(net: Any, steps: int, fraction: float, distance: float):
    x, base = picture(3, *SIZE), picture(3, *SIZE, seed=5)
    base[:, :3] = x[:, :3]  # some values need not move
    probe = of_torch(net, x, 1)
    wanted = saliency.GuidedIG().GetMask(
        x, partial(asked, probe), x_baseline=base, x_steps=steps, fraction=fraction, max_dist=distance
    )
    options = {"steps": steps, "fraction": fraction, "distance": distance, "baselines": base}
    find("guided-ig")(probe, options)
    np.testing.assert_allclose(probe.attribution, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(("steps", "sigma"), [(10, 5.0), (25, 50.0)])
def test_blur_integrated_gradients_are_pairs(net: Any, steps: int, sigma: float):
    x = picture(3, *SIZE)
    probe = of_torch(net, x, 1)

    def asked_hwc(batch: Any, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
        found = asked(probe, np.moveaxis(np.asarray(batch), -1, 1))
        return {name: np.moveaxis(value, 1, -1) for name, value in found.items()}

    picture_hwc = x.transpose(1, 2, 0).astype(np.float64)
    wanted = saliency.BlurIG().GetMask(picture_hwc, asked_hwc, max_sigma=sigma, steps=steps)
    find("blur-ig")(probe, {"steps": steps, "sigma": sigma})
    np.testing.assert_allclose(probe.attribution.transpose(1, 2, 0), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_integrated_gradients_with_equal_weights_at_both_ends_are_pairs(net: Any):
    x, base = picture(3, *SIZE), picture(3, *SIZE, seed=5)
    probe = of_torch(net, x, 1)
    wanted = saliency.IntegratedGradients().GetMask(x, partial(asked, probe), x_baseline=base, x_steps=11, batch_size=4)
    find("integrated-gradients")(probe, {"steps": 11, "rule": "ends", "baselines": base})
    np.testing.assert_allclose(probe.attribution, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def pairs_segments(x: Floats) -> list[Any]:
    from saliency.core import xrai

    return xrai._get_segments_felzenszwalb(x.transpose(1, 2, 0))


@pytest.mark.parametrize("size", [SIZE, (64, 64), (250, 230)])
def test_the_pieces_are_pairs(size: tuple[int, int]):
    pytest.importorskip("skimage")
    x = wide((3, *size))
    wanted = [np.flatnonzero(mask) for mask in pairs_segments(x)]
    found = list(pieces(x.transpose(1, 2, 0)))
    assert len(found) == len([part for part in wanted if len(part)])
    for mine, theirs in zip(found, [part for part in wanted if len(part)], strict=True):
        assert (mine == theirs).all()


@pytest.mark.parametrize("area", [1.0, 0.3])
@pytest.mark.parametrize("algorithm", ["full", "fast"])
def test_xrai_of_a_given_attribution_is_pairs(algorithm: str, area: float):
    x = wide((3, 90, 80))
    plane = np.random.default_rng(0).normal(size=(90, 80)) + np.add.outer(np.linspace(0, 2, 90), np.zeros(80))
    parameters = saliency.XRAIParameters(area_threshold=area, algorithm=algorithm)
    wanted = saliency.XRAI().GetMask(
        x.transpose(1, 2, 0), None, base_attribution=np.repeat(plane[..., None], 3, -1), extra_parameters=parameters
    )
    parts, flat = list(pieces(x.transpose(1, 2, 0))), plane.reshape(-1)
    regions = by_rank(flat, parts) if algorithm == "fast" else by_gain(flat, parts, area=area)
    assert len(regions) > 3
    np.testing.assert_allclose(painted(flat, regions).reshape(90, 80), wanted, rtol=1e-9, atol=1e-12)


def test_xrai_is_pairs_from_picture_to_map(net: Any):
    x = wide()
    probe = of_torch(net, x, 1)

    def asked_hwc(batch: Any, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
        found = asked(probe, np.moveaxis(np.asarray(batch), -1, 1))
        return {name: np.moveaxis(value, 1, -1) for name, value in found.items()}

    parameters = saliency.XRAIParameters(steps=15)
    wanted = saliency.XRAI().GetMask(x.transpose(1, 2, 0), asked_hwc, extra_parameters=parameters, batch_size=5)
    bases = np.stack([np.full_like(x, x.min()), np.full_like(x, x.max())])
    found = find("xrai")(probe, {"steps": 15, "rule": "ends", "baselines": bases})
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
