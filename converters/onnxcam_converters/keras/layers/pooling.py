"""Pools over windows, over all of space, and to a size that is given."""

from __future__ import annotations

import numpy as np

from onnxcam.graph import Dim, Value
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.layers.convolution import rank_of
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor
from onnxcam_converters.keras.windows import (
    LOWEST,
    Window,
    channels_in_front,
    is_channels_first,
    padded,
    padding_of,
    pads_of,
    placed,
    spread,
)


def window_of(layer: Layer) -> Window:
    """The layer's window; without strides it moves by its own size."""
    rank = rank_of(layer)
    size = spread(layer, layer.option("pool_size", "pool_length"), rank)
    strides = layer.option("strides", "stride", default=None)
    return Window(size, size if strides is None else spread(layer, strides, rank), (1,) * rank, padding_of(layer))


@reads("MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "MaxPool1D", "MaxPool2D", "MaxPool3D")
def max_pool(layer: Layer, x: Tensor) -> Tensor:
    """The largest in each window."""
    window, value = window_of(layer), channels_in_front(layer, x)
    pads = pads_of(value, window)
    if pads is None:
        value, pads = padded(value, window, fill=LOWEST), [0] * (2 * len(window.size))
    y = value.tape.MaxPool(value, kernel_shape=list(window.size), strides=list(window.strides), pads=pads)
    return placed(layer, y)


@reads("AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "AvgPool1D", "AvgPool2D", "AvgPool3D")
def average_pool(layer: Layer, x: Tensor) -> Tensor:
    """The mean of each window; what lies outside the picture does not count."""
    window, value = window_of(layer), channels_in_front(layer, x)
    pads = pads_of(value, window)
    if pads is not None:
        return placed(layer, _average(value, window, pads))
    none = [0] * (2 * len(window.size))
    inside = padded(value * 0.0 + 1.0, window, fill=0.0)
    return placed(layer, _average(padded(value, window, fill=0.0), window, none) / _average(inside, window, none))


def _average(x: Value, window: Window, pads: list[int]) -> Value:
    return x.tape.AveragePool(x, kernel_shape=list(window.size), strides=list(window.strides), pads=pads)


@reads("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
       "GlobalMaxPool1D", "GlobalMaxPool2D", "GlobalMaxPool3D")  # fmt: skip
def global_max_pool(layer: Layer, x: Tensor) -> Tensor:
    """The largest of each channel."""
    value = channels_in_front(layer, x)
    return _without_space(layer, value.tape.GlobalMaxPool(value))


@reads("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
       "GlobalAvgPool1D", "GlobalAvgPool2D", "GlobalAvgPool3D")  # fmt: skip
def global_average_pool(layer: Layer, x: Tensor) -> Tensor:
    """The mean of each channel."""
    if x.rank == 3 and not x.is_moved and not is_channels_first(layer):
        keeps = int(bool(layer.option("keepdims", default=False)))
        mean = x.tape.ReduceMean(x.value, x.tape.ints(1), keepdims=keeps)
        return Tensor(mean, (x.shape[0], *[1] * keeps, x.shape[2]))
    value = channels_in_front(layer, x)
    return _without_space(layer, value.tape.GlobalAveragePool(value))


def _without_space(layer: Layer, value: Value) -> Tensor:
    """(N, C), from a pool that leaves axes of length one; with them where the layer keeps them."""
    if layer.option("keepdims", default=False):
        return placed(layer, value)
    flat = value.tape.Flatten(value, axis=1)
    return Tensor(flat, (value.shape or (None, None))[:2])


@reads("AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D")
def adaptive_average_pool(layer: Layer, x: Tensor) -> Tensor:
    """The mean over bins from ⌊i·n/m⌋ to ⌈(i+1)·n/m⌉, axis by axis: a MatMul each."""
    value, rank = channels_in_front(layer, x), rank_of(layer)
    sizes = spread(layer, layer.option("output_size"), rank)
    for axis, (length, size) in enumerate(zip((value.shape or ())[2:], sizes, strict=True), start=2):
        last = 1 + rank
        swap = [*range(2 + rank)]
        swap[axis], swap[last] = swap[last], swap[axis]
        bins = value.tape.constant(_bins(layer, length, size))
        value = value.tape.Transpose(value.tape.MatMul(value.tape.Transpose(value, perm=swap), bins), perm=swap)
    return placed(layer, value)


def _bins(layer: Layer, length: Dim, size: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """(length, size): the share of each element in each bin."""
    if not isinstance(length, int):
        raise layer.refuse("its bins depend on a size that is free", "Fix the size of the pictures: input_size=(H, W).")
    shares = np.zeros((length, size), np.float32)
    for index in range(size):
        start, end = index * length // size, -(-(index + 1) * length // size)
        shares[start:end, index] = 1 / (end - start)
    return shares
