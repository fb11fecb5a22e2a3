"""Concat and Split: each is the other's way back."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam.autodiff.extents import axis_of, pad_along, rank_of, runtime_sizes_along, shape_of, sizes_along, zeros
from onnxcam.autodiff.registry import vjp, vjp_of_outputs
from onnxcam.graph import Node, Value


@vjp("Concat")
def concat(g: Value, node: Node) -> Sequence[Value | None]:
    """Each input gets its part."""
    parts = [node.input(index) for index in range(len(node.inputs))]
    axis = axis_of(node.output if node.output.shape is not None else parts[0], node)
    sizes = [known[0] if (known := sizes_along(x, [axis])) else None for x in parts]
    numbers = [n for n in sizes if n is not None]
    if len(parts) == 1:
        return [g]
    if len(node.wanted) == 1 and len(numbers) == len(parts):
        return _one_part(g, node, axis=axis, sizes=numbers)
    return node.tape.emit("Split", [g, _lengths(parts, axis)], {"axis": axis}, outputs=len(parts))


def _one_part(g: Value, node: Node, *, axis: int, sizes: Sequence[int]) -> list[Value | None]:
    """A Slice for the only input that wants its part: Split would copy them all."""
    op, (index,) = node.tape, node.wanted
    start = sum(sizes[:index])
    part = op.Slice(g, op.ints(start), op.ints(start + sizes[index]), op.ints(axis))
    return [part if other == index else None for other in range(len(sizes))]


def _lengths(parts: Sequence[Value], axis: int) -> Value:
    """The size of each part along the axis."""
    op, known = parts[0].tape, [sizes_along(x, [axis]) for x in parts]
    if all(known):
        return op.ints(*(n for sizes in known if sizes for n in sizes))
    return op.Concat(*(runtime_sizes_along(x, [axis]) for x in parts), axis=0)


@vjp_of_outputs("Split")
def split(gs: Sequence[Value | None], node: Node) -> Value:
    """The parts' cotangents side by side, zeros for the parts that nobody used."""
    op, axis = node.tape, axis_of(node.x, node)
    used = [index for index, g in enumerate(gs) if g is not None]
    sizes = [known[0] for y in node.outputs if (known := sizes_along(y, [axis]))]
    first = next(g for g in gs if g is not None)
    if len(used) == 1 and len(sizes) == len(gs):
        before, after = sum(sizes[: used[0]]), sum(sizes[used[0] + 1 :])
        return pad_along(first, op.ints(before, after), [axis], rank=rank_of(node.x, node))
    parts = [zeros(shape_of(y), first) if g is None else g for g, y in zip(gs, node.outputs, strict=True)]
    return op.Concat(*parts, axis=axis)
