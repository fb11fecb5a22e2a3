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
    places = deque(enumerate(sizes))
    found: dict[int, Axis] = {}
    for from_back in (True, False):
        while places:
            index, size = places[-1 if from_back else 0]
            axis = _taken(atoms, size, from_back=from_back)
            if axis is None:
                break
            found[index] = merged(axis)
            places.pop() if from_back else places.popleft()
    rest = _dealt(list(atoms), len(places))
    if rest is None:
        return None
    found.update((index, axis) for (index, _), axis in zip(places, rest, strict=True))
    return tuple(found[index] for index in range(len(sizes)))


def _taken(atoms: deque[Atom], size: Dim, *, from_back: bool) -> list[Atom] | None:
    """The atoms at that end that fill a dimension of the size, taken from `atoms`; None, and nothing taken, if none do."""
    if not isinstance(size, int):
        is_next = atoms and size is not None and not from_back and atoms[0].size == size
        return [atoms.popleft()] if is_next else None
    left, axis = deque(atoms), deque[Atom]()
    while size > 1:
        atom = left.pop() if from_back and left else left.popleft() if left else None
        if atom is None or not isinstance(atom.size, int):
            return None
        if size % atom.size:
            if atom.size % size:
                return None
            inner = size if from_back else atom.size // size
            pieces = split(atom, inner)
            if pieces is None:
                return None
            kept, atom = pieces if from_back else pieces[::-1]
            left.append(kept) if from_back else left.appendleft(kept)
        axis.appendleft(atom) if from_back else axis.append(atom)
        size //= int(atom.size or 1)
    atoms.clear()
    atoms.extend(left)
    return list(axis)


def _dealt(atoms: list[Atom], count: int) -> list[Axis] | None:
    """What is left for as many dimensions that are known only at run time: one atom each, the batch first."""
    if count == 0:
        return [] if all(atom.kind == BATCH and atom.size == 1 for atom in atoms) else None
    if count == 1:
        return [merged(atoms)]
    if count == 2 and len(atoms) > 2 and atoms[0].kind == BATCH:
        return [(atoms[0],), merged(atoms[1:])]
    return [(atom,) for atom in atoms] if len(atoms) == count else None
