"""Functions of one number, or of two: what broadcasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxcam.graph import Value
from onnxcam_converters.keras.functions import function, operand, tensor, tensors
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.operands import aligned, as_float, cast, same_type
from onnxcam_converters.keras.tensor import Tensor

BINARY: dict[str, tuple[str, Callable[[Value, Value], Value]]] = {
    "Add": ("ops.Add tf.__operators__.add tf.math.add node.Add node.AddV2", lambda a, b: a + b),
    "Sub": ("ops.Subtract tf.math.subtract node.Sub", lambda a, b: a - b),
    "Mul": ("ops.Multiply tf.math.multiply node.Mul", lambda a, b: a * b),
    "Max": ("ops.Maximum tf.math.maximum node.Maximum", lambda a, b: a.tape.Max(a, b)),
    "Min": ("ops.Minimum tf.math.minimum node.Minimum", lambda a, b: a.tape.Min(a, b)),
    "Greater": ("ops.Greater tf.math.greater node.Greater", lambda a, b: a > b),
    "GreaterOrEqual": ("ops.GreaterEqual tf.math.greater_equal node.GreaterEqual", lambda a, b: a >= b),
    "Less": ("ops.Less tf.math.less node.Less", lambda a, b: a < b),
    "LessOrEqual": ("ops.LessEqual tf.math.less_equal node.LessEqual", lambda a, b: a <= b),
    "Equal": ("ops.Equal tf.math.equal node.Equal", lambda a, b: a.equals(b)),
    "NotEqual": ("ops.NotEqual tf.math.not_equal node.NotEqual", lambda a, b: a.tape.Not(a.equals(b))),
}
QUOTIENTS = "ops.Divide ops.TrueDivide tf.math.truediv tf.math.divide node.RealDiv"
UNARY: dict[str, tuple[str, Callable[[Value], Value]]] = {
    "Abs": ("ops.Absolute ops.Abs tf.math.abs node.Abs", lambda x: x.tape.Abs(x)),
    "Neg": ("ops.Negative tf.math.negative node.Neg", lambda x: -x),
    "Square": ("ops.Square tf.math.square node.Square", lambda x: x * x),
    "Sign": ("ops.Sign tf.math.sign node.Sign", lambda x: x.tape.Sign(x)),
    "Identity": ("ops.StopGradient ops.Copy tf.identity tf.stop_gradient node.Identity", lambda x: x),
    "ZerosLike": ("ops.ZerosLike tf.zeros_like node.ZerosLike", lambda x: x * 0.0),
    "OnesLike": ("ops.OnesLike tf.ones_like node.OnesLike", lambda x: x * 0.0 + 1.0),
}
# Of floats only; whole numbers become floats first.
FLOAT_UNARY: dict[str, tuple[str, Callable[[Value], Value]]] = {
    "Sqrt": ("ops.Sqrt tf.math.sqrt node.Sqrt", lambda x: x.tape.Sqrt(x)),
    "Rsqrt": ("ops.Rsqrt tf.math.rsqrt node.Rsqrt", lambda x: 1.0 / x.tape.Sqrt(x)),
    "Reciprocal": ("ops.Reciprocal tf.math.reciprocal node.Reciprocal", lambda x: 1.0 / x),
    "Exp": ("ops.Exp tf.math.exp node.Exp", lambda x: x.tape.Exp(x)),
    "Expm1": ("ops.Expm1 tf.math.expm1 node.Expm1", lambda x: x.tape.Exp(x) - 1.0),
    "Log": ("ops.Log tf.math.log node.Log", lambda x: x.tape.Log(x)),
    "Log1p": ("ops.Log1p tf.math.log1p node.Log1p", lambda x: x.tape.Log(x + 1.0)),
    "Sin": ("ops.Sin tf.math.sin node.Sin", lambda x: x.tape.Sin(x)),
    "Cos": ("ops.Cos tf.math.cos node.Cos", lambda x: x.tape.Cos(x)),
    "Erf": ("ops.Erf tf.math.erf node.Erf", lambda x: x.tape.Erf(x)),
    "Floor": ("ops.Floor tf.math.floor node.Floor", lambda x: x.tape.Floor(x)),
    "Ceil": ("ops.Ceil tf.math.ceil node.Ceil", lambda x: x.tape.Ceil(x)),
    # Half to even, as numpy, TensorFlow and ONNX round.
    "Round": ("tf.math.round node.Round", lambda x: x.tape.Round(x)),
}


def _enter_binary(names: str, combine: Callable[[Value, Value], Value]) -> None:
    @function(names, a="x1", b="x2", x="x1", y="x2")
    def binary(layer: Layer, x1: Any, x2: Any) -> Tensor:
        these = aligned(layer, [operand(layer, x1), operand(layer, x2)])
        return these.tensor(combine(*same_type(these.values)))


def _enter_unary(names: str, apply: Callable[[Value], Value], *, of_floats: bool) -> None:
    @function(names, input="x")
    def unary(layer: Layer, x: Any) -> Tensor:
        given = tensor(layer, x)
        return given.like(apply((as_float(given) if of_floats else given).value))


for _names, _combine in BINARY.values():
    _enter_binary(_names, _combine)
for _names, _apply in UNARY.values():
    _enter_unary(_names, _apply, of_floats=False)
for _names, _apply in FLOAT_UNARY.values():
    _enter_unary(_names, _apply, of_floats=True)


@function(QUOTIENTS, x="x1", y="x2")
def divide(layer: Layer, x1: Any, x2: Any) -> Tensor:
    """x₁/x₂, of whole numbers too."""
    these = aligned(layer, [operand(layer, x1), operand(layer, x2)])
    a, b = (cast(value, TensorProto.FLOAT) for value in these.values)
    return these.tensor(a / b)


@function("tf.math.divide_no_nan ops.DivideNoNan node.DivNoNan", x="x1", y="x2")
def divide_no_nan(layer: Layer, x1: Any, x2: Any) -> Tensor:
    """x₁/x₂, and 0 where x₂ is 0."""
    these = aligned(layer, [operand(layer, x1), operand(layer, x2)])
    a, b = (cast(value, TensorProto.FLOAT) for value in these.values)
    is_zero = b.equals(0.0)
    return these.tensor(b.tape.Where(is_zero, 0.0, a / b.tape.Where(is_zero, 1.0, b)))


@function("ops.FloorDivide tf.math.floordiv node.FloorDiv", x="x1", y="x2")
def floor_divide(layer: Layer, x1: Any, x2: Any) -> Tensor:
    """Of lengths, which are positive whole numbers, and of floats."""
    these = aligned(layer, [operand(layer, x1), operand(layer, x2)])
    a, b = same_type(these.values)
    is_float = a.dtype is not None and a.dtype.kind == "f"
    return these.tensor(a.tape.Floor(a / b) if is_float else a / b)


@function("ops.Power tf.math.pow node.Pow", x="x1", y="x2")
def power(layer: Layer, x1: Any, x2: Any) -> Tensor:
    """x₁ to the power of x₂."""
    base, exponent = operand(layer, x1), operand(layer, x2)
    if isinstance(base, Tensor) and not isinstance(exponent, Tensor) and exponent.size == 1 and exponent.item() == 2:
        return base.like(base.value * base.value)
    these = aligned(layer, [base, exponent])
    a, b = (cast(value, TensorProto.FLOAT) for value in these.values)
    return these.tensor(a.tape.Pow(a, b))


@function("tf.math.squared_difference node.SquaredDifference", x="x1", y="x2")
def squared_difference(layer: Layer, x1: Any, x2: Any) -> Tensor:
    """(x₁ − x₂)²."""
    these = aligned(layer, [operand(layer, x1), operand(layer, x2)])
    a, b = same_type(these.values)
    return these.tensor((a - b) * (a - b))


@function("tf.math.add_n", inputs="xs")
def add_n(layer: Layer, xs: Any) -> Tensor:
    """The sum of a list."""
    these = aligned(layer, tensors(layer, xs))
    total, *rest = same_type(these.values)
    for value in rest:
        total = total + value
    return these.tensor(total)


@function("node.AddN")
def add_n_node(layer: Layer, *xs: Any, N: Any = None) -> Tensor:  # noqa: ARG001 - says how many there are
    """The same with the list spread out."""
    made: Tensor = add_n(layer, list(xs))
    return made


@function("tf.nn.bias_add node.BiasAdd", value="x")
def bias_add(layer: Layer, x: Any, bias: Any, data_format: Any = None) -> Tensor:
    """A number for each channel added; channels are last."""
    if data_format not in (None, "NHWC"):
        raise layer.refuse(f"data_format={data_format!r} is not covered")
    these = aligned(layer, [tensor(layer, x), operand(layer, bias)])
    a, b = same_type(these.values)
    return these.tensor(a + b)


@function("ops.Clip tf.clip_by_value node.ClipByValue", t="x", clip_value_min="x_min", clip_value_max="x_max")
def clip(layer: Layer, x: Any, x_min: Any, x_max: Any) -> Tensor:
    """Between two numbers."""
    given, bounds = tensor(layer, x), [operand(layer, x_min), operand(layer, x_max)]
    numbers = [float(bound.item()) for bound in bounds if not isinstance(bound, Tensor) and bound.size == 1]
    if len(numbers) < len(bounds):
        raise layer.refuse("its bounds are not plain numbers")
    return given.like(given.tape.Clip(as_float(given).value, *numbers))


@function("ops.Where tf.where node.SelectV2", x="x1", y="x2")
def where(layer: Layer, condition: Any, x1: Any, x2: Any) -> Tensor:
    """x₁ where the condition holds, else x₂."""
    these = aligned(layer, [tensor(layer, condition), operand(layer, x1), operand(layer, x2)])
    is_met, *values = these.values
    a, b = same_type([cast(v, TensorProto.FLOAT) if v.dtype == np.bool_ else v for v in values])
    return these.tensor(is_met.tape.Where(cast(is_met, TensorProto.BOOL), a, b))


@function("ops.LogicalNot tf.math.logical_not node.LogicalNot", x1="x")
def logical_not(layer: Layer, x: Any) -> Tensor:
    """Where it does not hold."""
    given = tensor(layer, x)
    return given.like(given.tape.Not(cast(given.value, TensorProto.BOOL)))


def _enter_logical(names: str, op_type: str) -> None:
    @function(names, x="x1", y="x2")
    def logical(layer: Layer, x1: Any, x2: Any) -> Tensor:
        these = aligned(layer, [operand(layer, x1), operand(layer, x2)])
        values = [cast(value, TensorProto.BOOL) for value in these.values]
        return these.tensor(these.tape.emit(op_type, values, {})[0])


_enter_logical("ops.LogicalAnd tf.math.logical_and node.LogicalAnd", "And")
_enter_logical("ops.LogicalOr tf.math.logical_or node.LogicalOr", "Or")
CASTS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT,
    "bfloat16": TensorProto.FLOAT,
    "float64": TensorProto.FLOAT,
    "int32": TensorProto.INT64,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


@function("ops.Cast tf.cast node.Cast", DstT="dtype")
def cast_to(layer: Layer, x: Any, dtype: Any, Truncate: Any = False) -> Tensor:
    """As floats, whole numbers or truth values; halves stay whole floats here."""
    kind = str(dtype).lower().removeprefix("dt_").replace("dt_", "")
    kind = {"float": "float32", "half": "float16", "double": "float64"}.get(kind, kind)
    if kind not in CASTS or Truncate:
        raise layer.refuse(f"numbers of type {dtype!r} are not covered")
    given = tensor(layer, x)
    return given.like(cast(given.value, CASTS[kind]))
