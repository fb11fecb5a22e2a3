"""Which input holds the pictures, and how it lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from onnxcam.graph import Dim, Tape, Value

Shape: TypeAlias = tuple[Dim, ...]

# ONNX fixes the order of axes of convolutions and pools: batch, channels, then space.
CHANNELS_FIRST = {3: "NCW", 4: "NCHW", 5: "NCDHW"}
CHANNELS_LAST = {3: "NWC", 4: "NHWC", 5: "NDHWC"}
FRAMES_FIRST = "NDCHW"
PICTURE_CHANNELS = (1, 2, 3, 4)
SPACE = "DHW"
# What tells which axis has the channels, and what leaves the axes as they are.
CONVOLVING = frozenset(("Conv", "BatchNormalization", "InstanceNormalization", "ConvInteger", "QLinearConv"))
PASSING = frozenset("Add Cast Clip DequantizeLinear Div Dropout Identity Mul QuantizeLinear Relu Sub".split())


def picture_layout(value: Value) -> str | None:
    """The layout of an input that can hold pictures, (N, C, H, W) or (N, H, W, C) with 1 to 4 channels; None else.

    Likewise of signals (N, C, L) and volumes or videos (N, C, D, H, W); a signal may have any number of channels.
    Videos may have their frames before their channels, (N, D, C, H, W), if the first convolution says so, or, where
    there is none, if axis 2 can be channels and axis 1 cannot.
    """
    shape = value.shape
    if shape is None or len(shape) not in CHANNELS_FIRST or value.dtype is None:
        return None
    if shape[-1] in PICTURE_CHANNELS and shape[1] not in PICTURE_CHANNELS:
        return CHANNELS_LAST[len(shape)]
    if len(shape) == 5 and _has_frames_first(value, shape):
        return FRAMES_FIRST
    if shape[1] in PICTURE_CHANNELS or not isinstance(shape[1], int):
        return CHANNELS_FIRST[len(shape)]
    return _signal_layout(value) if len(shape) == 3 and value.dtype.kind in "fV" else None


def _has_frames_first(value: Value, shape: Shape) -> bool:
    """Whether the channels of (N, ?, ?, H, W) are the third axis."""
    found = _convolved(value, shape)
    return found == 2 or (found is None and shape[2] in PICTURE_CHANNELS and shape[1] not in PICTURE_CHANNELS)


def _convolved(value: Value, shape: Shape) -> int | None:
    """The axis that the first convolution of an input (N, ?, ?, H, W) has for its channels; None if it has none.

    The frames of a video may lie beside the images, (N·D, C, H, W), when it comes to that.
    """
    places: dict[Value, list[int]] = {value: list(range(len(shape)))}
    for node in value.tape.nodes:
        source = next((x for x in node.inputs if x in places), None)
        if source is None:
            continue
        order = places[source]
        if node.op_type in CONVOLVING:
            return order[1]
        if node.op_type == "Transpose":
            places[node.output] = [order[axis] for axis in node.attributes.get("perm", range(len(order))[::-1])]
        elif node.op_type in PASSING:
            places[node.output] = order
        elif node.op_type == "Reshape" and _is_by_frame(node.output, [shape[axis] for axis in order]):
            places[node.output] = [order[0], *order[2:]]
    return None


def _is_by_frame(reshaped: Value, sizes: Sequence[Dim]) -> bool:
    """Whether the first two of five axes have become one."""
    return len(sizes) == 5 and reshaped.shape is not None and list(reshaped.shape[1:]) == list(sizes[2:])


def _signal_layout(value: Value) -> str | None:
    """What the first convolution of an input (N, ?, ?) says: it has channels second, or is behind a Transpose."""
    for node in value.tape.nodes:
        if value not in node.inputs:
            continue
        if node.op_type == "Conv":
            return CHANNELS_FIRST[3]
        if node.op_type == "Transpose" and node.attributes.get("perm") == [0, 2, 1]:
            return CHANNELS_LAST[3]
    return None


def find_picture(tape: Tape) -> Value | None:
    """The input that holds the pictures: the first that can; else the first that holds volumes or signals."""
    candidates = [value for value in tape.inputs if picture_layout(value)]
    with_space = [value for value in candidates if value.shape is not None and len(value.shape) == 4]
    return next(iter(with_space or candidates), None)


def is_plane(value: Value) -> bool:
    """Whether it holds pictures, with rows and columns, and no signals or volumes."""
    return set(picture_layout(value) or "") == set("NCHW")


def space_axes(layout: str) -> list[int]:
    """Where the axes of space are: length, or rows and columns, or depth too."""
    return [layout.index(letter) for letter in SPACE if letter in layout]


def space_sides(value: Value, layout: str) -> tuple[Dim, ...]:
    """How long they are: numbers, symbols or None."""
    return tuple((value.shape or (None,) * len(layout))[axis] for axis in space_axes(layout))


def space_size(value: Value, layout: str) -> Value:
    """The same as int64 [h, w]: a constant where the model fixes them."""
    op, axes, sides = value.tape, space_axes(layout), space_sides(value, layout)
    sizes = [n for n in sides if isinstance(n, int)]
    if len(sizes) == len(sides):
        return op.ints(*sizes)
    if axes[-1] - axes[0] >= len(axes):
        return op.Gather(op.Shape(value), op.ints(*axes), axis=0)
    return op.Shape(value, start=axes[0], end=axes[-1] + 1)
