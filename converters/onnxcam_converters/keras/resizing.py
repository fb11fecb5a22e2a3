"""Pictures made larger and smaller, as TensorFlow does it."""

from __future__ import annotations

import numpy as np

from onnxcam.graph import Dim, Value
from onnxcam_converters.keras.frames import Frame
from onnxcam_converters.keras.interpolation import matrix
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.tensor import Tensor


def resized(
    layer: Layer, frame: Frame, size: tuple[int, int], *, interpolation: str = "bilinear", antialias: bool = False
) -> Tensor:
    """The pictures in that size (height, width); with antialias, averaged over what a pixel covers.

    Raises:
        UnsupportedLayer: if the interpolation is unknown, or needs a size that is open.
    """
    if frame.size == size:
        return frame.tensor(frame.value, size)
    if interpolation == "nearest":
        value = _resize(frame, size, mode="nearest", nearest_mode="round_prefer_ceil")
    elif interpolation == "bilinear" and not antialias:
        value = _resize(frame, size, mode="linear")
    else:
        value = _multiplied(layer, frame, size, interpolation=interpolation, antialias=antialias)
    return frame.tensor(value, size)


def smartly_resized(layer: Layer, frame: Frame, size: tuple[int, int], *, interpolation: str = "bilinear") -> Tensor:
    """The largest part in the middle that has the proportions asked for, resized."""
    height, width = known(layer, frame)
    rows = max(min(height, int(float(width * size[0]) / size[1])), 1)
    columns = max(min(width, int(float(height * size[1]) / size[0])), 1)
    start = ((height - rows) // 2, (width - columns) // 2)
    return resized(layer, cropped(frame, start, (rows, columns)), size, interpolation=interpolation)


def widened(layer: Layer, frame: Frame, size: tuple[int, int], fill: float) -> Frame:
    """The pictures with as much around them, the same on both sides, as the proportions asked for need."""
    height, width = known(layer, frame)
    rows = max(height, int(float(width * size[0]) / size[1]))
    columns = max(width, int(float(height * size[1]) / size[0]))
    top, left = (rows - height) // 2, (columns - width) // 2
    op = frame.value.tape
    pads = op.ints(0, 0, top, left, 0, 0, top, left)
    value = op.Pad(frame.value, pads, op.constant(np.array(fill or -0.0, np.float32)))
    return _again(frame, value, (height + 2 * top, width + 2 * left))


def cropped(frame: Frame, start: tuple[int, int], size: tuple[int, int]) -> Frame:
    """The part from there on, of that size."""
    op, ends = frame.value.tape, [a + n for a, n in zip(start, size, strict=True)]
    if frame.size == size:
        return frame
    return _again(frame, op.Slice(frame.value, op.ints(*start), op.ints(*ends), op.ints(2, 3)), size)


def known(layer: Layer, frame: Frame) -> tuple[int, int]:
    """Height and width.

    Raises:
        UnsupportedLayer: if the file leaves them open.
    """
    height, width = frame.size
    if not isinstance(height, int) or not isinstance(width, int):
        raise layer.refuse("what it does depends on the size of the pictures, which the file leaves open")
    return height, width


def _again(frame: Frame, value: Value, size: tuple[Dim, Dim]) -> Frame:
    return Frame(value, frame.tensor(value, size).shape, frame.is_first)


def _resize(frame: Frame, size: tuple[int, int], **attributes: str) -> Value:
    op, x = frame.value.tape, frame.value
    place = {"coordinate_transformation_mode": "half_pixel", **attributes}
    factors = [after / n if isinstance(n, int) else 0.0 for n, after in zip(frame.size, size, strict=True)]
    if all(factor >= 1.0 and factor.is_integer() for factor in factors):
        return op.Resize(x, None, op.constant(np.array([1.0, 1.0, *factors], np.float32)), **place)
    sizes = op.Concat(op.Shape(x, end=2), op.ints(*size), axis=0)
    return op.Resize(x, None, None, sizes, **place)


def _multiplied(layer: Layer, frame: Frame, size: tuple[int, int], *, interpolation: str, antialias: bool) -> Value:
    """A product with a matrix for each axis."""
    value, op = frame.value, frame.value.tape
    pairs = zip(known(layer, frame), size, strict=True)
    rows, columns = (matrix(n, m, interpolation=interpolation, antialias=antialias) for n, m in pairs)
    if rows is None or columns is None:
        raise layer.refuse(f"interpolation={interpolation!r} is not covered")
    if columns.shape[0] != columns.shape[1]:
        value = op.MatMul(value, op.constant(np.ascontiguousarray(columns.T)))
    return op.MatMul(op.constant(rows), value) if rows.shape[0] != rows.shape[1] else value
