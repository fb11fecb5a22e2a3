"""Layers that reorder, repeat, cut off and pad, and compute nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from onnxcam.graph import Dim
from onnxcam_converters.keras.frames import framed, has_channels_first, scaled
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.resizing import known, resized
from onnxcam_converters.keras.tensor import Shape, Tensor

# The end of an axis, for Slice.
END = 2**31 - 1
# What ONNX Runtime would make of Pad(0) before MaxPool is wrong (its Pad_Fusion); it does not know −0 for a zero.
NO_ZERO = -0.0
PADS = {"left_pad": 0, "top_pad": 0, "right_pad": 1, "bottom_pad": 1}
Pairs = list[tuple[int, int]]


@reads("Reshape")
def reshape(layer: Layer, x: Tensor) -> Tensor:
    """Other axes behind the first."""
    return reshaped(layer, x, tuple(int(n) if n is not None else -1 for n in layer.option("target_shape")))


def reshaped(layer: Layer, x: Tensor, target: tuple[int, ...]) -> Tensor:
    """Other axes behind the first, of which one may be −1: as long as it must be."""
    own = x.shape[1:]
    sizes = [n for n in own if isinstance(n, int)]
    count = prod(sizes) if len(sizes) == len(own) else None
    rest = prod(n for n in target if n != -1)
    if target.count(-1) > 1 or (
        count is not None and (rest == 0 or count % rest or (-1 not in target and count != rest))
    ):
        raise layer.refuse(f"what has the shape {x.shape} cannot have the shape {target}")
    shape: Shape = (x.shape[0], *(n if n != -1 else count // rest if count is not None else None for n in target))
    if shape == x.shape:
        return x
    op, flat = x.tape, x.value if _is_point(x.shape) else x.plain()
    if _is_point(shape) and len(shape) > 2:
        return Tensor(op.Reshape(flat, op.ints(0, _entry(shape[-1]), *[1] * (len(shape) - 2))), shape, is_moved=True)
    return Tensor(op.Reshape(flat, op.ints(0, *map(_entry, shape[1:]))), shape)


def _is_point(shape: Shape) -> bool:
    """Whether there is nothing but channels: their order is then the same wherever they lie."""
    return all(n == 1 for n in shape[1:-1])


def _entry(dim: Dim) -> int:
    return dim if isinstance(dim, int) else -1


@reads("Permute")
def permute(layer: Layer, x: Tensor) -> Tensor:
    """The axes behind the first in another order."""
    return transposed(layer, x, [0, *layer.option("dims")])


def transposed(layer: Layer, x: Tensor, order: Sequence[int]) -> Tensor:
    """Keras's axes in that order."""
    axes = [axis % x.rank for axis in order]
    if sorted(axes) != list(range(x.rank)):
        raise layer.refuse(f"{list(order)} is no order of {x.rank} axes")
    shape, perm = tuple(x.shape[axis] for axis in axes), [x.axis(axis) for axis in axes]
    return Tensor(x.value if perm == list(range(x.rank)) else x.tape.Transpose(x.value, perm=perm), shape)


@reads("RepeatVector")
def repeat_vector(layer: Layer, x: Tensor) -> Tensor:
    """(N, C) becomes (N, n, C)."""
    count, op = int(layer.option("n")), x.tape
    value = op.Expand(op.Unsqueeze(x.plain(), op.ints(1)), op.ints(1, count, 1))
    return Tensor(value, (x.shape[0], count, *x.shape[1:]))


@reads("Cropping1D", "Cropping2D", "Cropping3D")
def cropping(layer: Layer, x: Tensor) -> Tensor:
    """Less at both ends of each spatial axis."""
    axes, pairs = _sides(layer, x, layer.option("cropping"))
    shape, op = list(x.shape), x.tape
    for axis, (start, end) in zip(axes, pairs, strict=True):
        shape[axis] = _longer(layer, shape[axis], -start - end)
    ends = [-end if end else END for _, end in pairs]
    places = op.ints(*(x.axis(axis) for axis in axes))
    return x.like(op.Slice(x.value, op.ints(*(start for start, _ in pairs)), op.ints(*ends), places), tuple(shape))


