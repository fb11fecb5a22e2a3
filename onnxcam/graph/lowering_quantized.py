"""Adapters for QuantizeLinear and DequantizeLinear of the opsets after 18: back to 8 bits and float32 scales."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto
from onnx.helper import make_attribute, make_tensor_type_proto, tensor_dtype_to_np_dtype

from onnxcam.graph.adapters import Draft, Scope, lowers, refuse, source, take

EIGHT_BITS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32)
# The lowest and the highest number of each type that is stored in 8 bits here.
FEWER_BITS: dict[int, tuple[int, int]] = {
    TensorProto.INT4: (-8, 7), TensorProto.UINT4: (0, 15), TensorProto.INT2: (-2, 1), TensorProto.UINT2: (0, 3),
}  # fmt: skip


@lowers("QLinearMatMul", 21)
def q_linear_mat_mul_21(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Scales of other types than float32 came."""
    draft, changed = Draft(node, scope), False
    for index in (1, 4, 6):
        if scope.element_type(node.input[index]) not in (0, TensorProto.FLOAT):
            node.input[index] = draft.cast(node.input[index], TensorProto.FLOAT)
            changed = True
    return [*draft.nodes, node] if changed else [node]


@lowers("DequantizeLinear", 19)
def dequantize_linear_19(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The scale, and with it the result, may be of another type than float32."""
    kind = scope.element_type(node.input[1])
    if kind in (0, TensorProto.FLOAT):
        return [node]
    draft = Draft(node, scope)
    scale = draft("Cast", [node.input[1]], to=TensorProto.FLOAT)
    wide = draft("DequantizeLinear", [node.input[0], scale, *node.input[2:]], axis=take(node, "axis"))
    return draft.ends("Cast", [wide], to=kind)


@lowers("DequantizeLinear", 21)
def dequantize_linear_21(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Blocks and other types than those of 8 bits came: constants of fewer bits are widened, blocks multiplied out."""
    block = take(node, "block_size", 0)
    kinds = {scope.element_type(name) for name in (node.input[0], source(node, 2)) if name}
    if not block and kinds <= {0, *EIGHT_BITS}:
        return [node]
    draft = Draft(node, scope)
    x, scale = widened(draft, node.input[0]), node.input[1]
    zero = widened(draft, node.input[2]) if source(node, 2) else ""
    if not block and scope.element_type(x) in EIGHT_BITS:
        return draft.ends("DequantizeLinear", [x, scale, zero], axis=take(node, "axis"))
    axis = take(node, "axis", 1)
    real = draft("Cast", [x], to=scope.element_type(scale) or TensorProto.FLOAT)
    if zero:
        base = draft("Cast", [zero], to=scope.element_type(scale) or TensorProto.FLOAT)
        base = stretched(draft, base, shape=scope.shape(zero), axis=axis, block=block)
        real = draft("Sub", [real, base])
    return draft.ends("Mul", [real, stretched(draft, scale, shape=scope.shape(scale), axis=axis, block=block)])


@lowers("DequantizeLinear", 23)
def dequantize_linear_23(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The type of the result can be told apart from that of the scale."""
    kind, of_scale = take(node, "output_dtype", 0), scope.element_type(node.input[1])
    if kind in (0, of_scale):
        return [node]
    draft = Draft(node, scope)
    attributes = {name: take(node, name) for name in ("axis", "block_size")}
    return draft.ends("Cast", [draft("DequantizeLinear", list(node.input), **attributes)], to=kind)


@lowers("QuantizeLinear", 19)
def quantize_linear_19(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Other types than float32 came, and how to saturate 8-bit floats."""
    take(node, "saturate")
    kind = scope.element_type(node.input[1])
    if kind not in (0, TensorProto.FLOAT):
        draft = Draft(node, scope)
        x, scale = (draft("Cast", [name], to=TensorProto.FLOAT) for name in node.input[:2])
        return draft.ends("QuantizeLinear", [x, scale, *node.input[2:]], axis=take(node, "axis"))
    return [node]


@lowers("QuantizeLinear", 21)
def quantize_linear_21(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Blocks and other integers came; the type can be told without a zero point."""
    kind = take(node, "output_dtype", 0) or TensorProto.UINT8
    block, shape = take(node, "block_size", 0), scope.shape(node.input[1])
    if source(node, 2):
        kind = scope.element_type(node.input[2])
    elif kind != TensorProto.UINT8:
        zeros: NDArray[Any] = np.zeros([size or 0 for size in shape or ()], tensor_dtype_to_np_dtype(kind))
        node.input.append(scope.constant(zeros, f"{Draft(node, scope).stem}/zero"))
    if kind in FEWER_BITS:
        return _to_few_bits(node, scope, kind, block)
    if kind and kind not in EIGHT_BITS:
        raise refuse(node, scope, f"it quantises to {TensorProto.DataType.Name(kind)}, opset 18 has 8 bits only")
    return _by_block(Draft(node, scope), node.input[0], source(node, 2), kind, block) if block else [node]


def _by_block(draft: Draft, x: str, zero: str, kind: int, block: int) -> list[NodeProto]:
    """x divided by the scale of each block, and then quantised by the scale 1."""
    node, scope = draft.node, draft.scope
    scale, axis = node.input[1], take(node, "axis", 1)
    real = draft("Div", [x, stretched(draft, scale, shape=scope.shape(scale), axis=axis, block=block)])
    base = scope.array(zero) if zero else None
    if zero and (base is None or base.any()):
        moved = draft("Cast", [zero], to=scope.element_type(scale) or TensorProto.FLOAT)
        real = draft("Add", [real, stretched(draft, moved, shape=scope.shape(zero), axis=axis, block=block)])
    none = scope.constant(np.zeros((), tensor_dtype_to_np_dtype(kind)), f"{draft.stem}/zero")
    return draft.ends("QuantizeLinear", [draft.cast(real, TensorProto.FLOAT), _one(draft), none])


def _to_few_bits(node: NodeProto, scope: Scope, kind: int, block: int) -> list[NodeProto]:
    """x held within what the few bits can say, and quantised to 8 bits."""
    draft, axis = Draft(node, scope), take(node, "axis", 1)
    scale, zero, known = node.input[1], node.input[2], scope.shape(node.input[0])
    base, s = scope.array(zero), scope.array(scale)
    if base is None or s is None or known is None:
        raise refuse(node, scope, "it quantises to fewer than 8 bits by computed scales")
    bounds = [((limit - base.astype(np.int64)) * s).astype(s.dtype) for limit in FEWER_BITS[kind]]
    x = node.input[0]
    for op_type, bound in zip(("Max", "Min"), bounds, strict=True):
        name = scope.constant(bound, f"{draft.stem}/bound")
        x = draft(op_type, [x, stretched(draft, name, shape=list(bound.shape), axis=axis % len(known), block=block)])
    zero = widened(draft, zero)
    wide = scope.element_type(zero)
    scope.types[node.output[0]] = make_tensor_type_proto(wide, known)
    if block:
        node.attribute.append(make_attribute("axis", axis))
        return _by_block(draft, x, zero, wide, block)
    return draft.ends("QuantizeLinear", [x, scale, zero], axis=axis)


@lowers("QuantizeLinear", 23)
def quantize_linear_23(node: NodeProto, _: Scope) -> list[NodeProto]:
    """The precision of the division can be told."""
    take(node, "precision")
    return [node]


def widened(draft: Draft, name: str) -> str:
    """A constant in a type that opset 18 has, where its own is none: integers of 8 bits, floats of 16."""
    kind, scope = draft.scope.element_type(name), draft.scope
    if kind in (*EIGHT_BITS, TensorProto.INT16, TensorProto.UINT16):
        return name
    if (array := scope.array(name)) is None:
        raise refuse(draft.node, scope, f"its numbers are computed in {TensorProto.DataType.Name(kind)}")
    if kind in FEWER_BITS:
        return scope.constant(array.astype(np.int8 if FEWER_BITS[kind][0] else np.uint8), f"{name}/wide")
    return scope.constant(array.astype(np.float32).astype(np.float16), f"{name}/wide")


def stretched(draft: Draft, scale: str, *, shape: list[int | None] | None, axis: int, block: int) -> str:
    """The scale, or zero point, in a shape that stretches over x: of a tensor, of an axis, or of blocks along it."""
    like = draft.scope.shape(draft.node.input[0])
    if shape is not None and len(shape) == 0:
        return scale
    if like is None or shape is None or (block and None in shape):
        raise refuse(draft.node, draft.scope, "the shape of its scales or the rank of its input is unknown")
    along = axis % len(like)
    if not block:
        return draft("Unsqueeze", [scale, draft.ints(*range(1, len(like) - along))]) if len(like) - along > 1 else scale
    sizes = [size or 0 for size in shape]
    several = draft("Unsqueeze", [scale, draft.ints(along + 1)])
    several = draft("Expand", [several, draft.ints(*sizes[: along + 1], block, *sizes[along + 1 :])])
    total = sizes[along] * block
    whole = draft("Reshape", [several, draft.ints(*sizes[:along], total, *sizes[along + 1 :])])
    size = like[along]
    if size == total:
        return whole
    end = draft.ints(size) if size is not None else draft("Shape", [draft.node.input[0]], start=along, end=along + 1)
    return draft("Slice", [whole, draft.ints(0), end, draft.ints(along)])


def _one(draft: Draft) -> str:
    return draft.scope.constant(np.ones((), np.float32), f"{draft.stem}/one")
