"""Methods that show the leading component of what a layer holds, rather than a sum over its channels."""

from __future__ import annotations

from typing import Literal

from onnxcam.graph import Value
from onnxcam.methods.table import method, method_without_gradient
from onnxcam.places import as_map
from onnxcam.principal import (
    centred,
    coordinates,
    farthest,
    identity,
    leading_component,
    leading_vector,
    side,
    side_of_mean,
)
from onnxcam.ranges import Positive

Kernel = Literal["sigmoid", "rbf"]


@method_without_gradient("eigencam", source="Muhammad and Yeasin 2020, arXiv:2008.00299")
def eigencam(a: Value) -> Value:
    """The activation's first principal component over channels, signed so that it rises with the mean activation."""
    return leading_component(a)


@method("eigengradcam", source="Gildenblat, in pytorch-grad-cam 2021")
def eigengradcam(a: Value, g: Value) -> Value:
    """The first principal component of gradient times activation, signed so that it rises with their sum."""
    return leading_component(g * a)


@method("segeigencam", source="Chung and Ying 2025, doi:10.3390/app15137562")
def segeigencam(a: Value, g: Value) -> Value:
    """The first principal component of |gradient| times activation, its farthest place on the positive side."""
    scores = coordinates(a.tape.Abs(g) * a)
    return as_map(scores * side(farthest(scores)), a)


@method_without_gradient("kpca-cam", source="Karmani et al. 2024, arXiv:2410.00267")
def kpca_cam(a: Value, *, kernel: Kernel = "sigmoid", gamma: Positive | None = None) -> Value:
    """The first component of kernel PCA over places, signed as EigenCAM's; gamma none: 1 / channels.

    The kernel's matrix is (h·w)²: meant for layers of up to about 28 × 28 places.
    """
    scores = _kernel_coordinates(a, kernel, gamma)
    return as_map(scores * side_of_mean(centred(a), scores), a)


@method_without_gradient("kpca-cam", source="Karmani et al. 2024, arXiv:2410.00267", like="pytorch-grad-cam")
def kpca_cam_as_scikit_learn(a: Value, *, kernel: Kernel = "sigmoid", gamma: Positive | None = None) -> Value:
    """The same with scikit-learn's sign: the farthest place is on the positive side."""
    scores = _kernel_coordinates(a, kernel, gamma)
    return as_map(scores * side(farthest(scores)), a)


def _kernel_coordinates(a: Value, kernel: str, gamma: float | None) -> Value:
    """Each place's coordinate on the first axis in the kernel's space, √λ u: (N, C, h, w) → (N, 1, h·w)."""
    op, x = a.tape, centred(a)
    across = op.Transpose(x, perm=[0, 2, 1])
    products = op.MatMul(across, x)
    matrix = _centred_twice(KERNELS[kernel](products, _per_channel(a) if gamma is None else op.number(gamma, a)))
    # Kernels such as the sigmoid have negative eigenvalues too. Moved up by half the matrix's norm, none of them is
    # farther from 0 than the largest.
    norm = op.Sqrt(op.ReduceSum(matrix * matrix, op.ints(1, 2), keepdims=1))
    u = leading_vector(matrix + identity(matrix) * (norm * 0.5))
    eigenvalue = op.ReduceSum(op.MatMul(u, matrix) * u, op.ints(2), keepdims=1)
    return u * op.Sqrt(op.Relu(eigenvalue))


def _sigmoid(products: Value, gamma: Value) -> Value:
    """tanh(γ x·y + 1)."""
    return products.tape.Tanh(products * gamma + 1.0)


def _radial(products: Value, gamma: Value) -> Value:
    """exp(−γ |x − y|²), of the inner products."""
    op = products.tape
    squares = op.ReduceSum(products * identity(products), op.ints(2), keepdims=1)
    return op.Exp((2.0 * products - squares - op.Transpose(squares, perm=[0, 2, 1])) * gamma)


KERNELS = {"sigmoid": _sigmoid, "rbf": _radial}


def _centred_twice(matrix: Value) -> Value:
    """Without the means of its rows and columns."""
    op = matrix.tape
    matrix = matrix - op.ReduceMean(matrix, op.ints(1), keepdims=1)
    return matrix - op.ReduceMean(matrix, op.ints(2), keepdims=1)


def _per_channel(a: Value) -> Value:
    """1 / C."""
    op = a.tape
    return 1.0 / op.Cast(op.Shape(a, start=1, end=2), to=1)
