"""Layers that are activations, the simple and the advanced ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxcam_converters.keras.activations import activate, apply, number
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor


@reads("Activation")
def activation(layer: Layer, x: Tensor) -> Tensor:
    """Any function by its name."""
    return activate(layer, x, layer.option("activation"))


@reads("ReLU")
def relu(layer: Layer, x: Tensor) -> Tensor:
    """Between a threshold and a maximum, with a slope below."""
    return apply(
        layer,
        x,
        "relu",
        max_value=number(layer.option("max_value", default=None)),
        negative_slope=number(layer.option("negative_slope", default=0.0)),
        threshold=number(layer.option("threshold", default=0.0)),
    )


@reads("LeakyReLU")
def leaky_relu(layer: Layer, x: Tensor) -> Tensor:
    """A slope below zero."""
    return apply(layer, x, "leaky_relu", negative_slope=number(layer.option("negative_slope", "alpha", default=0.3)))


@reads("ELU")
def elu(layer: Layer, x: Tensor) -> Tensor:
    """Exponential below zero."""
    return apply(layer, x, "elu", alpha=number(layer.option("alpha", default=1.0)))


@reads("ThresholdedReLU")
def thresholded_relu(layer: Layer, x: Tensor) -> Tensor:
    """Zero up to theta."""
    return apply(layer, x, "thresholded_relu", theta=number(layer.option("theta", default=1.0)))


@reads("Softmax")
def softmax(layer: Layer, x: Tensor, mask: Any = None) -> Tensor:
    """Along an axis, or over several."""
    if mask is not None:
        raise layer.refuse("its mask is not covered")
    return apply(layer, x, "softmax", axis=layer.option("axis", default=-1))


@reads("Mish")
def mish(layer: Layer, x: Tensor) -> Tensor:
    """Keras 3's function as an operation of its own."""
    return apply(layer, x, "mish")


@reads("PReLU")
def prelu(layer: Layer, x: Tensor) -> Tensor:
    """A learned slope below zero, one for each position that is not shared."""
    layer.ignore("shared_axes", "weights")
    (alpha,) = layer.weights("alpha")
    fits = zip(alpha.shape, x.shape[1:], strict=False)
    if alpha.ndim != x.rank - 1 or not all(a in (1, n) or not isinstance(n, int) for a, n in fits):
        raise layer.refuse(f"slopes of shape {alpha.shape} do not fit an input of shape {x.shape}")
    return x.like(x.tape.PRelu(x.value, layer.constant("alpha", _in_order(alpha, x))))


def _in_order(alpha: Array, x: Tensor) -> Array:
    return np.moveaxis(alpha, -1, 0) if x.is_moved else alpha
