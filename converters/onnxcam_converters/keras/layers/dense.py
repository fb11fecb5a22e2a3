"""Dense layers, and the flattening before them."""

from __future__ import annotations

import math

from onnxcam.graph import Value
from onnxcam_converters.keras.activations import activate
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.layers.convolution import bias_names, bias_of
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor
from onnxcam_converters.keras.windows import expect_shape


@reads("Dense")
def dense(layer: Layer, x: Tensor) -> Tensor:
    """A matrix for the last axis; where that lies in front, as pictures do, a convolution of one point."""
    units = layer.option("units", "output_dim")
    kernel, *biases = layer.weights("kernel", *bias_names(layer))
    expect_shape(layer, "kernel", kernel, (x.shape[-1], units))
    bias, shape = bias_of(layer, biases, units), (*x.shape[:-1], units)
    if x.is_moved and x.rank > 2:
        points = kernel.T.reshape(*kernel.T.shape, *[1] * (x.rank - 2))
        y = x.like(x.tape.Conv(x.value, layer.constant("kernel", points), bias), shape)
    elif x.rank == 2:
        y = Tensor(x.tape.Gemm(x.plain(), layer.constant("kernel", kernel), bias), shape)
    else:
        y = Tensor(_added(x.tape.MatMul(x.plain(), layer.constant("kernel", kernel)), bias), shape)
    return activate(layer, y, layer.option("activation", default=None))


def _added(value: Value, bias: Value | None) -> Value:
    return value if bias is None else value + bias


@reads("Flatten")
def flatten(layer: Layer, x: Tensor) -> Tensor:
    """All axes but the batch in one, channels last as Keras has them; "channels_first" asks for just that order too."""
    is_first = layer.option("data_format", default=None) == "channels_first"
    value = x.plain()
    if is_first and x.rank > 2:
        value = x.tape.Transpose(value, perm=[0, *range(2, x.rank), 1])
    sizes = [dim for dim in x.shape[1:] if isinstance(dim, int)]
    length = math.prod(sizes) if len(sizes) == x.rank - 1 else None
    return Tensor(x.tape.Flatten(value, axis=1), (x.shape[0], length))
