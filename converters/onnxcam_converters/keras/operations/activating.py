"""Activations called as functions."""

from __future__ import annotations

from typing import Any

from onnxcam_converters.keras.activations import apply
from onnxcam_converters.keras.functions import function, tensor, whole
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.operands import as_float
from onnxcam_converters.keras.tensor import Tensor

# Functions of the names that they have among Keras's activations.
PLAIN = {
    "relu": "ops.Relu tf.nn.relu tf.keras.activations.relu node.Relu",
    "relu6": "ops.Relu6 tf.nn.relu6 node.Relu6",
    "sigmoid": "ops.Sigmoid tf.math.sigmoid tf.nn.sigmoid node.Sigmoid",
    "tanh": "ops.Tanh tf.math.tanh tf.nn.tanh node.Tanh",
    "softplus": "ops.Softplus tf.math.softplus tf.nn.softplus node.Softplus",
    "softsign": "ops.Softsign tf.nn.softsign node.Softsign",
    "silu": "ops.Silu tf.nn.silu tf.nn.swish",
    "selu": "ops.Selu tf.nn.selu node.Selu",
    "hard_silu": "ops.HardSilu ops.HardSwish",
    "hard_sigmoid": "ops.HardSigmoid",
    "hard_tanh": "ops.HardTanh",
    "tanh_shrink": "ops.TanhShrink",
    "sparse_plus": "ops.SparsePlus",
    "sparse_sigmoid": "ops.SparseSigmoid",
    "log_sigmoid": "ops.LogSigmoid tf.math.log_sigmoid",
    "mish": "ops.Mish",
}
ALONG = {
    "softmax": "ops.Softmax tf.nn.softmax node.Softmax",
    "log_softmax": "ops.LogSoftmax tf.nn.log_softmax node.LogSoftmax",
    "glu": "ops.Glu",
}


def _enter_plain(name: str, names: str) -> None:
    @function(names, features="x", input="x")
    def activation(layer: Layer, x: Any) -> Tensor:
        return apply(layer, as_float(tensor(layer, x)), name)


def _enter_along(name: str, names: str) -> None:
    @function(names, logits="x", input="x")
    def activation(layer: Layer, x: Any, axis: Any = -1) -> Tensor:
        if axis is None:
            raise layer.refuse("it runs over all axes at once")
        return apply(layer, as_float(tensor(layer, x)), name, axis=whole(layer, axis))


for _name, _names in PLAIN.items():
    _enter_plain(_name, _names)
for _name, _names in ALONG.items():
    _enter_along(_name, _names)


@function("ops.LeakyRelu tf.nn.leaky_relu node.LeakyRelu", features="x", alpha="negative_slope")
def leaky_relu(layer: Layer, x: Any, negative_slope: float = 0.2) -> Tensor:
    """A slope below zero."""
    return apply(layer, tensor(layer, x), "leaky_relu", negative_slope=negative_slope)


@function("ops.Elu tf.nn.elu node.Elu", features="x")
def elu(layer: Layer, x: Any, alpha: float = 1.0) -> Tensor:
    """Exponential below zero."""
    return apply(layer, tensor(layer, x), "elu", alpha=alpha)


@function("ops.Celu")
def celu(layer: Layer, x: Any, alpha: float = 1.0) -> Tensor:
    """Exponential below zero, smooth at it."""
    return apply(layer, tensor(layer, x), "celu", alpha=alpha)


@function("ops.Gelu", features="x")
def gelu(layer: Layer, x: Any, approximate: bool = True) -> Tensor:
    """By a tanh unless it is said otherwise."""
    return apply(layer, tensor(layer, x), "gelu", approximate=approximate)


@function("tf.nn.gelu", features="x")
def exact_gelu(layer: Layer, x: Any, approximate: bool = False) -> Tensor:
    """Exact unless it is said otherwise."""
    return apply(layer, tensor(layer, x), "gelu", approximate=approximate)


@function("ops.HardShrink")
def hard_shrink(layer: Layer, x: Any, threshold: float = 0.5) -> Tensor:
    """Nothing near zero."""
    return apply(layer, tensor(layer, x), "hard_shrink", threshold=threshold)


@function("ops.SoftShrink")
def soft_shrink(layer: Layer, x: Any, threshold: float = 0.5) -> Tensor:
    """Nearer to zero."""
    return apply(layer, tensor(layer, x), "soft_shrink", threshold=threshold)


@function("ops.Squareplus")
def squareplus(layer: Layer, x: Any, b: float = 4) -> Tensor:
    """A root."""
    return apply(layer, tensor(layer, x), "squareplus", b=b)


@function("ops.Threshold")
def threshold(layer: Layer, x: Any, threshold: float, default_value: float) -> Tensor:
    """Something else up to the threshold."""
    return apply(layer, tensor(layer, x), "threshold", threshold=threshold, default_value=default_value)
