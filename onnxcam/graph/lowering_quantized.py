"""Adapters for QuantizeLinear and DequantizeLinear of the opsets after 18: back to 8 bits and float32 scales."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxcam.graph.adapters import Draft, Scope, lowers, refuse, source, take

EIGHT_BITS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32)


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
    """Blocks and other integers than those of 8 bits came."""
    return _per_tensor_or_axis(node, scope, scope.element_type(node.input[0]))


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
    if source(node, 2):
        kind = scope.element_type(node.input[2])
    elif kind != TensorProto.UINT8:
        sizes = [size or 0 for size in scope.shape(node.input[1]) or ()]
        zeros: NDArray[Any] = np.zeros(sizes, tensor_dtype_to_np_dtype(kind))
        node.input.append(scope.constant(zeros, f"{Draft(node, scope).stem}/zero"))
    return _per_tensor_or_axis(node, scope, kind)


@lowers("QuantizeLinear", 23)
def quantize_linear_23(node: NodeProto, _: Scope) -> list[NodeProto]:
    """The precision of the division can be told."""
    take(node, "precision")
    return [node]


def _per_tensor_or_axis(node: NodeProto, scope: Scope, kind: int) -> list[NodeProto]:
    if take(node, "block_size", 0):
        raise refuse(node, scope, "its scales are per block, which came with opset 21")
    if kind and kind not in EIGHT_BITS:
        raise refuse(node, scope, f"it quantises to {TensorProto.DataType.Name(kind)}, opset 18 has 8 bits only")
    return [node]
