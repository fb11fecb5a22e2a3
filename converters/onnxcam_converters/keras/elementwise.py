"""Keras's activation functions that look at each number by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from onnxcam.graph import Value
from onnxcam.registry import entering
from onnxcam_converters.keras.layer import Layer

# From the layer, which knows its era, and a value, with the parameters that Keras gives the function.
Elementwise: TypeAlias = Callable[..., Value]
ELEMENTWISE: dict[str, Elementwise] = {}
SELU = {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}
# The slope of leaky_relu as a function; the layer's own is 0.3.
LEAKY = 0.2


def _elementwise(*names: str) -> Callable[[Elementwise], Elementwise]:
    return entering(ELEMENTWISE, *names, what="function")


def _entered(name: str, op_type: str, **attributes: Any) -> None:
    _elementwise(*name.split())(lambda _, x: x.tape.emit(op_type, [x], attributes)[0])


for _name, _op in {
    "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus", "softsign": "Softsign", "exponential exp": "Exp",
    "mish": "Mish",
}.items():  # fmt: skip
    _entered(_name, _op)
_entered("selu", "Selu", **SELU)


@_elementwise("linear")
def linear(_: Layer, x: Value) -> Value:
    """The same."""
    return x


@_elementwise("relu")
def relu(
    _: Layer,
    x: Value,
    *,
    negative_slope: float | None = 0.0,
    max_value: float | None = None,
    threshold: float | None = 0.0,
) -> Value:
    """x from the threshold up to max_value; below the threshold slope · (x − threshold)."""
    op, slope, start = x.tape, negative_slope or 0.0, threshold or 0.0
    if start == 0.0 and max_value is None:
        return op.LeakyRelu(x, alpha=slope) if slope else op.Relu(x)
    above = op.Where(x > start, x, 0.0) if start else op.Relu(x)
    if max_value is not None:
        above = op.Clip(above, 0.0, max_value)
    return above - op.Relu(start - x) * slope if slope else above


@_elementwise("leaky_relu")
def leaky_relu(_: Layer, x: Value, *, negative_slope: float = LEAKY) -> Value:
    """x, and slope · x below zero."""
    return x.tape.LeakyRelu(x, alpha=float(negative_slope))


@_elementwise("relu6")
def relu6(_: Layer, x: Value) -> Value:
    """Between 0 and 6."""
    return x.tape.Clip(x, 0.0, 6.0)


@_elementwise("thresholded_relu")
def thresholded_relu(_: Layer, x: Value, *, theta: float = 1.0) -> Value:
    """x above theta, else 0."""
    return x.tape.Where(x > theta, x, 0.0)


@_elementwise("threshold")
def threshold(_: Layer, x: Value, *, threshold: float, default_value: float) -> Value:
    """x above the threshold, else the default."""
    return x.tape.Where(x > threshold, x, default_value)


@_elementwise("elu")
def elu(_: Layer, x: Value, *, alpha: float = 1.0) -> Value:
    """x, and alpha · (eˣ − 1) below zero."""
    return x.tape.Elu(x, alpha=float(alpha))


@_elementwise("celu")
def celu(_: Layer, x: Value, *, alpha: float = 1.0) -> Value:
    """x, and alpha · (e^(x/alpha) − 1) below zero."""
    return x.tape.Celu(x, alpha=float(alpha))


@_elementwise("gelu")
def gelu(_: Layer, x: Value, *, approximate: bool = False) -> Value:
    """x · P(X ≤ x), X normally distributed, or its approximation by a tanh."""
    op = x.tape
    if approximate:
        inner = (x + x * x * x * 0.044715) * math.sqrt(2.0 / math.pi)
        return x * 0.5 * (op.Tanh(inner) + 1.0)
    return x * 0.5 * (op.Erf(x * math.sqrt(0.5)) + 1.0)


@_elementwise("swish", "silu")
def silu(_: Layer, x: Value) -> Value:
    """x · sigmoid(x)."""
    return x * x.tape.Sigmoid(x)


@_elementwise("hard_sigmoid")
def hard_sigmoid(layer: Layer, x: Value) -> Value:
    """x/5 + ½ up to Keras 2, x/6 + ½ from Keras 3, kept between 0 and 1."""
    return x.tape.HardSigmoid(x, alpha=1.0 / 6.0 if layer.keras >= (3,) else 0.2, beta=0.5)


@_elementwise("hard_silu", "hard_swish")
def hard_silu(_: Layer, x: Value) -> Value:
    """x · (x/6 + ½ between 0 and 1)."""
    return x.tape.HardSwish(x)


@_elementwise("hard_tanh")
def hard_tanh(_: Layer, x: Value) -> Value:
    """Between −1 and 1."""
    return x.tape.Clip(x, -1.0, 1.0)


@_elementwise("hard_shrink")
def hard_shrink(_: Layer, x: Value, *, threshold: float = 0.5) -> Value:
    """x outside of ±threshold, else 0."""
    return x.tape.Where(x.tape.Abs(x) > threshold, x, 0.0)


@_elementwise("soft_shrink")
def soft_shrink(_: Layer, x: Value, *, threshold: float = 0.5) -> Value:
    """x moved towards 0 by the threshold, and no further."""
    op = x.tape
    return op.Relu(x - threshold) - op.Relu(-x - threshold)


@_elementwise("tanh_shrink")
def tanh_shrink(_: Layer, x: Value) -> Value:
    """x − tanh(x)."""
    return x - x.tape.Tanh(x)


@_elementwise("sparse_plus")
def sparse_plus(_: Layer, x: Value) -> Value:
    """(x + 1)²/4 between −1 and 1, 0 before and x behind."""
    op, inner = x.tape, x.tape.Clip(x, -1.0, 1.0) + 1.0
    return op.Where(x > 1.0, x, inner * inner * 0.25)


@_elementwise("sparse_sigmoid")
def sparse_sigmoid(_: Layer, x: Value) -> Value:
    """(x + 1)/2 between 0 and 1."""
    return x.tape.Clip((x + 1.0) * 0.5, 0.0, 1.0)


@_elementwise("squareplus")
def squareplus(_: Layer, x: Value, *, b: float = 4) -> Value:
    """(x + √(x² + b))/2."""
    return (x + x.tape.Sqrt(x * x + float(b))) * 0.5


@_elementwise("log_sigmoid")
def log_sigmoid(_: Layer, x: Value) -> Value:
    """log(sigmoid(x))."""
    return -x.tape.Softplus(-x)
