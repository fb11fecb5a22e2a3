"""Types of tensors, and what becomes of them where a tensor is cut into slices or made of them."""

from __future__ import annotations

from onnx import TypeProto

# How the symbols begin that ONNX's inference makes up.
INFERRED = "unk__"


def without_shape(kind: TypeProto) -> TypeProto:
    """The type with nothing said of its shape."""
    bare = TypeProto()
    bare.CopyFrom(kind)
    if bare.HasField("tensor_type"):
        bare.tensor_type.ClearField("shape")
    return bare


def without_symbols(kind: TypeProto) -> TypeProto:
    """The type with its rank and the dimensions that are numbers; symbols may mean something else elsewhere."""
    return _without_symbols(kind, "")


def without_inferred_symbols(kind: TypeProto) -> TypeProto:
    """The type without the symbols that one run of ONNX's inference made up, and the next might for something else."""
    return _without_symbols(kind, INFERRED)


def _without_symbols(kind: TypeProto, beginning: str) -> TypeProto:
    plain = TypeProto()
    plain.CopyFrom(kind)
    for dim in plain.tensor_type.shape.dim if plain.tensor_type.HasField("shape") else ():
        if not dim.HasField("dim_value") and dim.dim_param.startswith(beginning):
            dim.Clear()
    return plain


def with_elements(kind: TypeProto, like: TypeProto) -> TypeProto:
    """The shape of the one with the elements of the other."""
    changed = TypeProto()
    changed.CopyFrom(kind)
    changed.tensor_type.elem_type = like.tensor_type.elem_type
    return changed


def slice_type(kind: TypeProto, axis: int) -> TypeProto:
    """The type of one slice along the axis."""
    part = TypeProto()
    part.CopyFrom(kind)
    if part.tensor_type.HasField("shape"):
        del part.tensor_type.shape.dim[axis]
    return part


def stacked_type(kind: TypeProto) -> TypeProto:
    """The type of slices laid one after the other along a new first axis."""
    whole = without_shape(kind)
    if kind.tensor_type.HasField("shape"):
        whole.tensor_type.shape.dim.add()
        whole.tensor_type.shape.dim.extend(kind.tensor_type.shape.dim)
    return whole


def common_type(a: TypeProto, b: TypeProto) -> TypeProto:
    """What is true of both: the dimensions that they share."""
    if not (a.tensor_type.HasField("shape") and b.tensor_type.HasField("shape")):
        return without_shape(a)
    dims, others = a.tensor_type.shape.dim, b.tensor_type.shape.dim
    if len(dims) != len(others):
        return without_shape(a)
    common = TypeProto()
    common.CopyFrom(a)
    for dim, other in zip(common.tensor_type.shape.dim, others, strict=True):
        if dim != other:
            dim.Clear()
    return common


def are_at_odds(a: TypeProto, b: TypeProto) -> bool:
    """Whether no tensor can be of both shapes."""
    if not (a.tensor_type.HasField("shape") and b.tensor_type.HasField("shape")):
        return False
    dims, others = a.tensor_type.shape.dim, b.tensor_type.shape.dim
    if len(dims) != len(others):
        return True
    sized = [(x, y) for x, y in zip(dims, others, strict=True) if x.HasField("dim_value") and y.HasField("dim_value")]
    return any(x.dim_value != y.dim_value for x, y in sized)


def is_no_tensor(kind: TypeProto) -> bool:
    """Whether it is known to be a sequence of tensors, or one that may be absent."""
    return bool(kind.HasField("sequence_type") or kind.HasField("optional_type"))


def shape_text(kind: TypeProto) -> str:
    """The shape as it is written: (N, 3)."""
    sizes = (str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param for dim in kind.tensor_type.shape.dim)
    return f"({', '.join(size or '?' for size in sizes)})"
