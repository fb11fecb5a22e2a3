"""Methods that gather gradients, on explain graphs in ONNX Runtime, against the same net in PyTorch."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper
from small_nets import cnn, net, pictures

import onnxcam
from onnxcam.drivers import DRIVERS

torch = pytest.importorskip("torch")

TARGET = 3
X = pictures(1)[0]
GATHERING = [
    "smoothgrad", "squaregrad", "vargrad", "integrated-gradients", "blur-ig", "guided-ig", "expected-gradients",
    "gradient-shap", "xrai",
]  # fmt: skip


@cache
def explainer(method: str, **options: Any) -> onnxcam.Explainer:
    return onnxcam.Explainer(onnxcam.convert(cnn(), method=method, **options).to_bytes())


class Twin(torch.nn.Module):
    """The small classifier with the weights of its ONNX model."""

    def __init__(self) -> None:
        super().__init__()
        torch.set_num_threads(1)
        self.w = {
            entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in cnn().graph.initializer
        }
        self.relu = torch.nn.ReLU()

    def forward(self, x: Any) -> Any:
        functional, w = torch.nn.functional, self.w
        first = functional.max_pool2d(functional.relu(functional.conv2d(x, w["w1"], w["b1"], padding=1)), 2)
        second = self.relu(functional.conv2d(first, w["w2"], w["b2"], padding=1))
        return second.mean((2, 3)) @ w["w3"] + w["b3"]


def near(found: Any, wanted: Any) -> None:
    """Few values of millions differ in which side of a kink they are on: L2, not the largest difference."""
    wanted = np.asarray(wanted.detach(), np.float64)
    assert np.linalg.norm(found - wanted) <= 1e-4 * np.linalg.norm(wanted)


@pytest.mark.parametrize("rule", ["gausslegendre", "riemann_middle"])
def test_integrated_gradients_are_captums(rule: str):
    attr = pytest.importorskip("captum.attr")
    wanted = attr.IntegratedGradients(Twin()).attribute(torch.from_numpy(X[None]), target=TARGET, method=rule)
    options = {"baselines": "zero", "rule": rule.removeprefix("riemann_")}
    found = explainer("integrated-gradients").drive(X, TARGET, options=options)
    near(found.attribution, wanted[0])


def test_smoothgrad_without_noise_is_captums_saliency():
    attr = pytest.importorskip("captum.attr")
    wanted = attr.Saliency(Twin()).attribute(torch.from_numpy(X[None]).requires_grad_(), target=TARGET, abs=False)
    near(explainer("smoothgrad").drive(X, TARGET, options={"noise": 0, "samples": 2}).attribution, wanted[0])


def test_smooth_gradcam_plus_plus_like_torchcam_is_torchcams():
    methods = pytest.importorskip("torchcam.methods")
    twin, rng = Twin(), np.random.default_rng(2)
    with methods.SmoothGradCAMpp(twin, twin.relu, num_samples=4, std=0.3, input_shape=X.shape) as extractor:
        extractor._distrib.sample = lambda shape: torch.from_numpy(
            np.float32(0.3) * rng.standard_normal(X.shape, np.float32)[None]
        )
        scores = twin(torch.from_numpy(X[None]).requires_grad_())
        wanted = extractor(TARGET, scores)[0]
    found = explainer("smooth-gradcam++", layer="r2", like="torchcam").drive(X, TARGET, options={"seed": 2})
    raw = np.maximum(found.raw, 0)
    near((raw - raw.min()) / np.ptp(raw), wanted[0])


def test_smooth_gradcam_plus_plus_without_noise_is_gradcam_plus_plus():
    plain = explainer("gradcam++", layer="r2", outputs=("raw_map",)).run(X[None], TARGET)["raw_map"]
    smooth = explainer("smooth-gradcam++", layer="r2").drive(X, TARGET, options={"noise": 0, "samples": 2})
    near(smooth.raw, torch.from_numpy(plain.reshape(smooth.raw.shape)))


@pytest.mark.parametrize("method", GATHERING)
def test_a_picture_gets_a_heatmap_an_attribution_and_a_report(method: str):
    if method == "xrai":
        pytest.importorskip("skimage")
    photo = np.random.default_rng(0).integers(0, 256, (20, 24, 3)).astype(np.uint8)
    found = explainer(method)(photo, TARGET)
    assert found.status == "ok"
    assert found.heatmap.shape == (20, 24)
    assert found.attribution is not None
    assert found.attribution.shape == (3, 16, 16)
    assert found.report["passes"] >= 50
    if method.endswith("grad"):
        assert found.report["samples"] == 50
    else:
        gap = found.attribution.sum() - (found.report["score"] - found.report["baseline_score"])
        assert np.isclose(found.report["gap"], gap, atol=1e-3)


def test_the_score_of_the_report_is_the_graphs():
    photo = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    found = explainer("integrated-gradients")(photo, TARGET)
    assert np.isclose(found.report["score"], found.target_score, rtol=1e-5)


def test_black_is_the_photos_black_not_the_inputs_zero():
    black = np.zeros((16, 16, 3), np.uint8)
    assert not explainer("integrated-gradients")(black, TARGET).attribution.any()
    assert explainer("integrated-gradients")(black, TARGET, options={"baselines": "zero"}).attribution.any()


def test_options_mean_the_same_at_conversion_and_at_the_call():
    options = {"samples": 7, "noise": 0.3, "channels": "maximum", "seed": 5}
    early = onnxcam.Explainer(onnxcam.convert(cnn(), method="smoothgrad", options=options).to_bytes())
    late = explainer("smoothgrad")
    assert (early.drive(X, TARGET).raw == late.drive(X, TARGET, options=options).raw).all()


def test_a_baseline_may_be_an_array_at_the_call():
    base = pictures(1, seed=9)[0]
    found = explainer("integrated-gradients").drive(X, TARGET, options={"baselines": base})
    with torch.no_grad():
        before, after = (float(Twin()(torch.from_numpy(at[None]))[0, TARGET]) for at in (base, X))
    assert np.isclose(found.report["baseline_score"], before, rtol=1e-4)
    assert abs(found.attribution.sum() - (after - before)) < 0.05 * abs(after - before)


def test_an_array_is_refused_at_conversion_with_the_way_to_give_it():
    from onnxcam.errors import InvalidOption

    with pytest.raises(InvalidOption, match=r"\.npy file, or the array when the graph is run"):
        onnxcam.convert(cnn(), method="integrated-gradients", options={"baselines": X})


def test_a_model_with_channels_last_gets_the_same_map():
    body = "turned = Transpose<perm=[0,3,1,2]>(pic)\n" + cnn_body("turned")
    model = net(body, x="float[N,16,16,3] pic")
    last = onnxcam.Explainer(onnxcam.convert(model, method="integrated-gradients").to_bytes())
    found = last.drive(X.transpose(1, 2, 0), TARGET, options={"baselines": "zero"})
    first = explainer("integrated-gradients").drive(X, TARGET, options={"baselines": "zero"})
    np.testing.assert_allclose(found.raw, first.raw, rtol=1e-3, atol=1e-5)
    assert found.attribution.shape == (16, 16, 3)


def cnn_body(picture: str) -> str:
    from small_nets import CNN

    return CNN.replace("Conv<pads=[1,1,1,1]>(x,", f"Conv<pads=[1,1,1,1]>({picture},") + "y = Gemm(flat, w3, b3)"


def test_every_one_of_them_is_a_method():
    from onnxcam.methods import METHODS

    assert set(GATHERING) | {"smooth-gradcam++"} <= set(METHODS) & set(DRIVERS)


def test_an_overlay_draws_the_highest_hundredth_alike_and_leaves_the_heatmap():
    from onnxcam.overlay import saturated

    heatmap = np.linspace(0, 1, 1000, dtype=np.float32).reshape(20, 50)
    drawn = saturated(heatmap, 0.01)
    assert (drawn == 1).sum() == 10
    np.testing.assert_allclose(drawn, np.minimum(heatmap / np.quantile(heatmap, 0.99), 1), rtol=1e-6)
    dots = np.zeros((20, 50), np.float32)
    dots[3, 4] = 1
    assert (saturated(dots, 0.01) == dots).all()
    photo = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    found = explainer("smoothgrad")(photo, TARGET)
    before = found.heatmap.copy()
    assert (found.overlay().array != found.overlay(outliers=0).array).any()
    assert (found.heatmap == before).all()
