"""What small ONNX ops do to arrays that are known, or known in part: unknown entries of a shape are None.

Each takes the inputs (None where left out) and the attributes, and gives the outputs; None for what it does not fold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np
import onnx.helper
import onnx.numpy_helper
from numpy.typing import NDArray

from onnxcam.registry import entering

Array = NDArray[Any]
Arrays = Sequence[Array | None]
Fold = Callable[[Any, Mapping[str, Any]], list[Array] | None]

FOLDS: dict[str, Fold] = {}
GROWTH_BYTES = 4096  # of results that are larger than what they are made of


def is_partial(array: Array) -> bool:
    """Whether some entry may be unknown."""
    return array.dtype == np.object_


def folds(*op_types: str) -> Callable[[Fold], Fold]:
    """Registers what the ops do; entries may be unknown."""

    def settling(fold: Fold) -> Fold:
        return lambda inputs, attributes: _settled(fold(inputs, attributes))

    return entering(FOLDS, *op_types, what="fold of", row=settling)


def _settled(results: list[Array] | None) -> list[Array] | None:
    """Arrays whose entries all turned out to be known, as integers again."""
    if results is None:
        return None
    return [
        array.astype(np.int64) if is_partial(array) and None not in array.reshape(-1).tolist() else array
        for array in map(np.asarray, results)
    ]


def _known(fold: Fold) -> Fold:
    """The same, for inputs without unknown entries only."""

    def strict(inputs: Any, attributes: Mapping[str, Any]) -> list[Array] | None:
        return None if any(x is not None and is_partial(x) for x in inputs) else fold(inputs, attributes)

    return strict


def _elementwise(function: Callable[..., Any]) -> Fold:
    def fold(inputs: Any, _: Mapping[str, Any]) -> list[Array] | None:
        with np.errstate(all="ignore"):
            result = function(*inputs)
            return None if result is None else [np.asarray(result)]

    return _known(fold)


def _divide(a: Array, b: Array) -> Array | None:
    """Integers are cut off towards zero; their division by zero is left to the runtime."""
    if a.dtype.kind not in "iu":
        return np.asarray(a / b)
    if not np.all(b):
        return None
    quotient = np.abs(a) // np.abs(b)
    return np.asarray(np.where((a < 0) != (b < 0), -quotient, quotient).astype(a.dtype))


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Abs": np.abs, "Add": np.add, "And": np.logical_and, "Ceil": np.ceil, "Div": _divide, "Equal": np.equal,
    "Floor": np.floor, "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less,
    "LessOrEqual": np.less_equal, "Max": lambda *xs: reduce(np.maximum, xs), "Min": lambda *xs: reduce(np.minimum, xs),
    "Mul": np.multiply, "Neg": np.negative, "Not": np.logical_not, "Or": np.logical_or, "Sqrt": np.sqrt,
    "Sub": np.subtract, "Where": np.where,
}  # fmt: skip
for _op, _function in ELEMENTWISE.items():
    folds(_op)(_elementwise(_function))


@folds("Clip")
@_known
def clip(inputs: Arrays, _: Mapping[str, Any]) -> list[Array] | None:
    """Between two bounds, either of which may be left out."""
    x, low, high = (*inputs, None, None)[:3]
    return None if x is None or (low is None and high is None) else [np.clip(x, low, high).astype(x.dtype)]


@folds("Mod")
@_known
def modulo(inputs: Any, attributes: Mapping[str, Any]) -> list[Array] | None:
    """The rest has the sign of the divisor, with fmod that of the dividend."""
    a, b = inputs
    if a.dtype.kind in "iu" and not np.all(b):
        return None
    return [np.asarray(np.fmod(a, b) if attributes.get("fmod", 0) else np.mod(a, b))]


@folds("Identity")
def identity(inputs: Any, _: Mapping[str, Any]) -> list[Array] | None:
    """The same."""
    return [inputs[0]]


@folds("Cast")
def cast(inputs: Any, attributes: Mapping[str, Any]) -> list[Array] | None:
    """Shapes known in part stay what they are: integers."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(attributes["to"])
    if is_partial(inputs[0]):
        return [inputs[0]] if dtype == np.int64 else None
    with np.errstate(all="ignore"):
        return [inputs[0].astype(dtype)]


@folds("Gather")
def gather(inputs: Any, attributes: Mapping[str, Any]) -> list[Array] | None:
    """The entries at the indices."""
    data, indices = inputs
    if is_partial(indices):
        return None
    return [np.asarray(data.take(indices, axis=attributes.get("axis", 0)))]


