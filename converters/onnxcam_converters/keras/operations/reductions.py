"""Functions that make one number of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxcam.graph import Value
from onnxcam_converters.keras.functions import function, inner, tensor, wholes
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.operands import as_float
from onnxcam_converters.keras.tensor import Tensor

# With the lengths kept as one; from the value and the places of the axes.
Reduction = Callable[[Value, Value], Value]


def _variance(x: Value, axes: Value) -> Value:
    distance = x - x.tape.ReduceMean(x, axes)
    return x.tape.ReduceMean(distance * distance, axes)


REDUCTIONS: dict[str, tuple[str, Reduction]] = {
    "mean": ("ops.Mean tf.math.reduce_mean node.Mean", lambda x, axes: x.tape.ReduceMean(x, axes)),
    "sum": ("ops.Sum tf.math.reduce_sum node.Sum", lambda x, axes: x.tape.ReduceSum(x, axes)),
    "max": ("ops.Max tf.math.reduce_max node.Max", lambda x, axes: x.tape.ReduceMax(x, axes)),
    "min": ("ops.Min tf.math.reduce_min node.Min", lambda x, axes: x.tape.ReduceMin(x, axes)),
    "prod": ("ops.Prod tf.math.reduce_prod node.Prod", lambda x, axes: x.tape.ReduceProd(x, axes)),
    "logsumexp": (
        "ops.Logsumexp tf.math.reduce_logsumexp",
        lambda x, axes: x.tape.ReduceLogSumExp(x, axes),
    ),
    "var": ("ops.Var tf.math.reduce_variance", _variance),
    "std": ("ops.Std tf.math.reduce_std", lambda x, axes: x.tape.Sqrt(_variance(x, axes))),
    "norm": ("tf.math.reduce_euclidean_norm", lambda x, axes: x.tape.ReduceL2(x, axes)),
}


def _enter(names: str, reduce: Reduction) -> None:
    @function(names, input_tensor="x", input="x", keep_dims="keepdims", reduction_indices="axis")
    def reduction(layer: Layer, x: Any, axis: Any = None, keepdims: Any = False) -> Tensor:
        given = tensor(layer, x)
        given = given if given.rank == 1 else as_float(given)
        axes = list(range(given.rank)) if axis is None else wholes(layer, axis)
        places = {inner(layer, given, place) for place in axes}
        value = reduce(given.value, given.tape.ints(*sorted(given.axis(place) for place in places)))
        kept = given.like(value, tuple(1 if i in places else n for i, n in enumerate(given.shape)))
        return kept if keepdims else without(kept, places)


def without(x: Tensor, places: set[int]) -> Tensor:
    """The tensor without these axes of length one."""
    shape = tuple(n for i, n in enumerate(x.shape) if i not in places)
    is_moved = x.is_moved and not places & {0, x.rank - 1} and len(shape) > 2
    if not places:
        return x
    is_straight = not x.is_moved or is_moved or x.rank - 1 in places or (len(shape) == 2 and 0 not in places)
    value, axes = (x.value, [x.axis(p) for p in places]) if is_straight else (x.plain(), list(places))
    return Tensor(x.tape.Squeeze(value, x.tape.ints(*sorted(axes))), shape, is_moved)


for _names, _reduce in REDUCTIONS.values():
    _enter(_names, _reduce)
