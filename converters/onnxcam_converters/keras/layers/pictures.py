"""Layers that prepare pictures within the model: size, scale, mean and variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxcam_converters.keras.arrays import array_of
from onnxcam_converters.keras.frames import framed, has_channels_first
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.operands import as_float
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.resizing import cropped, known, resized, smartly_resized, widened
from onnxcam_converters.keras.tensor import Tensor

# The least standard deviation, keras.backend.epsilon().
EPSILON = 1e-7


@reads("Resizing")
def resizing(layer: Layer, x: Tensor) -> Tensor:
    """Another size; in proportion where a part is cut off, or something put around."""
    frame = framed(layer, as_float(x), rank=4, is_first=has_channels_first(layer))
    size = (int(layer.option("height")), int(layer.option("width")))
    interpolation = str(layer.option("interpolation", default="bilinear")).lower()
    antialias = bool(layer.option("antialias", default=False))
    is_cropped = layer.option("crop_to_aspect_ratio", default=False)
    is_padded = layer.option("pad_to_aspect_ratio", default=False)
    layer.expect("fill_mode", "constant")
    fill = float(layer.option("fill_value", default=0.0))
    if is_cropped and antialias:
        raise layer.refuse("antialias together with crop_to_aspect_ratio is not covered")
    if is_cropped:
        return smartly_resized(layer, frame, size, interpolation=interpolation)
    if is_padded:
        frame = widened(layer, frame, size, fill)
    return resized(layer, frame, size, interpolation=interpolation, antialias=antialias)


@reads("CenterCrop")
def center_crop(layer: Layer, x: Tensor) -> Tensor:
    """The part in the middle; of pictures that are too small the largest one of its proportions, enlarged."""
    frame = framed(layer, as_float(x), rank=4, is_first=has_channels_first(layer))
    size = (int(layer.option("height")), int(layer.option("width")))
    height, width = known(layer, frame)
    if height < size[0] or width < size[1]:
        return smartly_resized(layer, frame, size)
    part = cropped(frame, ((height - size[0]) // 2, (width - size[1]) // 2), size)
    return part.tensor(part.value, size)


@reads("Rescaling")
def rescaling(layer: Layer, x: Tensor) -> Tensor:
    """x · scale + offset, each one number or one for each channel."""
    scale = _of_channels(layer, x, "scale", layer.option("scale"))
    offset = _of_channels(layer, x, "offset", layer.option("offset", default=0.0))
    op, value = x.tape, as_float(x).value * x.tape.constant(scale)
    return x.like(value + op.constant(offset) if offset.any() else value)


def _of_channels(layer: Layer, x: Tensor, name: str, spec: Any) -> Array:
    """The numbers, where they meet the channels; a file does not say if Keras 3 was set to channels_first."""
    found = array_of(spec)
    if found is None or found.ndim > 1:
        raise layer.refuse(f"{name}={spec!r} is not understood")
    numbers = found.astype(np.float32)
    if numbers.size == 1:
        return numbers.reshape(())
    if x.shape[-1] == numbers.size:
        return numbers.reshape([-1 if axis == x.axis(-1) else 1 for axis in range(x.rank)])
    if layer.keras >= (3,) and x.rank > 2 and x.shape[1] == numbers.size:
        return numbers.reshape([-1 if axis == x.axis(1) else 1 for axis in range(x.rank)])
    raise layer.refuse(f"{numbers.size} numbers for its {name} do not fit an input of shape {x.shape}")


@reads("Normalization")
def normalization(layer: Layer, x: Tensor) -> Tensor:
    """(x − mean)/√variance, along the axes that are kept apart; or the way back."""
    axes = layer.option("axis", default=-1)
    kept = sorted(axis % x.rank for axis in ([] if axes is None else [axes] if isinstance(axes, int) else axes))
    mean, variance = (_spread(layer, x, kept, numbers) for numbers in _moments(layer))
    op, value = x.tape, as_float(x).value
    deviation = np.maximum(np.sqrt(variance), np.float32(EPSILON))
    if layer.option("invert", default=False):
        return x.like(value * op.constant(deviation) + op.constant(mean))
    return x.like((value - op.constant(mean)) / op.constant(deviation))


def _moments(layer: Layer) -> tuple[Array, Array]:
    """Mean and variance: from the options, or else learned."""
    specs = layer.option("mean", default=None), layer.option("variance", default=None)
    if specs == (None, None):
        mean, variance, _ = layer.weights("mean", "variance", "count")
        return mean.astype(np.float32), variance.astype(np.float32)
    given = [array_of(spec) for spec in specs]
    if given[0] is None or given[1] is None:
        raise layer.refuse(f"mean={specs[0]!r} and variance={specs[1]!r} are not understood")
    return given[0].astype(np.float32), given[1].astype(np.float32)


def _spread(layer: Layer, x: Tensor, kept: list[int], numbers: Array) -> Array:
    """The numbers at the kept axes, where these lie in the graph."""
    own = [x.shape[axis] for axis in kept]
    if not all(isinstance(n, int) for n in own):
        raise layer.refuse(f"it is normalized along axes of unknown length, of the shape {x.shape}")
    lengths = [n for n in own if isinstance(n, int)]
    try:
        full = np.broadcast_to(np.squeeze(numbers) if numbers.ndim > len(kept) else numbers, lengths)
    except ValueError as error:
        raise layer.refuse(f"means of shape {numbers.shape} do not fit an input of shape {x.shape}") from error
    shape = [lengths[kept.index(axis)] if axis in kept else 1 for axis in range(x.rank)]
    placed = full.reshape(shape)
    return np.moveaxis(placed, -1, 1) if x.is_moved else placed
