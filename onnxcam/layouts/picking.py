"""Ops that take a part of an axis or lay parts beside one another: class tokens and registers come and go here."""

from __future__ import annotations

from dataclasses import replace

from onnxcam.graph import Dim, Node
from onnxcam.layouts.axes import (
    LENGTH,
    PIECES,
    TOKENS,
    Atom,
    Axes,
    Axis,
    channels,
    is_marked,
    is_only,
    is_spatial,
    joined,
    resized,
    size_of,
)
from onnxcam.layouts.following import Step, UnknownAxes, follows

# Ops that may take nothing but class tokens: then the grid does not matter to what comes of it.
PICKS = frozenset(("Slice", "Split", "Gather"))


def is_grid(axis: Axis) -> bool:
    """Whether it counts the places of a grid and nothing beside them."""
    return any(is_only(axis, order) for order in ("HW", "DHW", "HWD"))


def tokens(axis: Axis) -> Atom | None:
    """The axis as one atom of tokens, with nothing before the grid where there was nothing; None if it is no grid."""
    if len(axis) == 1 and axis[0].kind == TOKENS:
        return axis[0]
    return Atom(TOKENS, size_of(axis), inside=axis, is_marked=is_marked(axis)) if is_grid(axis) else None


def part(axis: Axis, start: int | None, size: Dim) -> Axis:
    """What `size` entries of the axis from `start` on count: the grid alone, what comes before it, or a mixture."""
    atom = tokens(axis)
    if size == size_of(axis) and size is not None:
        return axis
    if atom is None:
        return resized(axis, size)
    grid = size_of(atom.inside)
    if not isinstance(grid, int) or not isinstance(size, int):
        return channels(size)
    if size == grid and start in (atom.before, None):
        return tuple(replace(x, is_marked=atom.is_marked) for x in atom.inside)
    if start is not None and start <= atom.before and start + size >= atom.before + grid:
        return (replace(atom, size=size, before=atom.before - start),)
    return (replace(atom, kind=PIECES, size=size),) if start is None or _cuts(atom, start, size) else channels(size)


def _cuts(atom: Atom, start: int, size: int) -> bool:
    """Whether the part has some places of the grid, but not all."""
    grid = size_of(atom.inside)
    return start + size > atom.before and isinstance(grid, int) and start < atom.before + grid


@follows("Slice")
def slice_(step: Step) -> Axes:
    """A part of some axes; every second row is a row still."""
    known, starts, axes = step.axes(0), step.ints(1), step.ints(3)
    steps = step.ints(4)
    listed = [axis % len(known) for axis in (range(len(starts or known)) if axes is None else axes)]
    first = {} if starts is None else dict(zip(listed, starts, strict=False))
    is_dense = steps is None or set(steps) == {1}
    is_told = axes is not None or step.node.optional(3) is None
    found = []
    for index, (axis, size) in enumerate(zip(known, step.shape, strict=True)):
        if is_told and index not in listed:
            found.append(axis)
            continue
        start = first.get(index, 0) if starts is not None else None
        length = size_of(axis)
        start = start + length if isinstance(start, int) and start < 0 and isinstance(length, int) else start
        found.append(part(axis, start, size) if is_dense or not is_grid(axis) else resized(axis, size))
    return tuple(found)


@follows("Split")
def split(step: Step) -> list[Axes | None]:
    """Parts, one after the other."""
    known = step.axes(0)
    cut, start, found = step.attribute("axis", 0) % len(known), 0, list[Axes | None]()
    for shape in step.shapes:
        size = shape[cut] if len(shape) == len(known) else None
        found.append(tuple(part(x, start, size) if i == cut else x for i, x in enumerate(known)))
        start += size if isinstance(size, int) else 0
    return found


