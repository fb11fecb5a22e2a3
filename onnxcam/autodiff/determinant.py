"""The determinant of small matrices."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from onnxcam.autodiff.core import vjp_by_equivalent
from onnxcam.autodiff.extents import rank_of
from onnxcam.errors import NoGradientForm, UnknownShape
from onnxcam.graph import Array, Node, Value

LARGEST = 8


@vjp_by_equivalent("Det")
def det(node: Node) -> list[Value]:
    """Laplace's expansion row by row, up to 8 × 8: a polynomial, so right for singular matrices too.

    The minors of the first k rows, one for each choice of k columns, follow from those of k − 1. (ONNX has no inverse
    to write det(A)·A⁻ᵀ with, which a singular matrix does not have anyway.)

    Raises:
        UnknownShape: where the model does not tell the size of the matrices.
        NoGradientForm: for larger ones.
    """
    op, n = node.tape, _size(node)
    minors = _row(node, 0)
    for k in range(2, n + 1):
        columns, rests, signs = _expansion(n, k)
        entries = op.Gather(_row(node, k - 1), op.constant(columns), axis=-1)
        terms = entries * op.Gather(minors, op.constant(rests), axis=-1)
        minors = op.ReduceSum(terms * op.constant(signs.astype(node.x.dtype or np.float32)), op.ints(-1), keepdims=0)
    return [op.Squeeze(minors, op.ints(-1))]


def _size(node: Node) -> int:
    x = node.x
    sizes = [size for size in (x.shape or ())[-2:] if isinstance(size, int)]
    if rank_of(x, node) < 2 or not sizes:
        raise UnknownShape(node.op_type, node.title, "the size of its matrices")
    if sizes[0] > LARGEST:
        raise NoGradientForm(node.op_type, node.title, f"matrices of {sizes[0]} × {sizes[0]}, larger than {LARGEST}")
    return sizes[0]


def _row(node: Node, index: int) -> Value:
    op = node.tape
    return op.Squeeze(op.Slice(node.x, op.ints(index), op.ints(index + 1), op.ints(-2)), op.ints(-2))


def _expansion(n: int, k: int) -> tuple[Array, Array, Array]:
    """For each choice of k of n columns, k terms: the column of the last row, the choice without it, the sign."""
    smaller = {choice: index for index, choice in enumerate(combinations(range(n), k - 1))}
    choices = list(combinations(range(n), k))
    rests = [[smaller[(*choice[:j], *choice[j + 1 :])] for j in range(k)] for choice in choices]
    return np.array(choices), np.array(rests), np.array([(-1) ** (k - 1 + j) for j in range(k)])
