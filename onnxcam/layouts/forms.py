"""Tensors that can be explained: those that a grid of places can be read off."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from onnxcam.graph import Dim, Value
from onnxcam.layouts.axes import (
    BATCH,
    CHANNELS,
    COLUMNS,
    DEPTH,
    LENGTH,
    ROWS,
    TOKENS,
    Axes,
    Axis,
    is_only,
    is_spatial,
    size_of,
)
from onnxcam.layouts.pictures import space_axes

MAPS = (frozenset("NCW"), frozenset("NCHW"), frozenset("NCDHW"))
ROW_OF_TOKENS = frozenset("NTC")
FRAMES = "B"  # images, and the frames of each
# The letter of an axis that counts these kinds, in that order.
LETTERS = ((BATCH, "N"), (FRAMES, "ND"), (DEPTH, "D"), (ROWS, "H"), (COLUMNS, "W"), (COLUMNS, "L"), (TOKENS, "T"),
           (TOKENS, "HW"), (TOKENS, "DHW"), (TOKENS, "HWD"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """How a tensor holds a grid of places.

    Attributes:
        layout: a letter for each axis: "NCHW" or "NHWC", "NTC" or "TNC" for tokens; of signals "NCW", of volumes
            "NCDHW"; "BCHW" or "BTC" where the frames of a video lie beside the images, (N·D, …).
        grid: rows and columns; of signals their length, of volumes their depth first.
        prefix: of tokens, how many come before the grid: class, distillation, registers.
        order: of tokens, the axes of the grid from the slowest to the fastest where that is another than the grid's:
            "HWD" of a video whose tokens lie place by place, all frames of each.
    """

    layout: str
    grid: tuple[Dim, ...]
    prefix: int = 0
    order: str = ""


def form_of(value: Value, axes: Axes) -> Form | None:
    """How the tensor holds the grid; None where it holds none: windows, attention between places, a single place."""
    layout = _letters(axes)
    if value.dtype is None or value.dtype.kind not in "fV" or len(set(layout)) != len(layout):
        return None
    return _form_by_frame(layout, axes) if FRAMES in layout else _form(layout, axes)


def _form_by_frame(layout: str, axes: Axes) -> Form | None:
    """The frames lie beside the images, the first axis: the grid is theirs by that of each."""
    form, frames = _form(layout.replace(FRAMES, BATCH), axes), size_of(axes[0][1:])
    is_picture = form is not None and len(form.grid) == 2
    if form is None or not is_picture or layout[0] != FRAMES or not isinstance(frames, int):
        return None
    return Form(layout, (frames, *form.grid), form.prefix)


def _form(layout: str, axes: Axes) -> Form | None:
    if set(layout) in MAPS and (ROWS in layout or is_only(axes[layout.index(COLUMNS)], LENGTH)):
        grid = tuple(size_of(axes[index]) for index in space_axes(layout))
        return None if 1 in grid else Form(layout, grid)
    if set(layout) == ROW_OF_TOKENS:
        return _form_of_tokens(layout, axes[layout.index(TOKENS)])
    return None


def _form_of_tokens(layout: str, axis: Axis) -> Form | None:
    """Tokens need a grid of known size: it cannot be read off their number."""
    prefix, atoms = (axis[0].before, axis[0].inside) if axis[0].kind == TOKENS else (0, axis)
    kinds = {atom.kind for atom in atoms}
    order = LENGTH if LENGTH in kinds else "DHW" if DEPTH in kinds else "HW"
    sizes = [size_of(tuple(atom for atom in atoms if atom.kind == kind)) for kind in order]
    known = tuple(n for n in sizes if isinstance(n, int))
    by_place = "HWD" if is_only(atoms, "HWD") else ""
    return Form(layout, known, prefix, by_place) if len(known) == len(sizes) and prod(known) > 1 else None


def _letters(axes: Axes) -> str:
    """A letter for each axis, "?" where it counts several things at once. A batch of one may have left no trace."""
    letters = "".join(map(_letter, axes))
    letters = letters if BATCH in letters or FRAMES in letters else letters.replace("1", BATCH, 1)
    return letters.replace("1", CHANNELS)


def _letter(axis: Axis) -> str:
    if not axis:
        return "1"
    for letter, order in LETTERS:
        if is_only(axis, order):
            return letter
    return "?" if is_spatial(axis) else CHANNELS
