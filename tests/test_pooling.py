"""Gradients of pools through ONNX Runtime, against torch.autograd: real sizes, ties, and what is not a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradients import Array, error, gradients, normal

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")
F = torch.nn.functional

SIZES = [1, 4]
POOLS = [
    # name,                   x,                kernel, stride, pad, ceil
    ("ResNet's", (2, 16, 112, 112), 3, 2, 1, False),
    ("VGG's", (2, 16, 56, 56), 2, 2, 0, False),
    ("VGG's, odd", (2, 16, 57, 55), 2, 2, 0, False),
    ("SqueezeNet's", (2, 16, 111, 111), 3, 2, 0, True),
    ("GoogLeNet's", (2, 16, 112, 112), 3, 2, 0, True),
    ("GoogLeNet's inner", (2, 16, 14, 14), 3, 1, 1, True),
    ("GoogLeNet's last", (2, 16, 14, 14), 2, 2, 0, True),
    ("ceil, odd", (2, 4, 13, 15), 2, 2, 0, True),
    ("SPP's", (2, 8, 13, 13), 5, 1, 2, False),
    ("stride wider than the kernel", (2, 4, 13, 14), 2, 3, 0, False),
    ("wide windows", (2, 4, 13, 14), 5, 3, 2, True),
]


def rectified(*shape: int) -> Array:
    """Coarse steps, and half of it zero: ties everywhere."""
    return np.maximum(np.round(normal(*shape), 1), 0)


def attributes_of(kernel: int, stride: int, pad: int, ceil: bool) -> str:
    return f"kernel_shape={[kernel] * 2}, strides={[stride] * 2}, pads={[pad] * 4}, ceil_mode={int(ceil)}"


def torch_gradient(pool: Any, x: Array) -> tuple[Array, Array]:
    """A cotangent, and what torch makes of it."""
    tensor = torch.from_numpy(x).requires_grad_()
    y = pool(tensor)
    g = normal(*y.shape, seed=3).astype(x.dtype)
    return g, torch.autograd.grad(y, tensor, torch.from_numpy(g))[0].numpy()


@pytest.mark.parametrize("symbolic", SIZES)
@pytest.mark.parametrize("case", POOLS, ids=lambda case: case[0])
def test_max_pool_gives_ties_to_the_first_as_torch_does(case: tuple[Any, ...], symbolic: int):
    _, size, kernel, stride, pad, ceil = case
    x = rectified(*size)
    g, expected = torch_gradient(lambda t: F.max_pool2d(t, kernel, stride, pad, ceil_mode=ceil), x)
    (found,) = gradients(f"y = MaxPool<{attributes_of(kernel, stride, pad, ceil)}>(x)", g, symbolic=symbolic, x=x)
    assert error(found, expected) < 1e-6


@pytest.mark.parametrize("symbolic", SIZES)
@pytest.mark.parametrize("counts_padding", [False, True])
@pytest.mark.parametrize("case", POOLS, ids=lambda case: case[0])
def test_average_pool_equals_torch(case: tuple[Any, ...], counts_padding: bool, symbolic: int):
    _, size, kernel, stride, pad, ceil = case
    x = normal(*size)
    g, expected = torch_gradient(lambda t: F.avg_pool2d(t, kernel, stride, pad, ceil, counts_padding), x)
    attributes = f"{attributes_of(kernel, stride, pad, ceil)}, count_include_pad={int(counts_padding)}"
    (found,) = gradients(f"y = AveragePool<{attributes}>(x)", g, symbolic=symbolic, x=x)
    assert error(found, expected) < 1e-5


def test_dilated_max_pool_gives_ties_to_the_first_as_torch_does():
    x = rectified(2, 4, 14, 15)
    g, expected = torch_gradient(lambda t: F.max_pool2d(t, 3, 2, 1, 2), x)
    attributes = "kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], dilations=[2,2]"
    assert error(gradients(f"y = MaxPool<{attributes}>(x)", g, x=x)[0], expected) < 1e-6


def test_max_pool_of_lines_gives_ties_to_the_first_as_torch_does():
    x = rectified(2, 4, 31)
    g, expected = torch_gradient(lambda t: F.max_pool1d(t, 3, 2, 1), x)
    assert error(gradients("y = MaxPool<kernel_shape=[3], strides=[2], pads=[1,1]>(x)", g, x=x)[0], expected) < 1e-6


def test_max_pool_of_volumes_gives_ties_to_the_first_as_torch_does():
    x = rectified(1, 2, 8, 9, 10)
    g, expected = torch_gradient(lambda t: F.max_pool3d(t, 3, (2, 1, 2), 1), x)
    attributes = "kernel_shape=[3,3,3], strides=[2,1,2], pads=[1,1,1,1,1,1]"
    assert error(gradients(f"y = MaxPool<{attributes}>(x)", g, x=x)[0], expected) < 1e-6


@pytest.mark.parametrize("size", [(2, 3, 9), (2, 3, 7, 5), (2, 3, 4, 3, 5)], ids=str)
def test_global_max_pool_gives_ties_to_the_first_as_torch_does(size: tuple[int, ...]):
    x = rectified(*size)
    pool = getattr(F, f"adaptive_max_pool{len(size) - 2}d")
    g, expected = torch_gradient(lambda t: pool(t, 1), x)
    assert error(gradients("y = GlobalMaxPool(x)", g, symbolic=len(size), x=x)[0], expected) < 1e-6


@pytest.mark.parametrize(
    "text",
    [
        "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)",
        "y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)",
        "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)",
        "y = GlobalAveragePool(x)",
        "y = GlobalMaxPool(x)",
    ],
)
def test_float16_gradients_follow_those_of_float32(text: str):
    x = np.round(normal(2, 4, 9, 9), 1).astype(np.float16)
    size = 1 if "Global" in text else 5 if "strides" in text else 9
    g = normal(2, 4, size, size, seed=3).astype(np.float16)
    (half,) = gradients(text, g, x=x)
    (single,) = gradients(text, g.astype(np.float32), x=x.astype(np.float32))
    assert half.dtype == np.float16
    assert error(half, single) < 2e-3


def test_global_average_pool_of_more_pixels_than_float16_can_count_is_not_zero():
    g = np.full((1, 1, 1, 1), 64, np.float16)
    (found,) = gradients("y = GlobalAveragePool(x)", g, x=np.zeros((1, 1, 300, 300), np.float16))
    assert error(found, np.full((1, 1, 300, 300), 64 / 300**2)) < 1e-2


def test_a_quantised_max_pool_carries_a_float_gradient():
    x = np.random.default_rng(0).integers(-3, 4, (2, 4, 8, 8)).astype(np.int8)
    g, expected = torch_gradient(lambda t: F.max_pool2d(t, 3, 2, 1), x.astype(np.float32))
    (found,) = gradients("y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)", g, x=x)
    assert error(found, expected) < 1e-6


def test_a_nan_does_not_spoil_the_gradient_elsewhere():
    x = normal(1, 1, 8, 8)
    x[0, 0, 0, 0] = np.nan
    g = np.ones((1, 1, 4, 4), np.float32)
    (found,) = gradients("y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)", g, x=x)
    x[0, 0, 0, 0] = -np.inf
    tensor = torch.from_numpy(x).requires_grad_()
    F.max_pool2d(tensor, 2).backward(torch.from_numpy(g))
    assert np.array_equal(found[..., 2:, 2:], tensor.grad.numpy()[..., 2:, 2:])
    assert np.isfinite(found).all()
