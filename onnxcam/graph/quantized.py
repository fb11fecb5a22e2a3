"""Integer ops (QLinearConv, QLinearAdd …) as DequantizeLinear, the float op, QuantizeLinear.

ONNX Runtime joins the three again when it loads the model; the differentiator needs rules for two ops, not for twenty.
Ops that only move integers about (MaxPool, Reshape … of a quantised tensor) are put between the two as well, so that
every tensor with a gradient is a float one; dequantised and quantised by the same scale, they move the same integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx.helper
from onnx import NodeProto

from onnxcam.graph.adapters import Draft, Scope, refuse, source, take
from onnxcam.registry import entering


class Quantized(NamedTuple):
    """A tensor of integers, which stand for scale·(x − zero)."""

    name: str
    scale: str
    zero: str


Rewrite = Callable[[Draft, NodeProto], list[NodeProto]]
REWRITES: dict[str, Rewrite] = {}
# Integers in, the same integers out in other places.
MOVES = frozenset(
    {
        "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Slice", "SpaceToDepth",
        "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip


def rewrites(op_type: str) -> Callable[[Rewrite], Rewrite]:
    """Registers how an integer op is written with a float one."""
    return entering(REWRITES, op_type, what="rewrite of")


def to_float(node: NodeProto, scope: Scope, grids: dict[str, Quantized]) -> list[NodeProto]:
    """The node itself, or what it is with floats; `grids` are the quantised tensors so far, and grows."""
    nodes = _rewritten(node, scope, grids)
    for new in nodes:
        if new.op_type == "QuantizeLinear" and len(new.input) == 3 and not scope.shape(new.input[1]):
            grids[new.output[0]] = Quantized(new.output[0], new.input[1], new.input[2])
    return nodes


def _rewritten(node: NodeProto, scope: Scope, grids: dict[str, Quantized]) -> list[NodeProto]:
    if node.op_type in REWRITES:
        return REWRITES[node.op_type](Draft(node, scope), node)
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        node.domain = ""
    if node.op_type in MOVES and node.input[0] in grids and len(node.output) == 1:
        draft, grid = Draft(node, scope), grids[node.input[0]]
        moved = draft(node.op_type, [_float(draft, grid), *node.input[1:]], **_attributes(node))
        return _quantize(draft, moved, grid.scale, grid.zero)
    return [node]


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _float(draft: Draft, x: Quantized, *, axis: int = 0) -> str:
    """The numbers that the integers stand for; a scale of several numbers counts along `axis`.

    One tensor for all who read it, as its gradient is the sum of theirs, and named after the integers.
    """
    along, known = axis if _count(draft, x.scale) > 1 else None, draft.scope.floats
    if (x, along) not in known:
        y = draft.scope.names.fresh(f"{x.name}/float")
        draft("DequantizeLinear", [x.name, _scalar(draft, x.scale), _scalar(draft, x.zero)], y, axis=along)
        draft.nodes[-1].name = y if draft.scope.array(x.name) is None else ""
        known[x, along] = y
    return known[x, along]


def _quantize(draft: Draft, y: str, scale: str, zero: str) -> list[NodeProto]:
    return draft.ends("QuantizeLinear", [y, _scalar(draft, scale), *([_scalar(draft, zero)] if zero else [])])


def _count(draft: Draft, name: str) -> int:
    return int(np.prod([size or 0 for size in draft.scope.shape(name) or ()]))


def _scalar(draft: Draft, name: str) -> str:
    """A constant of one element without its dimension: with one, it would be a scale of each channel."""
    array = draft.scope.array(name) if name else None
    if array is None or array.size != 1 or not array.ndim:
        return name
    return draft.scope.constant(array.reshape(()), f"{name}/scalar")


def _triple(node: NodeProto, index: int) -> Quantized:
    """The tensor at `index`, its scale and zero point behind it."""
    return Quantized(source(node, index), source(node, index + 1), source(node, index + 2))


def _bias(draft: Draft, name: str, *scales: str, factor: float = 1.0) -> str:
    """A bias of int32, counted in the product of the scales."""
    first, second = (draft.scope.array(scale) for scale in scales)
    if first is None or second is None:
        raise refuse(draft.node, draft.scope, "its scales are computed")
    scale = (first * second * np.float32(factor)).astype(np.float32)
    scale = scale.reshape(()) if scale.size == 1 else scale.reshape(-1)
    known = draft.scope.constant(scale, f"{name}/scale")
    return draft("DequantizeLinear", [name, known], axis=0 if scale.ndim else None)


@rewrites("QLinearConv")
def conv(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Weights per tensor or per output channel; the bias counts in input scale × weight scale."""
    x, w = _triple(node, 0), _triple(node, 3)
    inputs = [_float(draft, x), _float(draft, w, axis=0)]
    if bias := source(node, 8):
        inputs.append(_bias(draft, bias, x.scale, w.scale))
    y = draft("Conv", inputs, **_attributes(node))
    return _quantize(draft, y, node.input[6], node.input[7])


