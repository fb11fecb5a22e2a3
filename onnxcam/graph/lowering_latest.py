"""Adapters from opsets 27 and 28: mostly more types for old ops."""

from __future__ import annotations

from onnx import NodeProto, TensorProto

from onnxcam.graph.adapters import Draft, Scope, give, lowers, refuse, take
from onnxcam.graph.expansion import expand

RANGE_TYPES = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)
SIGNED = (TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64)
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


@lowers("Range", 27)
def range_27(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Floats of 16 bits came, counted in those of 32."""
    take(node, "stash_type")
    kind = scope.element_type(node.input[0])
    if not kind or kind in RANGE_TYPES:
        return [node]
    draft = Draft(node, scope)
    wide = [draft("Cast", [name], to=TensorProto.FLOAT) for name in node.input]
    return draft.ends("Cast", [draft("Range", wide)], to=kind)


@lowers("BitShift", 28)
def bit_shift_28(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Integers with a sign came."""
    if scope.element_type(node.input[0]) in SIGNED:
        raise refuse(node, scope, "it shifts integers with a sign, which came with opset 28")
    return [node]


@lowers("Celu", 28)
def celu_28(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """Other floats than those of 32 bits came: α·Elu(x/α), which always had them."""
    if scope.element_type(node.input[0]) in (0, TensorProto.FLOAT):
        return [node]
    draft, x = Draft(node, scope), node.input[0]
    alpha = draft.number(take(node, "alpha", 1.0), x)
    return draft.ends("Mul", [alpha, draft("Elu", [draft("Div", [x, alpha])])])


@lowers("Mod", 28)
def mod_28(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The remainder with the divisor's sign came for floats: that with the dividend's, plus b where they differ."""
    if take(node, "fmod", 0):
        return Draft(node, scope).ends("Mod", list(node.input), fmod=1)
    if scope.element_type(node.input[0]) not in FLOATS:
        return [node]
    draft, (a, b) = Draft(node, scope), node.input
    zero = draft.number(0.0, a)
    rest = draft("Mod", [a, b], fmod=1)
    is_other = draft("Less", [draft("Mul", [draft("Sign", [rest]), draft("Sign", [b])]), zero])
    return draft.ends("Where", [is_other, draft("Add", [rest, b]), rest])


@lowers("SpaceToDepth", 28)
def space_to_depth_28(node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The other order of channels came, for which ONNX has a body."""
    if take(node, "mode", "DCR") == "DCR":
        return [node]
    give(node, "mode", "CRD")
    return expand(node, scope, 28)[0]
