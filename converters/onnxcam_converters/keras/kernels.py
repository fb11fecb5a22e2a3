"""Kernels of Keras 1 in the order of axes that they have had since: space, input channels, output channels."""

from __future__ import annotations

import numpy as np

from onnxcam_converters.keras.layer import Array, Layer


def conv_kernel(layer: Layer, kernel: Array, rank: int) -> Array:
    """(space…, input, output), turned round where Theano convolved and did not correlate."""
    if is_old(layer):
        if rank == 1 and kernel.ndim == 4:
            length = layer.config.get("filter_length")
            # Before 1.2: (output, input, length, 1).
            is_older = kernel.shape[1] != 1 or kernel.shape[0] != length
            kernel = kernel.transpose(2, 1, 0, 3)[..., 0].transpose(0, 1, 2) if is_older else kernel[:, 0]
        elif is_theano_order(layer):
            kernel = np.moveaxis(kernel, (0, 1), (-1, -2))
    return turned(layer, kernel, rank)


def turned(layer: Layer, kernel: Array, rank: int) -> Array:
    """The kernel as other backends have it; Theano convolved where they correlate."""
    return np.flip(kernel, tuple(range(rank))) if layer.story.backend == "theano" else kernel


def depthwise_kernel(layer: Layer, kernel: Array, rank: int) -> Array:
    """(space…, input, multiplier); of a SeparableConv1D it may lack nothing, of Keras 1 with "th" it lies reversed."""
    if is_old(layer) and is_theano_order(layer) and rank > 1:
        return np.moveaxis(kernel, (0, 1), (-1, -2))
    return kernel


def transposed_kernel(layer: Layer, kernel: Array, rank: int) -> Array:
    """(space…, output, input)."""
    if is_old(layer):
        # (output, input, space…) with "th", (space…, input, output) with "tf".
        is_reversed = is_theano_order(layer) and rank > 1
        kernel = np.moveaxis(kernel, (0, 1), (-2, -1)) if is_reversed else kernel.swapaxes(-1, -2)
    return turned(layer, kernel, rank)


def is_old(layer: Layer) -> bool:
    """Whether Keras 1 wrote the weights."""
    return layer.keras < (2,)


def is_theano_order(layer: Layer) -> bool:
    """Whether channels come first."""
    return layer.option("data_format", "dim_ordering", default="tf") in ("th", "channels_first")