@rewrites("QLinearMatMul")
def matmul(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Scales of B may be one per column."""
    a, b = _triple(node, 0), _triple(node, 3)
    columns = len(draft.scope.shape(b.name) or (0, 0)) - 1
    y = draft("MatMul", [_float(draft, a), _float(draft, b, axis=columns)])
    return _quantize(draft, y, node.input[6], node.input[7])


@rewrites("QGemm")
def gemm(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """Without an output scale the result stays a float; alpha counts for the bias too."""
    a, b, given = _triple(node, 0), _triple(node, 3), _attributes(node)
    columns = 0 if given.get("transB") else 1
    inputs = [_float(draft, a), _float(draft, b, axis=columns)]
    if bias := source(node, 6):
        inputs.append(_bias(draft, bias, a.scale, b.scale, factor=given.get("alpha", 1.0)))
    if not source(node, 7):
        return draft.ends("Gemm", inputs, **given)
    return _quantize(draft, draft("Gemm", inputs, **given), node.input[7], source(node, 8))


def _binary(op_type: str) -> Rewrite:
    def rewrite(draft: Draft, node: NodeProto) -> list[NodeProto]:
        """The float op between DequantizeLinear and QuantizeLinear."""
        y = draft(op_type, [_float(draft, _triple(node, 0)), _float(draft, _triple(node, 3))])
        return _quantize(draft, y, node.input[6], source(node, 7))

    return rewrite


rewrites("QLinearAdd")(_binary("Add"))
rewrites("QLinearMul")(_binary("Mul"))


def _unary(op_type: str) -> Rewrite:
    def rewrite(draft: Draft, node: NodeProto) -> list[NodeProto]:
        """The float op between DequantizeLinear and QuantizeLinear."""
        y = draft(op_type, [_float(draft, _triple(node, 0))], **_attributes(node))
        return _quantize(draft, y, node.input[3], source(node, 4))

    return rewrite


for _name in ("GlobalAveragePool", "AveragePool", "LeakyRelu", "Sigmoid"):
    rewrites(f"QLinear{_name}")(_unary(_name))


@rewrites("QLinearSoftmax")
def softmax(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The attribute `opset` tells which Softmax is meant: before 13 all axes from `axis` on were one."""
    x, axis, opset = _float(draft, _triple(node, 0)), take(node, "axis", -1), take(node, "opset", 13)
    if opset >= 13:
        return _quantize(draft, draft("Softmax", [x], axis=axis), node.input[3], source(node, 4))
    flat = draft("Softmax", [draft("Flatten", [x], axis=axis)], axis=-1)
    y = draft("Reshape", [flat, draft("Shape", [x])])
    return _quantize(draft, y, node.input[3], source(node, 4))


@rewrites("QLinearReduceMean")
def reduce_mean(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """No axes are all axes."""
    axes = take(node, "axes", [])
    inputs = [_float(draft, _triple(node, 0)), *([draft.ints(*axes)] if axes else [])]
    return _quantize(draft, draft("ReduceMean", inputs, **_attributes(node)), node.input[3], source(node, 4))


@rewrites("QLinearConcat")
def concat(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The output's scale comes first, then each input with its own."""
    parts = [_float(draft, _triple(node, index)) for index in range(2, len(node.input), 3)]
    return _quantize(draft, draft("Concat", parts, **_attributes(node)), node.input[0], node.input[1])


@rewrites("QLinearWhere")
def where(draft: Draft, node: NodeProto) -> list[NodeProto]:
    """The condition is no quantised tensor."""
    x, y = _float(draft, _triple(node, 1)), _float(draft, _triple(node, 4))
    return _quantize(draft, draft("Where", [node.input[0], x, y]), node.input[7], source(node, 8))
