"""Adapters from the opsets after 18, one for each op and the opset in which it came or changed.

Ops that came with a body of simpler ones and have no adapter here are expanded through it (expansion.py).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxcam.graph.adapters import Draft, Scope, give, lowers, refuse, source, take

# New attributes and inputs that matter only for types or forms which are refused or expanded elsewhere.
COMPATIBLE = frozenset({("Attention", 24), ("Attention", 25)})
LAST = np.iinfo(np.int64).max
# The types of fewer than 16 bits that came after opset 18.
SHORT = {
    kind
    for name, kind in TensorProto.DataType.items()
    if name.startswith(("FLOAT4", "FLOAT6", "FLOAT8", "INT2", "INT4", "UINT2", "UINT4"))
}
# Ops that came after 18 with no body and no equal in 18, which are refused by name; no gradient passes through any.
WITHOUT_EQUAL = {
    "BitCast": "It reads the bits of one type as another; opset 18 has nothing that does.",
    "ImageDecoder": "It decodes compressed pictures, which is no part of a network: give the model decoded ones.",
    "RegexFullMatch": "It works on text; opset 18 has nothing that does the same.",
    "StringConcat": "It works on text; opset 18 has nothing that does the same.",
    "StringSplit": "It works on text; opset 18 has nothing that does the same.",
}


@lowers("Cast", 19)
@lowers("CastLike", 19)
def cast_19(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """How to saturate came, for 8-bit floats, which 18 does not have."""
    take(node, "saturate")
    kinds = {scope.element_type(name) for name in node.input} | {a.i for a in node.attribute if a.name == "to"}
    if missing := sorted(TensorProto.DataType.Name(kind) for kind in kinds & SHORT):
        raise refuse(node, scope, f"opset 18 does not have the type {missing[0]}")
    return [node]


@lowers("Cast", 24)
@lowers("CastLike", 24)
def cast_24(node: NodeProto, _: Scope) -> list[NodeProto]:
    """How to round came, for 8-bit floats, which 18 does not have."""
    take(node, "round_mode")
    return [node]


@lowers("Gelu", 20)
def gelu_20(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """x·Φ(x), in the two forms that ONNX Runtime knows and joins again."""
    draft, x = Draft(node, scope), node.input[0]
    if take(node, "approximate", "none") == "tanh":
        cube = draft("Mul", [draft.number(0.044715, x), draft("Pow", [x, draft.number(3.0, x)])])
        slope = draft("Mul", [draft.number(math.sqrt(2 / math.pi), x), draft("Add", [x, cube])])
        gate = draft("Add", [draft("Tanh", [slope]), draft.number(1.0, x)])
        return draft.ends("Mul", [draft("Mul", [x, draft.number(0.5, x)]), gate])
    error = draft("Erf", [draft("Div", [x, draft.number(math.sqrt(2), x)])])
    gate = draft("Mul", [x, draft("Add", [error, draft.number(1.0, x)])])
    return draft.ends("Mul", [gate, draft.number(0.5, x)])


@lowers("GroupNormalization", 21)
def group_normalization_21(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Scale and bias are of each channel, not of each group."""
    draft, (x, scale, bias) = Draft(node, scope), node.input
    groups = take(node, "num_groups")
    kind = tensor_dtype_to_np_dtype(scope.element_type(scale) or TensorProto.FLOAT)
    ones = scope.constant(np.ones(groups, kind), f"{draft.stem}/ones")
    zeros = scope.constant(np.zeros(groups, kind), f"{draft.stem}/zeros")
    normal = _by_group(draft, groups, [ones, zeros], take(node, "epsilon", 1e-5))
    channels = draft("Concat", [draft.ints(0), draft("Shape", [scale]), draft.ints(-1)], axis=0)
    rows = draft("Reshape", [normal, channels])
    column = draft.ints(-1, 1)
    scaled = draft("Mul", [rows, draft("Reshape", [scale, column])])
    shifted = draft("Add", [scaled, draft("Reshape", [bias, column])])
    return draft.ends("Reshape", [shifted, draft("Shape", [x])])