@follows("Gather")
def gather(step: Step) -> Axes:
    """The axis gives way to those of the indices; in order, they are a part of it."""
    known, indices = step.axes(0), step.node.input(1)
    axis, rank = step.attribute("axis", 0) % len(known), len(indices.shape or ())
    listed = step.ints(1)
    if rank == 0:
        return known[:axis] + known[axis + 1 :]
    sizes = step.shape[axis : axis + rank]
    is_run = listed is not None and listed == list(range(listed[0], listed[0] + len(listed))) and rank == 1
    if tokens(known[axis]) is not None:
        there = (part(known[axis], (listed or [0])[0], sizes[0]),) if is_run else _scattered(known[axis], sizes)
    else:
        there = (*map(channels, sizes[:-1]), resized(known[axis], sizes[-1]))
    return (*known[:axis], *there, *known[axis + 1 :])


def _scattered(axis: Axis, sizes: tuple[Dim, ...]) -> tuple[Axis, ...]:
    """Tokens in another order, or some of them."""
    *front, last = sizes
    return (*map(channels, front), (Atom(PIECES, last, is_marked=is_marked(axis)),))


def takes_only_beside(node: Node, axis: Axis) -> bool:
    """Whether a picking node that leaves nothing of the axis has taken what lies beside the grid, not a place of it."""
    if node.op_type != "Gather":
        return True
    indices, atom, length = node.input(1).constant, tokens(axis), size_of(axis)
    if indices is None or atom is None or not isinstance(length, int):
        return False
    return not any(_cuts(atom, int(index) % length, 1) for index in indices.reshape(-1))


@follows("Concat")
def concat(step: Step) -> Axes:
    """Parts beside one another: a grid with class tokens beside it is tokens; along channels all stays as it is."""
    known, axis = [axes for axes in step.inputs if axes is not None], step.attribute("axis", 0) % len(step.shape)
    if not known:
        raise UnknownAxes
    found = list(known[0])
    for index in range(len(found)):
        if index != axis:
            found[index] = joined([axes[index] for axes in known], step.shape[index])
    found[axis] = _beside(step, axis)
    return tuple(found)


def _beside(step: Step, axis: int) -> Axis:
    """The axis along which the parts lie."""
    parts = [axes[axis] if axes is not None else None for axes in step.inputs]
    size, spatial = step.shape[axis], [part for part in parts if part is not None and is_spatial(part)]
    if None in parts or not spatial:
        return channels(size)
    atom = tokens(spatial[0])
    if atom is None and is_only(spatial[0], LENGTH):
        atom = Atom(TOKENS, size_of(spatial[0]), inside=spatial[0], is_marked=is_marked(spatial[0]))
    if atom is None:
        return _lengthened(spatial, size)
    front = [1 if part == () else size_of(part or ()) for part in parts[: parts.index(spatial[0])]]
    if len(spatial) > 1 or not all(isinstance(n, int) for n in front):
        return channels(size)
    return (replace(atom, size=size, before=atom.before + sum(n for n in front if isinstance(n, int))),)


def _lengthened(parts: list[Axis], size: Dim) -> Axis:
    """Rows beside rows are rows: a map rolled around its edge, or padded."""
    is_same = all([x.kind for x in part] == [parts[0][0].kind] for part in parts)
    return resized(parts[0], size) if is_same else channels(size)


@follows("Pad")
def pad(step: Step) -> Axes:
    """More rows are rows; more tokens come before or after the grid."""
    known, widths, axes = step.axes(0), step.ints(1), step.ints(3)
    listed = [axis % len(known) for axis in (range(len(known)) if axes is None else axes)]
    front = dict(zip(listed, widths or (), strict=False))
    return tuple(
        _padded(axis, front.get(i, 0), size) for i, (axis, size) in enumerate(zip(known, step.shape, strict=True))
    )


def _padded(axis: Axis, front: int, size: Dim) -> Axis:
    atom = tokens(axis)
    if atom is None or size == size_of(axis):
        return resized(axis, size)
    return (replace(atom, size=size, before=atom.before + front),)
