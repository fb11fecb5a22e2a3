"""Atoms in their order in memory, dealt out anew to the axes of another shape."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from onnxcam.graph import Dim
from onnxcam.layouts.axes import BATCH, Atom, Axes, Axis, merged, split


class End(NamedTuple):
    """One end of a row of atoms.

    Attributes:
        take: takes the outermost one off.
        put: puts one there.
        cut: an atom into a piece of that size, the one which is to lie outermost, and the rest; None if it cannot be.
    """

    take: Callable[[deque[Atom]], Atom]
    put: Callable[[deque[Atom], Atom], None]
    cut: Callable[[Atom, int], tuple[Atom, Atom] | None]


def regroup(axes: Axes, sizes: Sequence[Dim]) -> Axes | None:
    """The axes of the reshaped tensor; None where an atom would be cut where it cannot.

    Dimensions that are known are filled from the back and from the front; what is left between goes to what is left.
    """
    atoms = deque(atom for axis in axes for atom in axis if atom.size != 1 or atom.kind == BATCH)
    places, found = deque(enumerate(sizes)), dict[int, Axis]()
    while places and (axis := _taken_from_back(atoms, places[-1][1])) is not None:
        found[places.pop()[0]] = merged(axis)
    if len(places) > 1 and atoms and atoms[0].kind == BATCH and not isinstance(places[0][1], int):
        # Shape inference has lost the batch's symbol: with other dimensions beside it, it is taken to be alone.
        found[places.popleft()[0]] = (atoms.popleft(),)
    while places and (axis := _taken_from_front(atoms, places[0][1])) is not None:
        found[places.popleft()[0]] = merged(axis)
    rest = _dealt(list(atoms), len(places))
    if rest is None:
        return None
    found.update((index, axis) for (index, _), axis in zip(places, rest, strict=True))
    return tuple(found[index] for index in range(len(sizes)))


def _cut_at_back(atom: Atom, size: int) -> tuple[Atom, Atom] | None:
    pieces = split(atom, size)
    return None if pieces is None else (pieces[1], pieces[0])


def _cut_at_front(atom: Atom, size: int) -> tuple[Atom, Atom] | None:
    return split(atom, atom.size // size) if isinstance(atom.size, int) else None


BACK = End(deque.pop, deque.append, _cut_at_back)
FRONT = End(deque.popleft, deque.appendleft, _cut_at_front)


def _taken_from_back(atoms: deque[Atom], size: Dim) -> list[Atom] | None:
    """The last atoms, which fill a dimension of the size, taken from `atoms`; None, and nothing taken, if none do."""
    axis = _taken(atoms, size, BACK) if isinstance(size, int) else None
    return None if axis is None else axis[::-1]


def _taken_from_front(atoms: deque[Atom], size: Dim) -> list[Atom] | None:
    """Likewise the first ones; a dimension known only at run time is filled by the atom of its symbol."""
    if not isinstance(size, int):
        return [atoms.popleft()] if atoms and size is not None and atoms[0].size == size else None
    return _taken(atoms, size, FRONT)


def _taken(atoms: deque[Atom], size: int, end: End) -> list[Atom] | None:
    """The atoms at that end which fill a dimension of the size, the outermost first."""
    left, axis = deque(atoms), list[Atom]()
    while size > 1:
        atom = end.take(left) if left else None
        if atom is None or not isinstance(atom.size, int):
            return None
        if size % atom.size:
            pieces = None if atom.size % size else end.cut(atom, size)
            if pieces is None:
                return None
            atom, rest = pieces
            end.put(left, rest)
        axis.append(atom)
        size //= int(atom.size or 1)
    atoms.clear()
    atoms.extend(left)
    return axis


def _dealt(atoms: list[Atom], count: int) -> list[Axis] | None:
    """What is left for as many dimensions that are known only at run time: one atom each, the batch first."""
    if count == 0:
        return [] if all(atom.kind == BATCH and atom.size == 1 for atom in atoms) else None
    if count == 1:
        return [merged(atoms)]
    return [(atom,) for atom in atoms] if len(atoms) == count else None
