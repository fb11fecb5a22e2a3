"""Which input holds the pictures, and how it lays them out."""

from __future__ import annotations

from onnxcam.graph import Dim, Tape, Value

# ONNX fixes the order of axes of convolutions and pools: batch, channels, then space.
CHANNELS_FIRST = {3: "NCW", 4: "NCHW", 5: "NCDHW"}
CHANNELS_LAST = {3: "NWC", 4: "NHWC", 5: "NDHWC"}
PICTURE_CHANNELS = (1, 2, 3, 4)
SPACE = "DHW"


def picture_layout(value: Value) -> str | None:
    """The layout of an input that can hold pictures, (N, C, H, W) or (N, H, W, C) with 1 to 4 channels; None else.

    Likewise of signals (N, C, L) and volumes or videos (N, C, D, H, W); a signal may have any number of channels.
    """
    shape = value.shape
    if shape is None or len(shape) not in CHANNELS_FIRST or value.dtype is None:
        return None
    if shape[-1] in PICTURE_CHANNELS and shape[1] not in PICTURE_CHANNELS:
        return CHANNELS_LAST[len(shape)]
    if shape[1] in PICTURE_CHANNELS or not isinstance(shape[1], int):
        return CHANNELS_FIRST[len(shape)]
    return _signal_layout(value) if len(shape) == 3 and value.dtype.kind in "fV" else None


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
    return op.ints(*sizes) if len(sizes) == len(sides) else op.Shape(value, start=axes[0], end=axes[-1] + 1)
