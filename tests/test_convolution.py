"""Gradients of convolutions through ONNX Runtime, against torch.autograd and against the Jacobian itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradients import Array, error, gradients, normal, outcome

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")
F = torch.nn.functional

SIZES = [1, 4]


def torch_gradients(y: Any, g: Array, *tensors: Any) -> list[Array]:
    return [found.numpy() for found in torch.autograd.grad(y, tensors, torch.from_numpy(g))]


CONVS = [
    # name,             x,                  w,               stride, pad, dilation, groups
    ("ResNet's stem", (2, 3, 224, 224), (16, 3, 7, 7), 2, 3, 1, 1),
    ("3×3", (2, 32, 28, 28), (16, 32, 3, 3), 1, 1, 1, 1),
    ("3×3, stride 2, odd", (2, 16, 27, 27), (24, 16, 3, 3), 2, 1, 1, 1),
    ("3×3, stride 2, even", (2, 16, 28, 28), (24, 16, 3, 3), 2, 1, 1, 1),
    ("1×1, stride 2", (2, 16, 14, 14), (24, 16, 1, 1), 2, 0, 1, 1),
    ("patches", (2, 3, 64, 64), (24, 3, 16, 16), 16, 0, 1, 1),
    ("depthwise 7×7", (2, 24, 28, 28), (24, 1, 7, 7), 1, 3, 1, 24),
    ("depthwise 5×5, stride 2", (2, 24, 28, 28), (24, 1, 5, 5), 2, 2, 1, 24),
    ("groups", (2, 32, 14, 14), (64, 4, 3, 3), 1, 1, 1, 8),
    ("groups, stride 2", (2, 32, 14, 14), (64, 4, 3, 3), 2, 1, 1, 8),
    ("dilated", (2, 16, 28, 28), (16, 16, 3, 3), 1, 2, 2, 1),
    ("dilated, stride 2", (2, 16, 28, 27), (16, 16, 3, 3), 2, 4, 3, 1),
]


@pytest.mark.parametrize("symbolic", SIZES)
@pytest.mark.parametrize("case", CONVS, ids=lambda case: case[0])
def test_conv_equals_torch_at_real_sizes(case: tuple[Any, ...], symbolic: int):
    _, size, kernel, stride, pad, dilation, groups = case
    x, w, b = normal(*size), normal(*kernel, seed=1), normal(kernel[0], seed=2)
    tx, tw, tb = (torch.from_numpy(array).requires_grad_() for array in (x, w, b))
    y = F.conv2d(tx, tw, tb, stride, pad, dilation, groups)
    g = normal(*y.shape, seed=3)
    attributes = f"strides=[{stride},{stride}], pads={[pad] * 4}, dilations=[{dilation},{dilation}], group={groups}"
    found = gradients(f"y = Conv<{attributes}>(x, w, b)", g, symbolic=symbolic, x=x, w=w, b=b)
    for ours, theirs in zip(found, torch_gradients(y, g, tx, tw, tb), strict=True):
        assert error(ours, theirs) < 1e-5


@pytest.mark.parametrize("symbolic", SIZES)
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("n", [56, 57])
def test_same_padding_equals_torch_on_a_padded_image(n: int, mode: str, symbolic: int):
    x, w = normal(2, 3, n, n), normal(8, 3, 3, 3, seed=1)
    total = max((-(-n // 2) - 1) * 2 + 3 - n, 0)
    before, after = sorted((total // 2, total - total // 2), reverse=mode == "SAME_LOWER")
    tx, tw = (torch.from_numpy(array).requires_grad_() for array in (x, w))
    y = F.conv2d(F.pad(tx, (before, after, before, after)), tw, stride=2)
    g = normal(*y.shape, seed=3)
    found = gradients(f'y = Conv<auto_pad="{mode}", strides=[2,2]>(x, w)', g, symbolic=symbolic, x=x, w=w)
    for ours, theirs in zip(found, torch_gradients(y, g, tx, tw), strict=True):
        assert error(ours, theirs) < 1e-5


def test_conv_of_volumes_equals_torch():
    x, w = normal(2, 3, 8, 9, 10), normal(4, 3, 3, 3, 3, seed=1)
    tx, tw = (torch.from_numpy(array).requires_grad_() for array in (x, w))
    y = F.conv3d(tx, tw, stride=(2, 1, 2), padding=1)
    g = normal(*y.shape, seed=3)
    found = gradients("y = Conv<strides=[2,1,2], pads=[1,1,1,1,1,1]>(x, w)", g, x=x, w=w)
    for ours, theirs in zip(found, torch_gradients(y, g, tx, tw), strict=True):
        assert error(ours, theirs) < 1e-5


TRANSPOSED = [
    # name,               x,              w,           stride, pad, extra, dilation, groups
    ("decoder", (2, 16, 14, 14), (16, 8, 4, 4), 2, 1, 0, 1, 1),
    ("output padding", (2, 8, 7, 7), (8, 6, 3, 3), 2, 1, 1, 1, 1),
    ("groups", (2, 8, 7, 7), (8, 3, 3, 3), 2, 1, 1, 1, 4),
    ("depthwise", (2, 8, 7, 7), (8, 1, 4, 4), 2, 1, 0, 1, 8),
    ("dilated", (2, 4, 7, 7), (4, 6, 3, 3), 2, 0, 1, 3, 1),
]


@pytest.mark.parametrize("symbolic", SIZES)
@pytest.mark.parametrize("case", TRANSPOSED, ids=lambda case: case[0])
def test_conv_transpose_equals_torch(case: tuple[Any, ...], symbolic: int):
    _, size, kernel, stride, pad, extra, dilation, groups = case
    x, w = normal(*size), normal(*kernel, seed=1)
    tx, tw = (torch.from_numpy(array).requires_grad_() for array in (x, w))
    y = F.conv_transpose2d(tx, tw, None, stride, pad, extra, groups, dilation)
    g = normal(*y.shape, seed=3)
    attributes = f"strides={[stride] * 2}, pads={[pad] * 4}, output_padding={[extra] * 2}, dilations={[dilation] * 2}"
    text = f"y = ConvTranspose<{attributes}, group={groups}>(x, w)"
    found = gradients(text, g, symbolic=symbolic, x=x, w=w)
    for ours, theirs in zip(found, torch_gradients(y, g, tx, tw), strict=True):
        assert error(ours, theirs) < 1e-5


@pytest.mark.parametrize("symbolic", SIZES)
@pytest.mark.parametrize(
    "attributes",
    [
        "strides=[2,2], output_shape=[8,6]",
        "strides=[2,2], output_shape=[7,7]",
        'strides=[2,2], output_shape=[8,6], auto_pad="SAME_UPPER"',
        "strides=[3,3], output_shape=[14,11]",
        'strides=[2,2], auto_pad="SAME_UPPER"',
        'strides=[2,2], auto_pad="SAME_LOWER"',
        'strides=[2,2], auto_pad="VALID"',
    ],
)
def test_conv_transpose_is_the_transposed_jacobian_of_onnx_runtime(attributes: str, symbolic: int):
    x, w, text = normal(1, 2, 4, 3), normal(2, 2, 3, 3, seed=1), f"y = ConvTranspose<{attributes}>(x, w)"
    g = normal(*outcome(text, x=x, w=w).shape, seed=3)
    found = gradients(text, g, symbolic=symbolic, x=x, w=w)
    assert error(found[0], by_columns(lambda unit: outcome(text, x=unit, w=w), g, x.shape)) < 1e-5
    assert error(found[1], by_columns(lambda unit: outcome(text, x=x, w=unit), g, w.shape)) < 1e-5


def test_float16_gradients_follow_those_of_float32():
    x, w, g = (normal(*shape).astype(np.float16) for shape in ((2, 4, 9, 9), (6, 4, 3, 3), (2, 6, 5, 5)))
    text = "y = Conv<strides=[2,2], pads=[1,1,1,1]>(x, w)"
    half = gradients(text, g, x=x, w=w)
    single = gradients(text, g.astype(np.float32), x=x.astype(np.float32), w=w.astype(np.float32))
    for ours, theirs in zip(half, single, strict=True):
        assert ours.dtype == np.float16
        assert error(ours, theirs) < 1e-2


def by_columns(linear: Any, g: Array, shape: tuple[int, ...]) -> Array:
    """Jᵀ g of a linear function, J column by column."""
    units = np.eye(int(np.prod(shape)), dtype=np.float32).reshape(-1, *shape)
    return np.array([(linear(unit) * g).sum() for unit in units]).reshape(shape)
