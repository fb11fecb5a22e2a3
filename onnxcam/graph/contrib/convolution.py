"""Convolutions with an activation behind them, and ops whose channels come last."""

from __future__ import annotations

from onnx import NodeProto

from onnxcam.graph.adapters import Draft, refuse, source, take
from onnxcam.graph.contrib.activations import activate, renamed
from onnxcam.graph.contrib.registry import equals, rank, rest, total

QLINEAR = ("QLinearAveragePool", "QLinearConv", "QLinearGlobalAveragePool")


@equals("FusedConv", inputs=4)
def fused_conv(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """activation(Conv(X, W, B) + Z)."""
    return renamed(draft, activated_conv(draft, node, list(node.input[:3]), addend=source(node, 3)))


def activated_conv(draft: Draft, node: NodeProto, inputs: list[str], *, addend: str) -> str:
    """The activation of a Conv of the inputs plus the addend, if there is one."""
    name, numbers = take(node, "activation", ""), take(node, "activation_params", [])
    y = total(draft, draft("Conv", inputs, **rest(node)), addend)
    return activate(draft, y, name, numbers, like=node.input[0])


@equals("NhwcConv", inputs=3)
@equals("NhwcFusedConv", inputs=4)
def nhwc_conv(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The same with the channels last in X, Z and Y, though not in W."""
    axes = rank(draft, node.input[1])
    x, z = (to_front(draft, name, axes) if name else "" for name in (node.input[0], source(node, 3)))
    return ends_at_back(draft, activated_conv(draft, node, [x, *node.input[1:3]], addend=z), axes)


@equals("NhwcMaxPool", inputs=1)
def nhwc_max_pool(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """MaxPool of integers with the channels last."""
    axes = len(node_ints(node, "kernel_shape")) + 2
    y = draft("MaxPool", [to_front(draft, node.input[0], axes)], **rest(node))
    return ends_at_back(draft, y, axes)


@equals(*QLINEAR, inputs=9)
def qlinear(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """An integer op with the channels last as one with the channels second; others stay as they are."""
    last = take(node, "channels_last", 0)
    if node.op_type == "QLinearConv":
        node.domain = ""  # which has it too, but for channels that come last
    if not last:
        return [node]
    given = rest(node)
    axes = len(given["kernel_shape"]) + 2 if "kernel_shape" in given else rank(draft, _ranked(node))
    x = to_front(draft, node.input[0], axes)
    y = draft(node.op_type, [x, *node.input[1:]], domain=node.domain, **given)
    return ends_at_back(draft, y, axes)


def _ranked(node: NodeProto) -> str:
    """The input whose rank is easiest to know."""
    name: str = node.input[3 if node.op_type == "QLinearConv" else 0]
    return name


@equals("ConvTransposeWithDynamicPads", inputs=4)
def conv_transpose_with_dynamic_pads(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """ConvTranspose whose pads are an input: a constant one here."""
    given, name = rest(node), source(node, 2)
    pads = draft.scope.array(name) if name else None
    if name and pads is None:
        raise refuse(draft.node, draft.scope, "its pads are computed")
    if pads is not None:
        given["pads"] = [int(pad) for pad in pads.reshape(-1)]
    return draft.ends("ConvTranspose", [*node.input[:2], source(node, 3)], **given)


def to_front(draft: Draft, name: str, axes: int) -> str:
    """(N, …, C) as (N, C, …)."""
    return draft("Transpose", [name], perm=[0, axes - 1, *range(1, axes - 1)])


def ends_at_back(draft: Draft, y: str, axes: int) -> list[NodeProto]:
    """The nodes, the last of which turns y from (N, C, …) to (N, …, C)."""
    return draft.ends("Transpose", [y], perm=[0, *range(2, axes), 1])


def node_ints(node: NodeProto, name: str) -> list[int]:
    """The integers of an attribute, which stays; none where it is missing."""
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == name), [])
