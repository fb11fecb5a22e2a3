"""Atoms in their order in memory, dealt out anew to the axes of another shape."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from onnxcam.graph import Dim
from onnxcam.layouts.axes import BATCH, Atom, Axes, Axis, merged, split


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


def _taken_from_back(atoms: deque[Atom], size: Dim) -> list[Atom] | None:
    """The last atoms, which fill a dimension of the size, taken from `atoms`; None, and nothing taken, if none do."""
    if not isinstance(size, int):
        return None
    left, axis = deque(atoms), deque[Atom]()
    while size > 1:
        atom = left.pop() if left else None
        if atom is None or not isinstance(atom.size, int):
            return None
        if size % atom.size:
            pieces = None if atom.size % size else split(atom, size)
            if pieces is None:
                return None
            left.append(pieces[0])
            atom = pieces[1]
        axis.appendleft(atom)
        size //= int(atom.size or 1)
    atoms.clear()
    atoms.extend(left)
    return list(axis)


def _taken_from_front(atoms: deque[Atom], size: Dim) -> list[Atom] | None:
    """Likewise the first ones; a dimension known only at run time is filled by the atom of its symbol."""
    if not isinstance(size, int):
        return [atoms.popleft()] if atoms and size is not None and atoms[0].size == size else None
    left, axis = deque(atoms), list[Atom]()
    while size > 1:
        atom = left.popleft() if left else None
        if atom is None or not isinstance(atom.size, int):
            return None
        if size % atom.size:
            pieces = None if atom.size % size else split(atom, atom.size // size)
            if pieces is None:
                return None
            atom = pieces[0]
            left.appendleft(pieces[1])
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
