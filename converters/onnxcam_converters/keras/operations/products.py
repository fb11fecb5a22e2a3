"""Functions that multiply matrices, and bring to length one."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxcam_converters.keras.functions import function, inner, operand, tensor, wholes
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.operands import Operand, as_float
from onnxcam_converters.keras.tensor import Shape, Tensor


@function("ops.Normalize")
def normalize(layer: Layer, x: Any, axis: Any = -1, order: Any = 2, epsilon: Any = None) -> Tensor:
    """Of length one along an axis, or over several."""
    if order != 2:
        raise layer.refuse(f"order={order!r} is not covered")
    return _unit(layer, x, axis, least=1e-7 if epsilon is None else float(epsilon))


@function("tf.math.l2_normalize tf.compat.v1.math.l2_normalize", dim="axis")
def l2_normalize(layer: Layer, x: Any, axis: Any, epsilon: float = 1e-12) -> Tensor:
    """Of length one along an axis, or over several."""
    return _unit(layer, x, axis, least=float(epsilon) ** 0.5)


def _unit(layer: Layer, x: Any, axis: Any, *, least: float) -> Tensor:
    given = as_float(tensor(layer, x))
    places = {inner(layer, given, place) for place in wholes(layer, axis)}
    length = given.tape.ReduceL2(given.value, given.tape.ints(*sorted(given.axis(p) for p in places)))
    return given.like(given.value / given.tape.Max(length, least))


@function(
    "ops.Matmul tf.linalg.matmul node.MatMul node.BatchMatMul node.BatchMatMulV2",
    a="x1", b="x2", x="x1", y="x2", adj_x="transpose_a", adj_y="transpose_b",
)  # fmt: skip
def matmul(layer: Layer, x1: Any, x2: Any, transpose_a: Any = False, transpose_b: Any = False) -> Tensor:
    """The product of matrices, for each picture by itself."""
    a, b = (_matrix(layer, x, is_turned=turned) for x, turned in ((x1, transpose_a), (x2, transpose_b)))
    if min(len(a.shape), len(b.shape)) < 2 or a.shape[-1] != b.shape[-2]:
        raise layer.refuse(f"matrices of shapes {a.shape} and {b.shape} are multiplied")
    rank = max(len(a.shape), len(b.shape))
    shapes = [(1,) * (rank - len(x.shape)) + tuple(x.shape[:-2]) for x in (a, b)]
    batch = tuple(n if m == 1 else m for m, n in zip(*(s[: rank - 2] for s in shapes), strict=True))
    values = [x.plain() if isinstance(x, Tensor) else layer.tape.constant(x.astype(np.float32)) for x in (a, b)]
    return Tensor(layer.tape.MatMul(*values), (*batch, a.shape[-2], b.shape[-1]))


def _matrix(layer: Layer, thing: Any, *, is_turned: bool) -> Operand:
    x = operand(layer, thing)
    if not isinstance(x, Tensor):
        return np.swapaxes(x, -1, -2) if is_turned and x.ndim > 1 else x
    if not is_turned or x.rank < 2:
        return x
    order = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    return Tensor(x.tape.Transpose(x.plain(), perm=order), tuple(x.shape[i] for i in order))


@function("ops.Einsum tf.einsum", equation="subscripts")
def einsum(layer: Layer, *things: Any, subscripts: Any = None) -> Tensor:
    """Einstein's sum; the letters of what comes out must be given."""
    if subscripts is None and things:
        subscripts, *things = things  # type: ignore[assignment]
    equation = str(subscripts).replace(" ", "")
    left, arrow, right = equation.partition("->")
    given = [operand(layer, thing) for thing in things]
    terms = left.split(",")
    if not arrow or "." in equation or [len(t) for t in terms] != [len(x.shape) for x in given]:
        raise layer.refuse(f"einsum of {equation!r} and {len(given)} tensors is not covered")
    lengths = {letter: n for term, x in zip(terms, given, strict=True) for letter, n in zip(term, x.shape, strict=True)}
    shape: Shape = tuple(lengths[letter] for letter in right)
    values = [x.plain() if isinstance(x, Tensor) else layer.tape.constant(x.astype(np.float32)) for x in given]
    return Tensor(layer.tape.Einsum(*values, equation=equation), shape)
