"""What an axis of a tensor counts: an ordered product of atoms, the outermost first.

The tokens of a 14 × 14 grid are one axis (H14, W14); with a class token before them one axis (T197), inside of which is
the grid. The windows of a Swin transformer lie on the batch's axis: (N, H8, W8), (H7, W7), (C96).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

from onnxcam.graph import Dim

BATCH, DEPTH, ROWS, COLUMNS, LENGTH, TOKENS, CHANNELS, PIECES = "NDHWLTC?"
SIDES = frozenset((DEPTH, ROWS, COLUMNS, LENGTH))
SPACE = SIDES | {TOKENS}


@dataclass(frozen=True, slots=True)
class Atom:
    """A factor of an axis.

    Attributes:
        kind: BATCH; ROWS or COLUMNS of the picture, DEPTH of a volume (or the frames of a video), LENGTH of a signal;
            TOKENS, a grid with others beside it; PIECES, some places of a grid; CHANNELS, all else.
        size: a symbol or None where unknown.
        stride: of rows and columns, how many of the finest ones of this tensor one step is: windows and their insides.
        inside: of tokens, the atoms of the grid.
        before: of tokens, how many come before the grid.
        is_marked: followed through one node, to see where it goes.
    """

    kind: str
    size: Dim
    stride: int = 1
    inside: tuple[Atom, ...] = ()
    before: int = 0
    is_marked: bool = False


Axis: TypeAlias = tuple[Atom, ...]
Axes: TypeAlias = tuple[Axis, ...]


def channels(size: Dim) -> Axis:
    """An axis that is none of the picture's."""
    return () if size == 1 else (Atom(CHANNELS, size),)


def plain(shape: Iterable[Dim]) -> Axes:
    """The axes of a tensor that owes nothing to the picture."""
    return tuple(map(channels, shape))


def is_spatial(axis: Axis) -> bool:
    """Whether it counts rows, columns or tokens, perhaps beside others."""
    return any(atom.kind in SPACE for atom in axis)


def is_only(axis: Axis, kinds: str) -> bool:
    """Whether it counts these kinds, in that order, and nothing else: "HW" for the places of a grid, row by row."""
    order = [atom.kind for atom in axis]
    return [kind for i, kind in enumerate(order) if i == 0 or order[i - 1] != kind] == list(kinds)


def size_of(axis: Axis) -> Dim:
    """How many there are: a number where all atoms are known, the atom's own symbol where it is alone."""
    if len(axis) == 1:
        return axis[0].size
    sizes = [atom.size for atom in axis if isinstance(atom.size, int)]
    return prod(sizes) if len(sizes) == len(axis) else None


def merged(atoms: Sequence[Atom]) -> Axis:
    """The atoms as one axis: pieces of the same rows or columns that lie in order are whole again."""
    axis: list[Atom] = []
    for atom in atoms:
        if axis and (whole := _whole(axis[-1], atom)):
            axis[-1] = whole
        elif atom.size != 1 or atom.kind == BATCH:
            axis.append(atom)
    return tuple(axis)


def _whole(outer: Atom, inner: Atom) -> Atom | None:
    if outer.kind != inner.kind or outer.kind in (BATCH, TOKENS) or outer.is_marked != inner.is_marked:
        return None
    if not (isinstance(outer.size, int) and isinstance(inner.size, int)):
        return None
    if outer.kind != CHANNELS and outer.stride != inner.size * inner.stride:
        return None
    return replace(inner, size=outer.size * inner.size)


def split(atom: Atom, inner: int) -> tuple[Atom, Atom] | None:
    """The atom as an outer one and an inner one of that size; None when it cannot be cut there."""
    if not isinstance(atom.size, int) or atom.size % inner or atom.kind in (BATCH, TOKENS):
        return None
    outer = replace(atom, size=atom.size // inner, stride=atom.stride * inner)
    return outer, replace(atom, size=inner)


def resized(axis: Axis, size: Dim) -> Axis:
    """The axis after pooling, padding, cutting or stretching: rows stay rows, in another number."""
    if size == size_of(axis) and size is not None:
        return axis
    kinds = {atom.kind for atom in axis}
    located = kinds & SIDES
    if size == 1 or not kinds:
        return channels(size)
    if kinds == {BATCH}:
        return (replace(axis[0], size=size),)
    if len(located) == 1 and kinds <= SIDES | {CHANNELS}:
        return (Atom(located.pop(), size, is_marked=is_marked(axis)),)
    return channels(size)


def is_marked(axis: Axis) -> bool:
    """Whether the followed atoms are in it."""
    return any(atom.is_marked for atom in axis)


def marked(axis: Axis) -> Axis:
    """The axis, its places to be followed."""
    return tuple(replace(atom, is_marked=True) if atom.kind in SPACE else atom for atom in axis)


def joined(candidates: Sequence[Axis], size: Dim) -> Axis:
    """What an axis of a broadcast result counts: what the most telling of the inputs' axes does."""
    best = max(candidates, key=_telling, default=())
    return best if best or size == 1 else channels(size)


def _telling(axis: Axis) -> tuple[bool, bool, bool, bool, int]:
    kinds = {atom.kind for atom in axis}
    return is_marked(axis), TOKENS in kinds, bool(kinds & SPACE), BATCH in kinds, len(axis)