@folds("Concat")
def concat(inputs: Any, attributes: Mapping[str, Any]) -> list[Array] | None:
    """One after the other."""
    return [np.concatenate(inputs, axis=attributes["axis"])]


@folds("Slice")
def slice_(inputs: Any, _: Mapping[str, Any]) -> list[Array] | None:
    """A part of each axis."""
    data, starts, ends, axes, steps = (*inputs, None, None)[:5]
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones(len(starts), np.int64) if steps is None else steps
    if any(map(is_partial, (starts, ends, axes, steps))):
        return None
    parts = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes.tolist(), steps.tolist(), strict=True):
        # Going backwards, an end before the first entry means: with it.
        parts[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return [data[tuple(parts)]]


@folds("Squeeze")
def squeeze(inputs: Any, _: Mapping[str, Any]) -> list[Array] | None:
    """Without axes of length one."""
    axes = tuple(inputs[1].tolist()) if len(inputs) > 1 and inputs[1] is not None else None
    return [np.asarray(inputs[0].squeeze(axes))]


@folds("Unsqueeze")
def unsqueeze(inputs: Any, _: Mapping[str, Any]) -> list[Array] | None:
    """With new axes of length one."""
    return [np.expand_dims(inputs[0], tuple(inputs[1].tolist()))]


@folds("Reshape")
def reshape(inputs: Any, attributes: Mapping[str, Any]) -> list[Array] | None:
    """Other dimensions; 0 takes over the old one."""
    data, shape = inputs
    if is_partial(shape):
        return None
    keeps = not attributes.get("allowzero", 0)
    return [data.reshape([data.shape[i] if size == 0 and keeps else size for i, size in enumerate(shape.tolist())])]


@folds("Transpose")
def transpose(inputs: Any, attributes: Mapping[str, Any]) -> list[Array] | None:
    """Axes in another order."""
    return [inputs[0].transpose(attributes.get("perm"))]


@folds("Split")
@_known
def split(inputs: Any, attributes: Mapping[str, Any]) -> list[Array] | None:
    """Parts of the sizes given; equal parts are left to ONNX Runtime."""
    if len(inputs) < 2 or inputs[1] is None:
        return None
    return np.split(inputs[0], np.cumsum(inputs[1])[:-1].tolist(), axis=attributes.get("axis", 0))


@folds("Range")
@_known
def range_(inputs: Any, _: Mapping[str, Any]) -> list[Array] | None:
    """Numbers in steps, while they are few."""
    start, limit, step = (x.reshape(()) for x in inputs)
    if not step or (limit - start) / step * start.itemsize > GROWTH_BYTES:
        return None
    return [np.arange(start, limit, step, dtype=start.dtype)]


@folds("ConstantOfShape")
@_known
def constant_of_shape(inputs: Any, attributes: Mapping[str, Any]) -> list[Array] | None:
    """One value everywhere."""
    value = onnx.numpy_helper.to_array(attributes["value"]) if "value" in attributes else np.zeros(1, np.float32)
    return _stretched(value.reshape(()), inputs[0].tolist())


@folds("Expand")
@_known
def expand(inputs: Any, _: Mapping[str, Any]) -> list[Array] | None:
    """Repeated along axes of length one."""
    shape = inputs[1].tolist()
    return _stretched(inputs[0], np.broadcast_shapes(inputs[0].shape, tuple(shape)))


def _stretched(value: Array, shape: Sequence[int]) -> list[Array] | None:
    """Nothing where it would take more than a page: such a constant is better written as its recipe."""
    if prod(shape) * value.itemsize > GROWTH_BYTES:
        return None
    return [np.broadcast_to(value, tuple(shape))]


def _reduction(function: Callable[..., Any]) -> Fold:
    def fold(inputs: Any, attributes: Mapping[str, Any]) -> list[Array] | None:
        axes = tuple(inputs[1].tolist()) if len(inputs) > 1 and inputs[1] is not None else ()
        if not axes and attributes.get("noop_with_empty_axes", 0):
            return [inputs[0]]
        keeps = bool(attributes.get("keepdims", 1))
        return [np.asarray(function(inputs[0], axis=axes or None, keepdims=keeps)).astype(inputs[0].dtype)]

    return _known(fold)


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceMax": np.max,
    "ReduceMin": np.min,
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
}
for _op, _function in REDUCTIONS.items():
    folds(_op)(_reduction(_function))
