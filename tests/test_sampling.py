"""GridSample, DeformConv, AffineGrid and boxes through loading and ONNX Runtime, against PyTorch and ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import Array, error, evaluate, normal
from loaded_models import forward, gradients_of, loaded_gradients, model, tensors

from onnxcam.errors import UnsupportedOperator
from onnxcam.graph import load

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")

SEED = 7


def points(*shape: int) -> Array:
    return np.random.default_rng(SEED).uniform(-1.3, 1.3, shape).astype(np.float32)


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_gradients_of_grid_sample_equal_torch(mode: str, padding: str, kind: str):
    feeds = {"x": normal(2, 5, 11, 9).astype(kind), "g": points(2, 6, 7, 2).astype(kind)}
    feeds["cotangent"] = normal(2, 5, 6, 7, seed=3).astype(kind)
    proto = model(f'y = GridSample<mode="{mode}", padding_mode="{padding}">(x, g)', {k: feeds[k] for k in "xg"})
    of = tensors(feeds)
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    y = torch.nn.functional.grid_sample(of["x"], of["g"], mode=name, padding_mode=padding, align_corners=False)
    wrt = "x" if mode == "nearest" else "xg"
    expected = torch.autograd.grad(y, [of[k] for k in wrt], of["cotangent"])
    for found, wanted in zip(gradients_of(proto, feeds, wrt), expected, strict=True):
        assert error(found, wanted.numpy()) < (1e-5 if kind == "float32" else 2e-3)


def test_a_grid_may_be_of_another_type_than_the_picture():
    half = {"x": normal(1, 2, 5, 6).astype(np.float16), "g": points(1, 3, 4, 2)}
    half["cotangent"] = normal(1, 2, 3, 4, seed=3).astype(np.float16)
    single = {name: x.astype(np.float32) for name, x in half.items()}
    found, expected = (
        gradients_of(model("y = GridSample(x, g)", {k: f[k] for k in "xg"}), f, "xg") for f in (half, single)
    )
    for one, other, kind in zip(found, expected, (np.float16, np.float32), strict=True):
        assert one.dtype == kind
        assert error(one, other) < 1e-3


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_volumes_are_sampled_and_differentiated_like_in_torch(kind: str, mode: str, padding: str, aligned: int):
    feeds = {"x": normal(2, 3, 4, 5, 6).astype(kind), "g": points(2, 3, 2, 4, 3).astype(kind)}
    proto = model(f'y = GridSample<mode="{mode}", padding_mode="{padding}", align_corners={aligned}>(x, g)', feeds)
    of = tensors(feeds)
    name = {"linear": "bilinear"}.get(mode, mode)
    y = torch.nn.functional.grid_sample(of["x"], of["g"], mode=name, padding_mode=padding, align_corners=bool(aligned))
    tolerance = 1e-5 if kind == "float32" else 1e-12
    assert error(forward(load(proto).proto, feeds), y.detach().numpy()) < tolerance
    feeds["cotangent"] = normal(*y.shape, seed=3).astype(kind)
    wrt = "x" if mode == "nearest" else "xg"
    expected = torch.autograd.grad(y, [of[k] for k in wrt], torch.from_numpy(feeds["cotangent"]))
    for found, wanted in zip(gradients_of(proto, feeds, wrt), expected, strict=True):
        assert error(found, wanted.numpy()) < tolerance


def test_pictures_in_float64_can_be_sampled_after_loading():
    feeds = {"x": normal(1, 2, 5, 6).astype(np.float64), "g": points(1, 3, 4, 2).astype(np.float64)}
    proto = model('y = GridSample<mode="cubic">(x, g)', feeds)
    assert error(forward(load(proto).proto, feeds), forward(proto, feeds)) < 1e-12


def test_a_volume_read_by_cubics_is_refused():
    feeds = {"x": normal(1, 1, 4, 4, 4), "g": points(1, 2, 2, 2, 3)}
    with pytest.raises(UnsupportedOperator, match="reads volumes by cubics"):
        load(model('y = GridSample<mode="cubic">(x, g)', feeds))


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("axes", [2, 3])
def test_the_size_of_an_affine_grid_may_be_computed(axes: int, aligned: int):
    feeds = {"t": normal(2, axes, axes + 1), "n": np.array([2, 3, 4, 5, 6][: axes + 2])}
    proto = model(f"y = AffineGrid<align_corners={aligned}>(t, n)", feeds, fixed="tn")
    lowered = load(proto).proto
    for size in ([2, 3, 4, 5, 6], [2, 1, 7, 3, 2], [2, 1, 1, 3, 1]):
        feeds["n"] = np.array(size[: axes + 2])
        assert error(forward(lowered, feeds), forward(proto, feeds)) < 1e-6


def test_a_spatial_transformer_is_differentiated_at_two_sizes_from_one_file():
    text = "n = Shape(x) g = AffineGrid(t, n) y = GridSample(x, g)"
    feeds = {"x": normal(2, 3, 8, 6), "t": normal(2, 2, 3) * 0.3, "cotangent": normal(2, 3, 8, 6, seed=3)}
    proto, _ = loaded_gradients(model(text, {k: feeds[k] for k in "xt"}, fixed="t"), feeds, "xt")
    for shape in ((2, 3, 8, 6), (2, 3, 5, 11)):
        feeds |= {"x": normal(*shape), "cotangent": normal(*shape, seed=3)}
        of = tensors(feeds)
        grid = torch.nn.functional.affine_grid(of["t"], list(shape), align_corners=False)
        y = torch.nn.functional.grid_sample(of["x"], grid, align_corners=False)
        expected = torch.autograd.grad(y, [of["x"], of["t"]], of["cotangent"])
        for found, wanted in zip(evaluate(proto, feeds)[1:], expected, strict=True):
            assert error(found, wanted.numpy()) < 1e-5
