"""Gradients of Resize through ONNX Runtime, against torch.autograd and against ONNX Runtime's own Jacobian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradients import Array, error, gradients, normal, outcome

from onnxcam.errors import NoGradientForm

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")

SYMBOLIC = [1, 4]
LINEAR, CUBIC = 'mode="linear", coordinate_transformation_mode=', 'mode="cubic", coordinate_transformation_mode='
NEAREST = 'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"'
TORCHS = [
    # ONNX,                          torch
    (NEAREST, {"mode": "nearest"}),
    (f'{LINEAR}"half_pixel"', {"mode": "bilinear"}),
    (f'{LINEAR}"pytorch_half_pixel"', {"mode": "bilinear"}),
    (f'{LINEAR}"align_corners"', {"mode": "bilinear", "align_corners": True}),
    (f'{CUBIC}"half_pixel"', {"mode": "bicubic"}),
    (f'{CUBIC}"align_corners"', {"mode": "bicubic", "align_corners": True}),
]


@pytest.mark.parametrize("symbolic", SYMBOLIC)
@pytest.mark.parametrize("target", [(56, 56), (65, 40), (13, 20)], ids=str)
@pytest.mark.parametrize("case", TORCHS, ids=lambda case: case[0])
def test_resize_equals_torch(case: tuple[str, dict[str, Any]], target: tuple[int, int], symbolic: int):
    attributes, options = case
    x = normal(2, 8, 28, 28)
    tensor = torch.from_numpy(x).requires_grad_()
    y = torch.nn.functional.interpolate(tensor, target, **options)
    g = normal(*y.shape, seed=3)
    (expected,) = torch.autograd.grad(y, tensor, torch.from_numpy(g))
    sizes = f"hw = Constant<value_ints={list(target)}>() y = Resize<{attributes}, axes=[2,3]>(x, , , hw)"
    assert error(gradients(sizes, g, symbolic=symbolic, x=x)[0], expected.numpy()) < 1e-4


CENTRES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
SCALES = [(2.0, 3.0), (1.5, 1.667), (0.6, 0.75), (3.0, 0.5)]


@pytest.mark.parametrize("symbolic", SYMBOLIC)
@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("centre", CENTRES)
def test_nearest_is_the_transposed_jacobian_of_onnx_runtime(
    centre: str, rounding: str, scales: tuple[float, float], symbolic: int
):
    attributes = f'mode="nearest", coordinate_transformation_mode="{centre}", nearest_mode="{rounding}"'
    assert_transposed(scaled(attributes, scales), symbolic)


@pytest.mark.parametrize("symbolic", SYMBOLIC)
@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("mode", ["linear", "cubic", "linear, antialiased", "cubic, without outside"])
def test_interpolation_is_the_transposed_jacobian_of_onnx_runtime(
    mode: str, centre: str, scales: tuple[float, float], symbolic: int
):
    name, _, extra = mode.partition(", ")
    further = {"": "", "antialiased": ", antialias=1", "without outside": ", exclude_outside=1"}[extra]
    assert_transposed(scaled(f'mode="{name}", coordinate_transformation_mode="{centre}"{further}', scales), symbolic)


@pytest.mark.parametrize("symbolic", SYMBOLIC)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_a_crop_is_the_transposed_jacobian_of_onnx_runtime(mode: str, symbolic: int):
    roi = "roi = Constant<value_floats=[0.2, 0.1, 0.7, 1.3]>() n = Constant<value_ints=[6, 5]>()"
    attributes = f'axes=[2,3], mode="{mode}", coordinate_transformation_mode="tf_crop_and_resize"'
    assert_transposed(f"{roi} y = Resize<{attributes}>(x, roi, , n)", symbolic)


def test_channels_last_is_the_transposed_jacobian_of_onnx_runtime():
    scales = "s = Constant<value_floats=[1.0, 2.0, 1.5, 1.0]>()"
    assert_transposed(f'{scales} y = Resize<{LINEAR}"half_pixel">(x, , s)', 4, size=(1, 4, 5, 3))


def test_float16_gradients_follow_those_of_float32():
    x, g = normal(1, 2, 6, 5).astype(np.float16), normal(1, 2, 10, 8, seed=3).astype(np.float16)
    text = scaled(f'{LINEAR}"half_pixel"', (1.7, 1.7))
    (half,) = gradients(text, g, x=x)
    (single,) = gradients(text, g.astype(np.float32), x=x.astype(np.float32))
    assert half.dtype == np.float16
    assert error(half, single) < 2e-3


KEPT = [("not_larger", (9, 9)), ("not_larger", (4, 8)), ("not_smaller", (4, 8)), ("not_smaller", (13, 3))]


@pytest.mark.parametrize("symbolic", SYMBOLIC)
@pytest.mark.parametrize(("policy", "target"), KEPT, ids=str)
@pytest.mark.parametrize("centre", ["half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
def test_a_kept_aspect_is_the_transposed_jacobian_of_onnx_runtime(
    mode: str, centre: str, policy: str, target: tuple[int, int], symbolic: int
):
    attributes = f'axes=[2,3], mode="{mode}", coordinate_transformation_mode="{centre}"'
    size = f"n = Constant<value_ints={list(target)}>()"
    text = f'{size} y = Resize<{attributes}, keep_aspect_ratio_policy="{policy}">(x, , , n)'
    assert_transposed(text, symbolic, size=(1, 1, 6, 7))


def test_a_kept_aspect_with_antialias_is_refused():
    attributes = 'mode="linear", antialias=1, axes=[2,3], keep_aspect_ratio_policy="not_larger"'
    with pytest.raises(NoGradientForm, match="antialias and a kept aspect ratio"):
        gradients(
            f"n = Constant<value_ints=[4, 4]>() y = Resize<{attributes}>(x, , , n)",
            normal(1, 1, 3, 4),
            x=normal(1, 1, 6, 7),
        )


def scaled(attributes: str, scales: tuple[float, float]) -> str:
    return f"s = Constant<value_floats=[1.0, 1.0, {scales[0]}, {scales[1]}]>() y = Resize<{attributes}>(x, , s)"


def assert_transposed(text: str, symbolic: int, *, size: tuple[int, ...] = (1, 1, 6, 5)) -> None:
    """The gradient is Jᵀ g, J column by column as ONNX Runtime has it."""
    x = normal(*size)
    g = normal(*outcome(text, x=x).shape, seed=3)
    (found,) = gradients(text, g, symbolic=symbolic, x=x)
    assert error(found, by_columns(text, g, size)) < 1e-5


def by_columns(text: str, g: Array, size: tuple[int, ...]) -> Array:
    units = np.eye(int(np.prod(size)), dtype=np.float32).reshape(-1, *size)
    # All in one batch: one run.
    together = outcome(text, x=units.reshape(-1, *size[1:]), symbolic=4)
    return (together * g).reshape(len(units), -1).sum(axis=1).reshape(size)
