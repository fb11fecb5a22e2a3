"""The places of a feature map, (h, w), as one axis and as two."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from onnxcam.graph import Dim, Value


def channels_first(value: Value, layout: str, *, grid: Sequence[Dim] = (), prefix: int = 0, order: str = "") -> Value:
    """The tensor as float32 (N, C, h, w).

    Args:
        value: with the axes N, C, H and W in any order, or N, C and T; of signals N, C and W, of volumes D too, which
            may lie beside N on an axis B.
        layout: a letter for each axis.
        grid: rows and columns of the tokens; of videos frames first.
        prefix: how many tokens come before those of the grid, and are left out.
        order: in which the tokens run through the grid, where that is another: "HWD" of videos, place by place.
    """
    value, layout = frames_apart(value, layout, grid)
    op, wanted = value.tape, "NC" + "".join(letter for letter in "DTHW" if letter in layout)
    perm = [layout.index(axis) for axis in wanted]
    value = value if perm == sorted(perm) else op.Transpose(value, perm=perm)
    value = value if value.dtype == np.float32 else op.Cast(value, to=1)
    places = grid[1:] if "D" in layout else grid
    return on_grid(value, places, prefix=prefix, order=order) if "T" in layout else value


def frames_apart(value: Value, layout: str, grid: Sequence[Dim]) -> tuple[Value, str]:
    """(N·D, …) → (N, D, …), and the layout of that: "BCHW" → "NDCHW"; others stay as they are."""
    if "B" not in layout:
        return value, layout
    op, rest, frames = value.tape, (value.shape or ())[1:], [n for n in grid[:1] if isinstance(n, int)]
    known = [n for n in rest if isinstance(n, int)]
    is_known = len(known) == len(rest)
    sizes = (
        op.ints(-1, *frames, *known) if is_known else op.Concat(op.ints(-1, *frames), op.Shape(value, start=1), axis=0)
    )
    return op.Reshape(value, sizes), layout.replace("B", "ND")


def on_grid(tokens: Value, grid: Sequence[Dim], *, prefix: int, order: str = "") -> Value:
    """(N, …, T) → (N, …, h, w), without the tokens before the grid and behind it."""
    op, rank, sides = tokens.tape, len(tokens.shape or (None,) * 3), [n for n in grid if isinstance(n, int)]
    if (tokens.shape or ())[-1:] != (prod(sides),):
        tokens = op.Slice(tokens, op.ints(prefix), op.ints(prefix + prod(sides)), op.ints(rank - 1))
    letters = sorted(order)
    there = [sides[letters.index(letter)] for letter in order] or sides
    laid = op.Reshape(tokens, op.ints(*[0] * (rank - 1), *there))
    return op.Transpose(laid, perm=[*range(rank - 1), *(rank - 1 + order.index(x) for x in letters)]) if order else laid


def as_tokens(grids: Value, order: str = "", *, front: int = 1) -> Value:
    """(R, h, w) → (R, h·w), in the order in which the tokens run through the grid; `front`: how many axes stay."""
    op = grids.tape
    laid = op.Transpose(grids, perm=[0, *(1 + sorted(order).index(letter) for letter in order)]) if order else grids
    return op.Reshape(laid, op.ints(*[0] * front, -1))


def heads_apart(attention: Value, heads: int) -> Value:
    """Attention maps as float32 (N, heads, T, T). `heads`: how many share the axis of the images; 0 for an own axis."""
    op, (rows, columns) = attention.tape, (attention.shape or (None, None))[-2:]
    if heads:
        sizes = [n if isinstance(n, int) else -1 for n in (rows, columns)]
        attention = op.Reshape(attention, op.ints(-1, heads, *sizes))
    return attention if attention.dtype == np.float32 else op.Cast(attention, to=1)


def looks(attention: Value, prefix: int) -> Value:
    """What each head looks at, (N, heads, T): from the class token, where there is none from everywhere on average."""
    op = attention.tape
    if not prefix:
        return op.ReduceMean(attention, op.ints(2), keepdims=0)
    return op.Gather(attention, op.constant(np.array(0, np.int64)), axis=2)


def space(value: Value) -> Value:
    """The axes of space of (N, C, …), as a constant."""
    return value.tape.ints(*range(2, len(value.shape or (None,) * 4)))


def as_map(flat: Value, a: Value) -> Value:
    """(N, 1, h·w) → (N, h, w), with the places of `a`, (N, C, h, w)."""
    op, places = a.tape, (a.shape or (None,) * 4)[2:]
    sizes = [n for n in places if isinstance(n, int)]
    if len(sizes) == len(places):
        return op.Reshape(flat, op.ints(0, *sizes))
    return op.Reshape(flat, op.Concat(op.Shape(a, start=0, end=1), op.Shape(a, start=2), axis=0))


def mean_over_space(g: Value) -> Value:
    """⟨g⟩: (N, C, h, w) → (N, C, 1, 1); a gradient that was only just stretched over space is its own mean."""
    stretched = g.producer
    before = stretched.x if stretched is not None and stretched.op_type == "Expand" else None
    if before is not None and _is_one_place(before, len(g.shape or ())):
        return before
    return g.tape.ReduceMean(g, space(g), keepdims=1)


def _is_one_place(value: Value, rank: int) -> bool:
    """Whether it is (N, C, 1, 1)."""
    return value.shape is not None and len(value.shape) == rank and all(n == 1 for n in value.shape[2:])