@reads("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
def zero_padding(layer: Layer, x: Tensor) -> Tensor:
    """Zeros at both ends of each spatial axis."""
    axes, pairs = _sides(layer, x, layer.option("padding"))
    return padded(layer, x, dict(zip(axes, pairs, strict=True)))


def padded(
    layer: Layer, x: Tensor, pads: Mapping[int, tuple[int, int]], *, number: float = 0.0, mode: str = "constant"
) -> Tensor:
    """More at both ends of some of Keras's axes."""
    shape, starts, ends = list(x.shape), [0] * x.rank, [0] * x.rank
    for axis, (start, end) in pads.items():
        shape[axis] = _longer(layer, shape[axis], start + end)
        starts[x.axis(axis)], ends[x.axis(axis)] = start, end
    op = x.tape
    fill = op.constant(np.array(number or NO_ZERO, x.value.dtype or np.float32)) if mode == "constant" else None
    return x.like(op.Pad(x.value, op.ints(*starts, *ends), fill, mode=mode), tuple(shape))


def _longer(layer: Layer, dim: Dim, more: int) -> Dim:
    if not isinstance(dim, int):
        return dim if more == 0 else None
    if dim + more <= 0:
        raise layer.refuse(f"nothing is left of an axis of length {dim}")
    return dim + more


def _sides(layer: Layer, x: Tensor, spec: Any) -> tuple[list[int], Pairs]:
    """The spatial axes, with how much is meant at the start and the end of each."""
    count = int(layer.kind[-2])
    if x.rank != count + 2:
        raise layer.refuse(f"its input has {x.rank} axes, not {count + 2}")
    first = 2 if has_channels_first(layer) else 1
    pairs = _pairs(spec, count)
    if pairs is None or min(min(pair) for pair in pairs) < 0:
        raise layer.refuse(f"{spec!r} is not understood")
    return list(range(first, first + count)), pairs


def _pairs(spec: Any, count: int) -> Pairs | None:
    """From a number for all, a number for each axis, a pair for each axis, or Keras 1's four sides of a picture."""
    if isinstance(spec, Mapping):
        return _named_sides(spec, count)
    entries = [spec] * count if isinstance(spec, int) else list(spec)
    if len(entries) == 2 * count:
        return [(int(a), int(b)) for a, b in zip(entries[::2], entries[1::2], strict=True)]
    if len(entries) != count:
        return None
    pairs = [(entry, entry) if isinstance(entry, int) else tuple(entry) for entry in entries]
    return [(int(a), int(b)) for a, b in pairs] if all(len(pair) == 2 for pair in pairs) else None


def _named_sides(spec: Mapping[str, int], count: int) -> Pairs | None:
    """Of Keras 1: {"left_pad": 1, …}; a side that is not named gets nothing."""
    axes = {"left_pad": count - 1, "right_pad": count - 1, "top_pad": 0, "bottom_pad": 0}
    if count > 2 or spec.keys() - PADS.keys():
        return None
    pairs = [[0, 0] for _ in range(count)]
    for side, number in spec.items():
        pairs[axes[side]][PADS[side]] = int(number)
    return [(a, b) for a, b in pairs]


@reads("UpSampling1D", "UpSampling2D", "UpSampling3D")
def up_sampling(layer: Layer, x: Tensor) -> Tensor:
    """Larger by whole numbers, each pixel repeated or interpolated."""
    count = int(layer.kind[-2])
    size = layer.option("size", "length")
    factors = (size,) * count if isinstance(size, int) else tuple(int(n) for n in size)
    frame = framed(layer, x, rank=count + 2, is_first=has_channels_first(layer))
    interpolation, after = layer.option("interpolation", default="nearest"), scaled(frame.size, factors)
    if interpolation == "nearest":
        scales = frame.value.tape.constant(np.array([1, 1, *factors], np.float32))
        place = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return frame.tensor(frame.value.tape.Resize(frame.value, None, scales, mode="nearest", **place), after)
    if count != 2 or layer.keras < (2, 3):
        # TensorFlow 1.13 and 1.14 both call themselves Keras 2.2.4 and place the pixels differently.
        raise layer.refuse(f"interpolation={interpolation!r} of Keras {'.'.join(map(str, layer.keras))} is not covered")
    if interpolation == "bilinear":
        scales = frame.value.tape.constant(np.array([1, 1, *factors], np.float32))
        half = {"coordinate_transformation_mode": "half_pixel"}
        return frame.tensor(frame.value.tape.Resize(frame.value, None, scales, mode="linear", **half), after)
    height, width = known(layer, frame)
    return resized(layer, frame, (height * factors[0], width * factors[1]), interpolation=interpolation)
