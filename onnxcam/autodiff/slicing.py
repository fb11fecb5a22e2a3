"""Slice, and putting a slice back in its place among zeros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnxcam.autodiff.extents import (
    BEGINNING,
    as_int64,
    known_ints,
    pad_along,
    rank_of,
    reshape_sizes,
    runtime_sizes_along,
    shape_of,
    sizes_along,
    zeros,
)
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.scattering import scatter_to_positions
from onnxcam.graph import Node, Value

FAR = 2**31 - 1


@vjp("Slice")
def slice_(g: Value, node: Node) -> Value:
    """What was cut out goes back to its place; the rest had no part in it."""
    axes, steps = _axes(node), known_ints(node.optional(4))
    if axes is None or (steps is None and node.optional(4) is not None):
        return scatter_to_positions(g, node, unique=True)
    steps = steps or [1] * len(axes)
    starts, ends = known_ints(node.input(1)), known_ints(node.input(2))
    if starts is None or ends is None:
        return place(g, node.x, axes=axes, starts=starts or node.input(1), steps=steps)
    cuts = [
        cut
        for cut in zip(axes, starts, ends, steps, strict=True)
        if not (cut[1] == 0 and cut[2] >= FAR and cut[3] == 1)
    ]
    axes, starts, _, steps = ([cut[part] for cut in cuts] for part in range(4))
    return place(g, node.x, axes=axes, starts=starts, steps=steps, counts=sizes_along(node.output, axes))


def _axes(node: Node) -> list[int] | None:
    """The axes that are cut, counted from the front; None when they are computed."""
    given, starts = node.optional(3), node.input(1)
    rank = rank_of(node.x, node)
    if given is not None:
        known = known_ints(given)
        return None if known is None else [axis % rank for axis in known]
    count = starts.shape[0] if starts.shape else None
    return list(range(count)) if isinstance(count, int) else None


def place(
    g: Value,
    x: Value,
    *,
    axes: Sequence[int],
    starts: Sequence[int] | Value,
    steps: Sequence[int],
    counts: Sequence[int] | None = None,
) -> Value:
    """`g` among zeros in the shape of `x`: along each axis its elements lie at start, start + step, …

    `starts` are as Slice takes them: from the end when negative, clamped to the axis. `counts` are the sizes of `g`
    along the axes, where they are known.
    """
    if not axes:
        return g
    op, counts = g.tape, counts or sizes_along(g, axes)
    flipped = [axis for axis, step in zip(axes, steps, strict=True) if step < 0]
    sizes = sizes_along(x, axes)
    if sizes is not None and counts is not None and not isinstance(starts, Value):
        firsts = _firsts(np.array(sizes), np.array(counts), starts=np.array(starts), steps=np.array(steps))
        leads = [int(first) % abs(step) for first, step in zip(firsts, steps, strict=True)]
        before = firsts - leads
        pads = op.ints(*before, *(np.array(sizes) - before - np.array(counts) * np.abs(steps)))
    else:
        leads = _known_leads(starts, steps)
        pads = _runtime_pads(g, x, axes=axes, starts=starts, steps=steps, leads=leads)
    if flipped:
        ones = [-1] * len(flipped)
        g = op.Slice(g, op.ints(*ones), op.ints(*[BEGINNING] * len(ones)), op.ints(*flipped), op.ints(*ones))
    for axis, step, lead in zip(axes, steps, leads, strict=True):
        g = _interleave(g, axis, step=abs(step), lead=lead)
    return pad_along(g, pads, axes, rank=len(x.shape or ())) if any(known_ints(pads) or [1]) else g


def _firsts(
    sizes: NDArray[np.int64], counts: NDArray[np.int64], *, starts: NDArray[np.int64], steps: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The lowest index taken along each axis."""
    clamped = np.clip(np.where(starts < 0, starts + sizes, starts), 0, sizes - (steps < 0))
    firsts: NDArray[np.int64] = clamped + (counts - 1) * np.minimum(steps, 0)
    return firsts


def _known_leads(starts: Sequence[int] | Value, steps: Sequence[int]) -> list[int]:
    """How far into a stride the first element lies, where that does not depend on the size."""
    if isinstance(starts, Value):
        return [0] * len(steps)
    return [start % step if start >= 0 and step > 0 else 0 for start, step in zip(starts, steps, strict=True)]


def _runtime_pads(
    g: Value,
    x: Value,
    *,
    axes: Sequence[int],
    starts: Sequence[int] | Value,
    steps: Sequence[int],
    leads: Sequence[int],
) -> Value:
    """The zeros before and after, with the arithmetic of `_firsts` in the graph."""
    op = x.tape
    sizes, counts = runtime_sizes_along(x, axes), runtime_sizes_along(g, axes)
    given = as_int64(starts) if isinstance(starts, Value) else op.ints(*starts)
    last = sizes - op.ints(*(int(step < 0) for step in steps)) if min(steps) < 0 else sizes
    first = op.Min(op.Max(op.Where(given < 0, given + sizes, given), op.ints(0)), last)
    if min(steps) < 0:
        first = first + (counts - 1) * op.ints(*(min(step, 0) for step in steps))
    before = first - op.ints(*leads) if any(leads) else first
    return op.Concat(before, sizes - before - counts * op.ints(*map(abs, steps)), axis=0)


def _interleave(g: Value, axis: int, *, step: int, lead: int) -> Value:
    """`step` - 1 zeros to each element along the axis, `lead` of them before it.

    Concat with zeros and Reshape took 0.29 ms for (1, 64, 56, 56) by 2 × 2 on a CPU, Pad 2.2, ScatterElements 0.7.
    """
    if step == 1:
        return g
    op = g.tape
    column = op.Unsqueeze(g, op.ints(axis + 1))
    parts = [op.Unsqueeze(zeros(shape_of(g), g), op.ints(axis + 1))] * step
    parts[lead] = column
    return op.Reshape(op.Concat(*parts, axis=axis + 1), _widened_shape(g, axis, step))


def _widened_shape(g: Value, axis: int, step: int) -> Value:
    """The shape of `g`, `step` times as long along the axis."""
    op = g.tape
    wanted = None if g.shape is None else [*g.shape]
    if wanted is not None:
        n = wanted[axis]
        wanted[axis] = n * step if isinstance(n, int) else None
        known = reshape_sizes(wanted, (g.shape or ())[:axis])
        if known is not None:
            return op.ints(*known)
    factors = [1] * (len(g.shape) if g.shape else axis + 1)
    factors[axis] = step
    return op.Shape(g) * op.ints(*factors)
