"""ONNX Runtime's layout for processors, com.microsoft.nchwc: channels in blocks that lie innermost.

Brought back to (N, C, H, W) the nodes are those of the default domain, with their weights in order again.
Channels that were added to fill the last block stay in between: their weights are zero, and the end cuts them off.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from onnxcam.graph.adapters import Draft, refuse, source, take
from onnxcam.graph.contrib.activations import renamed
from onnxcam.graph.contrib.convolution import activated_conv, ends_at_back, to_front
from onnxcam.graph.contrib.registry import equals, rest


@equals("nchwc.Conv", inputs=4)
def conv(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Conv with its weights unblocked, the addend and the activation behind it."""
    weights = _unblocked(draft, node, take(node, "block"))
    inputs = [node.input[0], weights, source(node, 2)]
    return renamed(draft, activated_conv(draft, node, inputs, addend=source(node, 3)))


def _unblocked(draft: Draft, node: NodeProto, block: int) -> str:
    """(O, I, h, w) from blocks (O/b, I/b, h, w, b of I, b of O), or from (O/b, I, h, w, b of O).

    I is not in blocks for depthwise convolutions and where the input comes as it is, with fewer channels than a block.
    """
    array = draft.scope.array(node.input[1])
    if array is None:
        raise refuse(draft.node, draft.scope, "its weights are computed, or in a file of their own")
    out, inner, *window = array.shape
    if inner % block:
        blocks = array.reshape(out // block, inner, *window, block)
        usual = blocks.transpose(0, 4, 1, 2, 3)
    else:
        blocks = array.reshape(out // block, inner // block, *window, block, block)
        usual = blocks.transpose(0, 5, 1, 4, 2, 3)
    return draft.scope.constant(np.ascontiguousarray(usual.reshape(array.shape)), f"{draft.stem}/weight")


@equals("nchwc.AveragePool", "nchwc.GlobalAveragePool", "nchwc.GlobalMaxPool", "nchwc.MaxPool", inputs=1)
def pool(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The op of the default domain."""
    take(node, "block")
    given = rest(node)
    if any(step != 1 for step in given.get("dilations", [])) and node.op_type == "AveragePool":
        raise refuse(draft.node, draft.scope, "its windows have gaps (dilations), which came with opset 19")
    if node.op_type == "AveragePool":
        given.pop("dilations", None)
    return draft.ends(node.op_type, [node.input[0]], **given)


@equals("nchwc.Upsample", inputs=1)
def upsample(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Resize by whole factors."""
    take(node, "block")
    scales = np.array(take(node, "scales"), np.float32)
    factors = draft.scope.constant(scales, f"{draft.stem}/scales")
    mode, place = take(node, "mode", "nearest"), take(node, "coordinate_transformation_mode", "asymmetric")
    nearest = "floor" if mode == "nearest" else None
    attributes = {"mode": mode, "coordinate_transformation_mode": place, "nearest_mode": nearest}
    return draft.ends("Resize", [node.input[0], "", factors], **attributes)


@equals("nchwc.ReorderInput", inputs=1)
def reorder_input(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The input with channels of zeros up to a whole block; the channels may come last."""
    x, block = node.input[0], take(node, "block")
    shape, last = draft.scope.shape(x), take(node, "channels_last", 0)
    if last:
        x = to_front(draft, x, 4)
    channels = shape[3 if last else 1] if shape else None
    if channels is not None and channels % block == 0:
        return renamed(draft, x) if last else draft.ends("Identity", [x])
    count = draft("Shape", [x], start=1, end=2)
    over = draft("Mod", [draft("Neg", [count]), draft.ints(block)])
    pads = draft("Concat", [draft.ints(0, 0, 0, 0, 0), over, draft.ints(0, 0)], axis=0)
    return draft.ends("Pad", [x, pads])


@equals("nchwc.ReorderOutput", inputs=1)
def reorder_output(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The channels that there were before; they may go last."""
    x, channels, block = node.input[0], take(node, "channels"), take(node, "block")
    last = take(node, "channels_last", 0)
    if channels % block:
        x = draft("Slice", [x, draft.ints(0), draft.ints(channels), draft.ints(1)])
    if last:
        return ends_at_back(draft, x, 4)
    return renamed(draft, x) if draft.nodes else draft.ends("Identity", [x])
