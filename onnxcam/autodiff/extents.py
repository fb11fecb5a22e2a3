"""Sizes within rules: numbers where the model states them, else computed when the graph runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from onnxcam.errors import UnknownShape
from onnxcam.graph import Dim, Node, Value

# "To the end" and "past the beginning", as Slice takes them.
END = 2**63 - 1
BEGINNING = -(2**63 - 1)


def known_ints(value: Value | None) -> list[int] | None:
    """The numbers in a constant tensor of integers; None when it is computed or absent."""
    array = value.constant if value else None
    return None if array is None else [int(n) for n in np.ravel(array)]


def rank_of(x: Value, node: Node) -> int:
    """How many dimensions `x` has.

    Raises:
        UnknownShape: where the model does not tell.
    """
    if x.shape is None:
        raise UnknownShape(node.op_type, node.title, f"the rank of {x.name!r}")
    return len(x.shape)


def axis_of(x: Value, node: Node, *, default: int = 0) -> int:
    """The node's axis, counted from the front of `x`."""
    axis = int(node.attributes.get("axis", default))
    return axis if axis >= 0 else axis % max(rank_of(x, node), 1)


def sizes_along(x: Value, axes: Sequence[int]) -> list[int] | None:
    """The sizes of `x` along the axes, when all are numbers."""
    found = [x.shape[axis] if x.shape else None for axis in axes]
    numbers = [n for n in found if isinstance(n, int)]
    return numbers if len(numbers) == len(found) else None


def runtime_sizes_along(x: Value, axes: Sequence[int]) -> Value:
    """The same as a list of int64, a constant where they are known."""
    op, known = x.tape, sizes_along(x, axes)
    return op.ints(*known) if known is not None else op.Gather(op.Shape(x), op.ints(*axes))


def shape_of(x: Value) -> Value:
    """The shape of `x` as a list of int64, a constant where it is known."""
    known = sizes_along(x, range(len(x.shape))) if x.shape is not None else None
    return x.tape.ints(*known) if known is not None else x.tape.Shape(x)


def zeros(shape: Value, like: Value) -> Value:
    """Zeros of that shape, of the type of `like`."""
    return like.tape.Expand(like.tape.number(0.0, like), shape)


def pad_along(g: Value, pads: Value, axes: Sequence[int], *, rank: int) -> Value:
    """`g`, of that rank, with zeros along the axes: `pads` holds how many before each, then how many after each."""
    op, known = g.tape, known_ints(pads)
    places = [*axes, *(axis + rank for axis in axes)]
    # For all axes, not with `axes`: ONNX Runtime 1.31, when it moves a Transpose over a Pad, permutes `pads` as if each
    # axis had its own, and then fails, or pads other axes.
    if known is not None:
        widths = dict(zip(places, known, strict=True))
        return op.Pad(g, op.ints(*(widths.get(place, 0) for place in range(2 * rank))))
    sources = [places.index(place) if place in places else len(places) for place in range(2 * rank)]
    return op.Pad(g, op.Gather(op.Concat(pads, op.ints(0), axis=0), op.ints(*sources)))


def as_int64(x: Value) -> Value:
    """Indices as int64, which all ops take."""
    return x if x.dtype == np.int64 else x.tape.Cast(x, to=TensorProto.INT64)


def reshape_back(g: Value, node: Node) -> Value:
    """The cotangent of a node that only reshapes, in the shape of its input."""
    x, op = node.x, node.tape
    known = reshape_sizes(x.shape, node.output.shape)
    if known is None:
        # allowzero: the shape of an empty tensor is meant as it is, 0 does not say "as it was".
        return op.Reshape(g, op.Shape(x), allowzero=1)
    return op.Reshape(g, op.ints(*known))


def reshape_sizes(wanted: Sequence[Dim] | None, given: Sequence[Dim] | None) -> list[int] | None:
    """What Reshape is told to come from `given` to `wanted`: at most one -1, and 0 where a symbol stays in its place.

    None when that does not suffice.
    """
    if wanted is None or 0 in wanted:
        return None
    sizes = [n if isinstance(n, int) else -1 for n in wanted]
    if sizes.count(-1) > 1:
        kept = [isinstance(n, str) and n == m for n, m in zip(wanted, given or (), strict=False)]
        sizes = [0 if axis < len(kept) and kept[axis] else n for axis, n in enumerate(sizes)]
    return sizes if sizes.count(-1) <= 1 else None
