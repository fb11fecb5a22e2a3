"""Which input holds the pictures, and how it lays them out."""

from __future__ import annotations

from onnxcam.graph import Tape, Value

# ONNX fixes the order of axes of convolutions and pools: batch, channels, then space.
CHANNELS_FIRST = {3: "NCW", 4: "NCHW", 5: "NCDHW"}
CHANNELS_LAST = {3: "NWC", 4: "NHWC", 5: "NDHWC"}
PICTURE_CHANNELS = (1, 2, 3, 4)


def picture_layout(value: Value) -> str | None:
    """The layout of an input that can hold pictures, (N, C, H, W) or (N, H, W, C) with 1 to 4 channels; None else."""
    shape = value.shape
    if shape is None or len(shape) not in CHANNELS_FIRST or value.dtype is None:
        return None
    if shape[-1] in PICTURE_CHANNELS and shape[1] not in PICTURE_CHANNELS:
        return CHANNELS_LAST[len(shape)]
    return CHANNELS_FIRST[len(shape)] if shape[1] in PICTURE_CHANNELS or not isinstance(shape[1], int) else None


def find_picture(tape: Tape) -> Value | None:
    """The input that holds the pictures: the first that can."""
    candidates = [value for value in tape.inputs if picture_layout(value)]
    with_space = [value for value in candidates if value.shape is not None and len(value.shape) == 4]
    return next(iter(with_space or candidates), None)
