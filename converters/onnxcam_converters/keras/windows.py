"""What convolutions and pools have in common: order of channels, sizes of windows, and Keras's kinds of padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxcam.errors import StateMismatch
from onnxcam.graph import Dim, Value
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.tensor import Tensor

LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, slots=True)
class Window:
    """A window that moves over the axes of space.

    Attributes:
        size, strides, dilations: a number for each axis.
        padding: "valid", "same" or "causal".
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str

    @property
    def reach(self) -> tuple[int, ...]:
        """From the first to the last element of the window, along each axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilations, strict=True))

    def total(self, axis: int, length: int) -> int:
        """How much TensorFlow's SAME adds along an axis of that length."""
        stride = self.strides[axis]
        return max((-(-length // stride) - 1) * stride + self.reach[axis] - length, 0)


def spread(layer: Layer, value: Any, rank: int) -> tuple[int, ...]:
    """A number for each axis of space, from one number or as many."""
    numbers = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(numbers) == 1:
        numbers *= rank
    if len(numbers) != rank:
        raise layer.refuse(f"{value!r} does not fit {rank} axes of space")
    return numbers


def padding_of(layer: Layer, *allowed: str) -> str:
    """The kind of padding: "valid", "same" or what else the layer knows."""
    padding = str(layer.option("padding", "border_mode", default="valid"))
    if padding not in ("valid", "same", *allowed):
        raise layer.refuse(f"its padding {padding!r} is not covered")
    return padding


def is_channels_first(layer: Layer) -> bool:
    """Whether the layer takes channels before space."""
    return layer.option("data_format", "dim_ordering", default="channels_last") in ("channels_first", "th")


def channels_in_front(layer: Layer, x: Tensor) -> Value:
    """The input as ONNX wants it: batch, channels, space."""
    return x.plain() if is_channels_first(layer) else x.moved()


def placed(layer: Layer, value: Value) -> Tensor:
    """A result with the channels in front, as the layer's tensor."""
    shape = value.shape or ()
    if is_channels_first(layer):
        return Tensor(value, shape)
    return Tensor(value, (shape[0], *shape[2:], shape[1]), is_moved=True)


def pads_of(x: Value, window: Window) -> list[int] | None:
    """ONNX's pads, all befores and then all afters; None where they depend on a size that is free."""
    rank = len(window.size)
    if window.padding == "valid":
        return [0] * (2 * rank)
    if window.padding == "causal":
        return [reach - 1 for reach in window.reach] + [0] * rank
    totals = []
    for axis, length in enumerate((x.shape or ())[2:]):
        # At stride 1 the length drops out.
        if not isinstance(length, int) and window.strides[axis] > 1:
            return None
        totals.append(window.total(axis, length if isinstance(length, int) else window.reach[axis]))
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def padded(x: Value, window: Window, *, fill: float) -> Value:
    """The input with SAME's padding computed when the model runs, for sizes that are free."""
    op, rank = x.tape, len(window.size)
    lengths = op.Slice(op.Shape(x), op.ints(2), op.ints(2 + rank))
    strides = op.ints(*window.strides)
    steps = op.Div(lengths + op.ints(*(s - 1 for s in window.strides)), strides) - op.ints(1)
    totals = op.Max(steps * strides + op.ints(*window.reach) - lengths, op.ints(0))
    befores = op.Div(totals, op.ints(2))
    none = op.ints(0, 0)
    pads = op.Concat(none, befores, none, totals - befores, axis=0)
    return op.Pad(x, pads, op.constant(np.array(fill, np.float32)))


def expect_shape(layer: Layer, name: str, array: Array, shape: Sequence[Dim]) -> None:
    """Checks a weight against what the options and the input ask for; free sizes fit anything.

    Raises:
        StateMismatch: if it is of another shape.
    """
    fits = len(shape) == array.ndim and all(
        not isinstance(wanted, int) or wanted == size for wanted, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = " x ".join("?" if not isinstance(dim, int) else str(dim) for dim in shape)
        found = " x ".join(map(str, array.shape))
        source = layer.story.source or "the file"
        told = f"{layer.path}/{name} ({found}, not {wanted})"
        raise StateMismatch(source, "the architecture", missing=[], unexpected=[], shapes=[told])
