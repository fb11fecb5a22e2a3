"""Convolutions of all kinds; the kernels of Keras have space first, then input, then output channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxcam.graph import Value
from onnxcam_converters.keras.activations import activate
from onnxcam_converters.keras.kernels import (
    conv_kernel,
    depthwise_kernel,
    is_old,
    is_theano_order,
    transposed_kernel,
)
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor
from onnxcam_converters.keras.windows import (
    Window,
    channels_in_front,
    expect_shape,
    padded,
    padding_of,
    pads_of,
    placed,
    spread,
)

RANKS = {"1D": 1, "2D": 2, "3D": 3}


def rank_of(layer: Layer) -> int:
    """The number of axes of space: 2 of "Conv2DTranspose"."""
    return next(rank for text, rank in RANKS.items() if text in layer.kind)


def window_of(layer: Layer, *paddings: str) -> Window:
    """The layer's window, by the names that its options have had."""
    rank = rank_of(layer)
    by_axis = [layer.option(name, default=None) for name in ("nb_row", "nb_col")]
    by_depth = [layer.option(f"kernel_dim{axis}", default=None) for axis in (1, 2, 3)]
    old = next((tuple(sizes) for sizes in (by_axis, by_depth) if None not in sizes), None)
    size = layer.option("kernel_size", "filter_length", default=old)
    return Window(
        spread(layer, size, rank),
        spread(layer, layer.option("strides", "subsample", "subsample_length", default=1), rank),
        spread(layer, layer.option("dilation_rate", "atrous_rate", default=1), rank),
        padding_of(layer, *paddings),
    )


def convolve(x: Value, kernel: Value, bias: Value | None, *, window: Window, groups: int = 1) -> Value:
    """The convolution with explicit pads; for sizes that are free they are computed when the model runs."""
    pads = pads_of(x, window)
    if pads is None:
        # −0.0 is zero to everybody but ONNX Runtime's fusion of Pads, which is wrong in places.
        x, pads = padded(x, window, fill=-0.0), [0] * (2 * len(window.size))
    return x.tape.Conv(
        x,
        kernel,
        bias,
        kernel_shape=list(window.size),
        strides=list(window.strides),
        dilations=list(window.dilations),
        pads=pads,
        group=groups,
    )


@reads(
    "Conv1D", "Conv2D", "Conv3D", "Convolution1D", "Convolution2D", "Convolution3D",
    "AtrousConvolution1D", "AtrousConvolution2D", "AtrousConv1D", "AtrousConv2D",
)  # fmt: skip
def conv(layer: Layer, x: Tensor) -> Tensor:
    """Every output channel sums a window over its group of input channels."""
    window, groups = window_of(layer, "causal"), int(layer.option("groups", default=1))
    filters = layer.option("filters", "nb_filter")
    kernel, *biases = layer.weights("kernel", *bias_names(layer))
    kernel = conv_kernel(layer, kernel, len(window.size))
    value = channels_in_front(layer, x)
    channels = (value.shape or (None, None))[1]
    per_group = channels // groups if isinstance(channels, int) else None
    expect_shape(layer, "kernel", kernel, (*window.size, per_group, filters))
    weights = layer.constant("kernel", np.moveaxis(kernel, (-1, -2), (0, 1)))
    return end(layer, convolve(value, weights, bias_of(layer, biases, filters), window=window, groups=groups))


@reads("DepthwiseConv1D", "DepthwiseConv2D", "DepthwiseConvolution2D")
def depthwise(layer: Layer, x: Tensor) -> Tensor:
    """Every input channel is convolved by itself, with `depth_multiplier` kernels."""
    layer.ignore("groups", "filters")
    window, value = window_of(layer), channels_in_front(layer, x)
    kernel, *biases = layer.weights("depthwise_kernel", *bias_names(layer))
    weights, channels = _depthwise_weights(layer, kernel, value=value, window=window)
    bias = bias_of(layer, biases, channels * kernel.shape[-1])
    return end(layer, convolve(value, weights, bias, window=window, groups=channels))


@reads("SeparableConv1D", "SeparableConv2D", "SeparableConvolution1D", "SeparableConvolution2D")
def separable(layer: Layer, x: Tensor) -> Tensor:
    """Depthwise, then over all channels at each point."""
    layer.ignore("groups")
    window, value = window_of(layer, "causal"), channels_in_front(layer, x)
    filters = layer.option("filters", "nb_filter")
    kernel, pointwise, *biases = layer.weights("depthwise_kernel", "pointwise_kernel", *bias_names(layer))
    weights, channels = _depthwise_weights(layer, kernel, value=value, window=window)
    pointwise = depthwise_kernel(layer, pointwise, len(window.size))
    point = Window(*((1,) * len(window.size),) * 3, "valid")
    expect_shape(layer, "pointwise_kernel", pointwise, (*point.size, (weights.shape or (None,))[0], filters))
    deep = convolve(value, weights, None, window=window, groups=channels)
    mixed = layer.constant("pointwise_kernel", np.moveaxis(pointwise, (-1, -2), (0, 1)))
    return end(layer, convolve(deep, mixed, bias_of(layer, biases, filters), window=point))