@lowers("GroupNormalization", 18)
def group_normalization_18(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Withdrawn later, and no runtime has it: an InstanceNormalization of the groups, as exporters write it."""
    draft, (x, scale, bias) = Draft(node, scope), node.input
    normal = _by_group(draft, take(node, "num_groups"), [scale, bias], take(node, "epsilon", 1e-5))
    return draft.ends("Reshape", [normal, draft("Shape", [x])])


def _by_group(draft: Draft, groups: int, scale_and_bias: list[str], epsilon: float) -> str:
    """(N, C, …) as (N, groups, rest), each group normalised by itself."""
    grouped = draft("Reshape", [draft.node.input[0], draft.ints(0, groups, -1)])
    return draft("InstanceNormalization", [grouped, *scale_and_bias], epsilon=epsilon)


@lowers("Pad", 19)
def pad_19(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The mode "wrap" came: the far end of an axis is laid before it, its start behind it; widths below 0 cut."""
    if not any(a.name == "mode" and a.s == b"wrap" for a in node.attribute):
        return [node]
    pads, shape = scope.array(node.input[1]), scope.shape(node.input[0])
    axes: NDArray[Any] | None = scope.array(node.input[3]) if source(node, 3) else np.arange(len(shape or ()))
    if pads is None or axes is None or shape is None:
        raise refuse(node, scope, "it wraps around by widths that are computed")
    draft, x = Draft(node, scope), node.input[0]
    for axis, before, after in zip(axes, pads, pads[len(axes) :], strict=False):
        if before < 0 or after < 0:
            last = int(after) if after < 0 else LAST
            x = draft("Slice", [x, draft.ints(max(int(-before), 0)), draft.ints(last), draft.ints(int(axis))])
        x = _wrapped(draft, x, int(axis), before=max(int(before), 0), after=max(int(after), 0))
    return draft.ends("Identity", [x])


def _wrapped(draft: Draft, x: str, axis: int, *, before: int, after: int) -> str:
    parts, along = [x], draft.ints(axis)
    if before:
        parts.insert(0, draft("Slice", [x, draft.ints(-before), draft.ints(LAST), along]))
    if after:
        parts.append(draft("Slice", [x, draft.ints(0), draft.ints(after), along]))
    return draft("Concat", parts, axis=axis) if len(parts) > 1 else x


@lowers("ReduceMax", 20)
@lowers("ReduceMin", 20)
def reduce_max_20(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Truth values came; 18 reduces them as bytes."""
    if scope.element_type(node.input[0]) != TensorProto.BOOL:
        return [node]
    draft = Draft(node, scope)
    attributes = {name: take(node, name) for name in ("keepdims", "noop_with_empty_axes")}
    counted = draft("Cast", [node.input[0]], to=TensorProto.UINT8)
    reduced = draft(node.op_type, [counted, *node.input[1:]], **attributes)
    return draft.ends("Cast", [reduced], to=TensorProto.BOOL)


@lowers("Resize", 19)
def resize_19(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The placement half_pixel_symmetric came: half_pixel where the new size is exactly size·scale.

    Where it is not, it stays: ONNX Runtime has it for every opset.
    """
    mode = take(node, "coordinate_transformation_mode", "half_pixel")
    is_kept = any(a.name == "keep_aspect_ratio_policy" and a.s != b"stretch" for a in node.attribute)
    is_exact = not is_kept if source(node, 3) else _is_exact(node, scope)
    is_half = mode == "half_pixel_symmetric" and is_exact
    give(node, "coordinate_transformation_mode", "half_pixel" if is_half else mode)
    return [node]


def _is_exact(node: NodeProto, scope: Scope) -> bool:
    scales = scope.array(source(node, 2))
    return scales is not None and bool((scales == np.round(scales)).all())


@lowers("Swish", 24)
def swish_24(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """x·σ(αx)."""
    draft, x, alpha = Draft(node, scope), node.input[0], take(node, "alpha", 1.0)
    scaled = x if alpha == 1.0 else draft("Mul", [x, draft.number(alpha, x)])
    return draft.ends("Mul", [x, draft("Sigmoid", [scaled])])
