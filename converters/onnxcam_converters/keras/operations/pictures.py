"""Functions that give pictures another size, or make pixels of channels."""

from __future__ import annotations

from typing import Any

from onnxcam_converters.keras.frames import Frame, framed
from onnxcam_converters.keras.functions import function, tensor, whole, wholes
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.operands import as_float
from onnxcam_converters.keras.resizing import resized, smartly_resized, widened
from onnxcam_converters.keras.sizes import dims_of
from onnxcam_converters.keras.tensor import Tensor


@function("tf.nn.depth_to_space node.DepthToSpace", input="x")
def depth_to_space(layer: Layer, x: Any, block_size: Any, data_format: Any = "NHWC") -> Tensor:
    """Channels laid out as pixels."""
    frame, block = _channels_last(layer, x, data_format), whole(layer, block_size)
    height, width, channels = frame.shape[1:]
    if not isinstance(channels, int):
        raise layer.refuse("the number of channels is open")
    value = frame.value.tape.DepthToSpace(frame.value, blocksize=block, mode="DCR")
    larger = [n * block if isinstance(n, int) else None for n in (height, width)]
    return Tensor(value, (frame.shape[0], *larger, channels // block**2), is_moved=True)


@function("tf.nn.space_to_depth node.SpaceToDepth", input="x")
def space_to_depth(layer: Layer, x: Any, block_size: Any, data_format: Any = "NHWC") -> Tensor:
    """Pixels laid out as channels."""
    frame, block = _channels_last(layer, x, data_format), whole(layer, block_size)
    height, width, channels = frame.shape[1:]
    if not isinstance(channels, int):
        raise layer.refuse("the number of channels is open")
    value = frame.value.tape.SpaceToDepth(frame.value, blocksize=block)
    smaller = [n // block if isinstance(n, int) else None for n in (height, width)]
    return Tensor(value, (frame.shape[0], *smaller, channels * block**2), is_moved=True)


def _channels_last(layer: Layer, x: Any, data_format: Any) -> Frame:
    if data_format not in (None, "NHWC", "channels_last"):
        raise layer.refuse(f"data_format={data_format!r} is not covered")
    return framed(layer, as_float(tensor(layer, x)), rank=4, is_first=False)


@function("ops.Resize", images="x")
def resize(
    layer: Layer,
    x: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: Any = None,
) -> Tensor:
    """Another size, as the layer Resizing does it."""
    height, width = wholes(layer, size)
    if data_format not in (None, "channels_last", "channels_first") or fill_mode != "constant":
        raise layer.refuse(f"data_format={data_format!r} or fill_mode={fill_mode!r} is not covered")
    frame = framed(layer, as_float(tensor(layer, x)), rank=4, is_first=data_format == "channels_first")
    if crop_to_aspect_ratio and not antialias:
        return smartly_resized(layer, frame, (height, width), interpolation=interpolation)
    if crop_to_aspect_ratio:
        raise layer.refuse("antialias together with crop_to_aspect_ratio is not covered")
    frame = widened(layer, frame, (height, width), fill_value) if pad_to_aspect_ratio else frame
    return resized(layer, frame, (height, width), interpolation=interpolation, antialias=antialias)


@function("tf.image.resize", images="x")
def resize_images(
    layer: Layer,
    x: Any,
    size: Any,
    method: Any = "bilinear",
    preserve_aspect_ratio: Any = False,
    antialias: Any = False,
) -> Tensor:
    """Another size, as TensorFlow 2 does it."""
    if preserve_aspect_ratio or not isinstance(method, str):
        raise layer.refuse(f"method={method!r}, preserve_aspect_ratio={preserve_aspect_ratio!r} is not covered")
    frame = framed(layer, as_float(tensor(layer, x)), rank=4, is_first=False)
    height, width = _size(layer, size)
    return resized(layer, frame, (height, width), interpolation=method.lower(), antialias=bool(antialias))


def _size(layer: Layer, size: Any) -> tuple[int, int]:
    """A size that may have been computed, if it is known all the same."""
    entries = list(size) if isinstance(size, list | tuple) else [size]
    dims = [dim for entry in entries for dim in _known(layer, entry)]
    if len(dims) != 2 or not all(isinstance(dim, int) for dim in dims):
        raise layer.refuse(f"a size of {dims} is not covered")
    return int(dims[0] or 0), int(dims[1] or 0)


def _known(layer: Layer, entry: Any) -> list[Any]:
    return dims_of(entry.value) or [] if isinstance(entry, Tensor) else wholes(layer, entry)