@reads("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "Convolution1DTranspose", "Convolution2DTranspose",
       "Convolution3DTranspose", "Deconvolution1D", "Deconvolution2D", "Deconvolution3D")  # fmt: skip
def transposed(layer: Layer, x: Tensor) -> Tensor:
    """The gradient of a convolution, as TensorFlow pads it."""
    layer.ignore("groups")
    window, value = window_of(layer), channels_in_front(layer, x)
    filters = layer.option("filters", "nb_filter")
    kernel, *biases = layer.weights("kernel", *bias_names(layer))
    kernel = transposed_kernel(layer, kernel, len(window.size))
    expect_shape(layer, "kernel", kernel, (*window.size, filters, (value.shape or (None, None))[1]))
    pads, more = _transposed_pads(layer, window, value)
    y = value.tape.ConvTranspose(
        value,
        layer.constant("kernel", np.moveaxis(kernel, (-1, -2), (0, 1))),
        bias_of(layer, biases, filters),
        kernel_shape=list(window.size),
        strides=list(window.strides),
        dilations=list(window.dilations),
        pads=pads,
        output_padding=more if any(more) else None,
    )
    return end(layer, y)


def _transposed_pads(layer: Layer, window: Window, x: Value) -> tuple[list[int], list[int]]:
    """ONNX's pads and output_padding: what is cut off the whole result at each end, and what is added at the last."""
    is_same = window.padding == "same"
    surpluses = _wanted_by_keras_1(layer, window, x) if is_old(layer) else _surpluses(layer, window)
    before = [max(surplus, 0) // 2 if is_same else 0 for surplus in surpluses]
    after = [surplus - cut for surplus, cut in zip(surpluses, before, strict=True)]
    return before + [max(end, 0) for end in after], [max(-end, 0) for end in after]


def _surpluses(layer: Layer, window: Window) -> list[int]:
    """How much longer the whole result is than Keras's, along each axis."""
    given = layer.option("output_padding", default=None)
    is_same = window.padding == "same"
    if given is None:
        steps = zip(window.reach, window.strides, strict=True)
        return [reach - stride if is_same else min(reach - stride, 0) for reach, stride in steps]
    extra = spread(layer, given, len(window.size))
    return [2 * (reach // 2) * is_same - more for reach, more in zip(window.reach, extra, strict=True)]


def _wanted_by_keras_1(layer: Layer, window: Window, x: Value) -> list[int]:
    """The same for Keras 1, whose users said themselves how large the result is."""
    shape = layer.option("output_shape")
    wanted = shape[2:] if is_theano_order(layer) else shape[1:-1]
    lengths = (x.shape or ())[2:]
    if not all(isinstance(length, int) for length in (*lengths, *wanted)):
        raise layer.refuse("its output_shape is for one size of input, which is free here")
    return [
        (int(n or 0) - 1) * stride + reach - end
        for n, stride, reach, end in zip(lengths, window.strides, window.reach, wanted, strict=True)
    ]


def _depthwise_weights(layer: Layer, kernel: Array, *, value: Value, window: Window) -> tuple[Value, int]:
    """The kernels of each channel as ONNX's groups have them, and the number of channels."""
    kernel = depthwise_kernel(layer, kernel, len(window.size))
    multiplier = layer.option("depth_multiplier", default=1)
    expect_shape(layer, "depthwise_kernel", kernel, (*window.size, (value.shape or (None, None))[1], multiplier))
    grouped = np.moveaxis(kernel, (-2, -1), (0, 1)).reshape(-1, 1, *window.size)
    return layer.constant("depthwise_kernel", grouped), kernel.shape[-2]


def bias_names(layer: Layer) -> list[str]:
    """The bias, if there is one."""
    return ["bias"] if layer.option("use_bias", "bias", default=True) else []


def bias_of(layer: Layer, biases: list[Array], count: int) -> Value | None:
    """The bias as a constant of the graph."""
    for bias in biases:
        expect_shape(layer, "bias", bias, (count,))
        return layer.constant("bias", bias)
    return None


def end(layer: Layer, value: Value) -> Tensor:
    """The result after the activation, in the layer's order of axes."""
    spec: Any = layer.option("activation", default=None)
    layer.ignore("input_dim", "input_length")
    return activate(layer, placed(layer, value), spec)
