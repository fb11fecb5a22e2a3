"""Pad: the border is cut off, and what it mirrored or repeated is added back inside."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam.autodiff.extents import (
    BEGINNING,
    END,
    known_ints,
    pad_along,
    rank_of,
    runtime_sizes_along,
    shape_of,
    sizes_along,
)
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.scattering import scatter_to_positions
from onnxcam.graph import Node, Value


@vjp("Pad")
def pad(g: Value, node: Node) -> Sequence[Value | None]:
    """Constant: the inner part, and for the constant the sum of the border. Reflect, edge: the border folded back."""
    mode, pads, axes = node.attributes.get("mode", "constant"), known_ints(node.input(1)), _axes(node)
    if mode == "constant":
        x = _uncover(g, node, axes=axes, pads=pads)
        return [x, None, _border(g, x, node.input(2))] if node.wants(2) else [x]
    if pads is None or axes is None:
        return [scatter_to_positions(g, node, unique=False)]
    sides = list(zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True))
    for axis, before, after in sides:
        g = _fold(g, axis, before=max(before, 0), after=max(after, 0), mode=mode)
    return [_uncrop(g, sides, rank=rank_of(node.x, node))]


def _axes(node: Node) -> list[int] | None:
    """The padded axes, counted from the front; None when they are computed."""
    rank, given = rank_of(node.x, node), node.optional(3)
    if given is None:
        return list(range(rank))
    known = known_ints(given)
    return None if known is None else [axis % rank for axis in known]


def _uncover(g: Value, node: Node, *, axes: list[int] | None, pads: list[int] | None) -> Value:
    """Pad undone: positive pads cut off, negative ones filled with zeros."""
    op = g.tape
    if axes is None or pads is None:
        return op.Pad(g, op.Neg(node.input(1)), None, node.optional(3))
    sides = list(zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True))
    cut = [side for side in sides if max(side[1:]) > 0]
    if cut:
        starts = op.ints(*(max(before, 0) for _, before, _ in cut))
        ends = op.ints(*(-after if after > 0 else END for _, _, after in cut))
        g = op.Slice(g, starts, ends, op.ints(*(axis for axis, _, _ in cut)))
    return _uncrop(g, sides, rank=rank_of(node.x, node))


def _uncrop(g: Value, sides: Sequence[tuple[int, int, int]], *, rank: int) -> Value:
    """Zeros where negative pads took something away."""
    op, cropped = g.tape, [side for side in sides if min(side[1:]) < 0]
    if not cropped:
        return g
    axes, before, after = zip(*cropped, strict=True)
    return pad_along(g, op.ints(*(max(-n, 0) for n in (*before, *after))), axes, rank=rank)


def _border(g: Value, x: Value, constant: Value) -> Value:
    """What the padding's constant receives: all but what x did."""
    op = g.tape
    return op.Reshape(op.ReduceSum(g, keepdims=0) - op.ReduceSum(x, keepdims=0), shape_of(constant))


def _fold(g: Value, axis: int, *, before: int, after: int, mode: str) -> Value:
    """The inner part along the axis, with the border added where it came from.

    Reflect took n indices next to the edge, mirrored; edge the edge itself, n times.
    """
    if not before and not after:
        return g
    inner = _cut(g, axis, start=before, end=-after if after else END)
    folded = inner
    if before:
        border = _source(_cut(g, axis, start=0, end=before), axis, mode=mode)
        folded = folded + _laid(border, inner, axis, width=before, mode=mode, at_start=True)
    if after:
        border = _source(_cut(g, axis, start=-after, end=END), axis, mode=mode)
        folded = folded + _laid(border, inner, axis, width=after, mode=mode, at_start=False)
    return folded


def _cut(g: Value, axis: int, *, start: int, end: int) -> Value:
    op = g.tape
    return op.Slice(g, op.ints(start), op.ints(end), op.ints(axis))


def _source(border: Value, axis: int, *, mode: str) -> Value:
    """The border's share in what it was made of: mirrored for reflect, summed for edge."""
    op = border.tape
    if mode == "edge":
        return op.ReduceSum(border, op.ints(axis), keepdims=1)
    return op.Slice(border, op.ints(-1), op.ints(BEGINNING), op.ints(axis), op.ints(-1))


def _laid(part: Value, whole: Value, axis: int, *, width: int, mode: str, at_start: bool) -> Value:
    """`part` among zeros in the shape of `whole`: at its edge, for reflect one further in."""
    op, size = part.tape, sizes_along(whole, [axis])
    near, taken = (0, 1) if mode == "edge" else (1, width + 1)
    if size is not None:
        far = size[0] - taken
        pads = op.ints(*((near, far) if at_start else (far, near)))
    else:
        rest = runtime_sizes_along(whole, [axis]) - taken
        pads = op.Concat(*((op.ints(near), rest) if at_start else (rest, op.ints(near))), axis=0)
    return pad_along(part, pads, [axis], rank=len(whole.shape or ()))
