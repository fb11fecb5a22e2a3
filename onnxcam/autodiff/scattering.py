"""Adding a cotangent's elements up at given places among zeros."""

from __future__ import annotations

import math

import numpy as np

from onnxcam.autodiff.casting import cast_like, widened
from onnxcam.autodiff.extents import END, as_int64, known_ints, rank_of, runtime_sizes_along, shape_of, zeros
from onnxcam.errors import UnknownShape
from onnxcam.graph import Node, Value


def scatter(op_type: str, g: Value, shape: Value, *, indices: Value, unique: bool, axis: int | None = None) -> Value:
    """`g` scattered into zeros of that shape, added up where indices meet.

    Sums are made in float32, since ONNX Runtime's CPU kernels add no float16. Where indices never meet nothing is
    added: that is deterministic on a GPU and known to more runtimes.
    """
    op, summed = g.tape, g if unique else widened(g)
    blank = zeros(shape, summed)
    if unique:
        return op.emit(op_type, [blank, indices, g], {"axis": axis})[0]
    if op_type == "ScatterND":
        return cast_like(meet_slices(blank, indices, summed, reduction="add"), g)
    return cast_like(op.ScatterElements(blank, indices, summed, axis=axis, reduction="add"), g)


def meet_slices(x: Value, indices: Value, updates: Value, *, reduction: str) -> Value:
    """ScatterND with a reduction, by ScatterElements on `x` as a table with a row for each slice.

    ONNX Runtime 1.31's ScatterND loses sums where indices meet: its threads do not wait for one another.

    Raises:
        UnknownShape: where it is unknown how many axes an index counts along.
    """
    op = x.tape
    depth = indices.shape[-1] if indices.shape else None
    if not isinstance(depth, int):
        raise UnknownShape("ScatterND", indices.name, "how many axes its indices count along")
    shape = shape_of(x)
    lead, width = _lead_and_width(shape, depth)
    table = op.Reshape(x, op.Concat(op.ints(-1), width, axis=0))
    rows = op.Reshape(updates, op.Concat(op.ints(-1), width, axis=0))
    numbers = op.Expand(op.Reshape(_row_numbers(as_int64(indices), lead, depth), op.ints(-1, 1)), op.Shape(rows))
    return op.Reshape(op.ScatterElements(table, numbers, rows, axis=0, reduction=reduction), shape)


def _lead_and_width(shape: Value, depth: int) -> tuple[Value, Value]:
    """The first `depth` sizes, and the product of the others."""
    op, known = shape.tape, known_ints(shape)
    if known is not None:
        return op.ints(*known[:depth]), op.ints(math.prod(known[depth:]))
    behind = op.Slice(shape, op.ints(depth), op.ints(END))
    return op.Slice(shape, op.ints(0), op.ints(depth)), op.ReduceProd(behind, keepdims=1)


def _row_numbers(indices: Value, lead: Value, depth: int) -> Value:
    """The number of the slice that each index names, counted through: ((i₀ n₁) + i₁) n₂ + i₂ …"""
    op, number = indices.tape, None
    counted = op.Where(indices < 0, indices + lead, indices)
    for axis in range(depth):
        part = op.Gather(counted, op.constant(np.array(axis)), axis=-1)
        number = part if number is None else number * op.Gather(lead, op.ints(axis)) + part
    assert number is not None  # noqa: S101 - an index has at least one number
    return number


def scatter_rows(g: Value, node: Node, indices: Value, *, axis: int, unique: bool) -> Value:
    """The cotangent of x's slices taken by `indices` along the axis: ScatterND with that axis in front.

    It took 0.4 ms where ScatterElements, which needs an index for each element, took 2.9, and OneHot and MatMul 2.3;
    but it cannot be trusted with slices that are taken twice.
    """
    op, x = node.tape, node.x
    rank, taken = rank_of(x, node), rank_of(indices, node)
    others = [a for a in range(rank) if a != axis]
    front = [*range(axis, axis + taken), *(a if a < axis else a + taken - 1 for a in others)]
    updates = op.Transpose(g, perm=front) if axis else g
    places = op.Unsqueeze(as_int64(indices), op.ints(-1))
    if not axis:
        return scatter("ScatterND", updates, shape_of(x), indices=places, unique=unique)
    shape = runtime_sizes_along(x, [axis, *others])
    rows = scatter("ScatterND", updates, shape, indices=places, unique=unique)
    return op.Transpose(rows, perm=[*range(1, axis + 1), 0, *range(axis + 1, rank)])


def scatter_to_positions(g: Value, node: Node, *, unique: bool) -> Value:
    """The way back through any op that only picks elements of its first input.

    The node itself, run on the positions of x's elements instead of the elements, tells where each came from.
    """
    op, x = node.tape, node.x
    counted = op.Reshape(count_up(op.Size(x)), shape_of(x))
    (positions,) = op.emit(node.op_type, [counted, *node.inputs[1:]], node.attributes)
    flat = op.Reshape(positions, op.ints(-1)), op.Reshape(g, op.ints(-1))
    count = op.Reshape(op.Size(x), op.ints(1))
    placed = scatter("ScatterElements", flat[1], count, indices=flat[0], unique=unique, axis=0)
    return op.Reshape(placed, shape_of(x))


def count_up(count: Value) -> Value:
    """0, 1, … below a scalar count."""
    op = count.tape
    return op.Range(op.constant(np.array(0)), count, op.constant(np.array(1)))
