"""Which axis of a tensor is what: batch, channels, height, width; followed through the graph from the picture on."""

from __future__ import annotations

from collections.abc import Mapping

from onnxcam.graph import Node, Tape, Value

# ONNX fixes the order of axes of these ops: batch, channels, then space.
CHANNELS_FIRST = {3: "NCW", 4: "NCHW", 5: "NCDHW"}
CHANNELS_LAST = {3: "NWC", 4: "NHWC", 5: "NDHWC"}
PICTURE_CHANNELS = (1, 2, 3, 4)
FIXING = frozenset(
    "Conv ConvTranspose MaxPool AveragePool GlobalAveragePool GlobalMaxPool LpPool GlobalLpPool BatchNormalization "
    "InstanceNormalization GroupNormalization LRN DepthToSpace SpaceToDepth GridSample".split()
)
# Ops that give axes another meaning.
REARRANGING = frozenset("Flatten Squeeze Unsqueeze Einsum Shape Size NonZero ArgMax ArgMin Gemm".split())


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


def follow_layouts(tape: Tape, picture: Value) -> dict[Value, str]:
    """The layout ("NCHW") of every tensor computed from the picture whose axes are known; "?" for one that is not."""
    layouts, reached = {picture: picture_layout(picture) or ""}, {picture}
    for node in tape.nodes:
        if reached.isdisjoint(node.inputs):
            continue
        reached.update(node.outputs)
        for value in node.outputs:
            layout = _layout(node, value, layouts)
            if layout and value.shape is not None and len(value.shape) == len(layout):
                layouts[value] = layout
    return layouts


def _layout(node: Node, output: Value, layouts: Mapping[Value, str]) -> str | None:
    """The layout of a node's output, from those of its inputs."""
    rank = len(output.shape or ())
    if node.op_type in FIXING:
        return CHANNELS_FIRST.get(rank)
    known = [layouts[value] for value in node.inputs if value is not None and value in layouts]
    layout = max(known, key=len, default=None)
    if layout is None or node.op_type == "Reshape":
        return layout and _reshaped(node, output, layout)
    if node.op_type in REARRANGING:
        return None
    if node.op_type == "Transpose":
        return "".join(layout[axis] for axis in node.attributes.get("perm", range(len(layout))[::-1]))
    return layout


def _reshaped(node: Node, output: Value, layout: str) -> str | None:
    """Channels split in groups or joined again, as in a channel shuffle, where rows and columns stay last."""
    before, after = node.x.shape or (), output.shape or ()
    stays = layout.endswith("HW") and len(after) >= 4 and before[-2:] == after[-2:] and None not in after[-2:]
    if not stays:
        return None
    return "NCHW" if len(after) == 4 else "N" + "?" * (len(after) - 3) + "HW"
