"""The cells of a detector's scales: how many there are, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from onnxcam.graph import Dim, Value
from onnxcam.layouts import picture_layout

# The scales that detectors have, as cell sizes in pixels, the usual first.
PYRAMIDS = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (4, 8, 16, 32), (8, 16, 32, 64, 128), (8,), (16,), (32,))
ANCHORS = (1, 3, 2, 9)


@dataclass(frozen=True, slots=True)
class Pyramid:
    """The scales of a head.

    Attributes:
        strides: cell sizes in pixels.
        anchors: how many candidates a cell has.
        is_cell_first: the candidates of a cell lie side by side; else those of all cells that have the same anchor.
    """

    strides: tuple[int, ...]
    anchors: int = 1
    is_cell_first: bool = True


def sides(picture: Value) -> tuple[Dim, Dim]:
    """Height and width of the pictures, as far as the model fixes them."""
    layout, shape = picture_layout(picture) or "NCHW", picture.shape or ()
    h, w = (shape[layout.index(axis)] for axis in "HW")
    return h, w


def pyramid_of(count: int, picture: Value, anchors: Sequence[int] = ANCHORS) -> Pyramid | None:
    """The scales that so many candidates come from; None where no usual ones do, or the picture's size is open."""
    h, w = sides(picture)
    if not isinstance(h, int) or not isinstance(w, int):
        return None
    for number, strides in product(anchors, PYRAMIDS):
        if strides[-1] <= min(h, w) and number * cells_in(strides, h, w) == count:
            return Pyramid(strides, number)
    return None


def cells_in(strides: Sequence[int], h: int, w: int) -> int:
    """How many cells the scales have together; a scale's last row or column may reach beyond the picture."""
    return sum(-(-h // stride) * -(-w // stride) for stride in strides)


def size_of(picture: Value) -> Value:
    """Width and height, twice, float32 [4]: what shares of the sides are multiplied with."""
    h, w = sides(picture)
    op = picture.tape
    if isinstance(h, int) and isinstance(w, int):
        return op.constant(np.array([w, h, w, h], np.float32))
    layout = picture_layout(picture) or "NCHW"
    return op.Cast(op.Gather(op.Shape(picture), op.ints(*(layout.index(axis) for axis in "WHWH")), axis=0), to=1)


def cells_of(picture: Value, stride: int) -> tuple[Value, Value]:
    """Rows and columns of one scale, int64 scalars."""
    op, layout = picture.tape, picture_layout(picture) or "NCHW"
    counts = []
    for axis, length in zip("HW", sides(picture), strict=True):
        if isinstance(length, int):
            counts.append(op.constant(np.array(-(-length // stride), np.int64)))
            continue
        whole = op.Gather(op.Shape(picture), op.constant(np.array(layout.index(axis), np.int64)), axis=0)
        counts.append((whole + (stride - 1)) / op.constant(np.array(stride, np.int64)))
    return counts[0], counts[1]


def places(rows: Value, columns: Value) -> Value:
    """Column and row of every cell, float32 (rows · columns, 2), row by row."""
    op = rows.tape
    zero, one = (op.constant(np.array(n, np.int64)) for n in (0, 1))
    shape = op.Concat(op.Unsqueeze(rows, op.ints(0)), op.Unsqueeze(columns, op.ints(0)), op.ints(1), axis=0)
    x = op.Expand(op.Unsqueeze(op.Range(zero, columns, one), op.ints(0, 2)), shape)
    y = op.Expand(op.Unsqueeze(op.Range(zero, rows, one), op.ints(1, 2)), shape)
    return op.Cast(op.Reshape(op.Concat(x, y, axis=2), op.ints(-1, 2)), to=1)


def grid(picture: Value, pyramid: Pyramid) -> tuple[Value, Value]:
    """Column and row of every candidate's cell, (B, 2), and that cell's size in pixels, (B, 1).

    The scales follow one another; the candidates of a cell lie side by side.
    """
    op, each, lengths = picture.tape, [], []
    for stride in pyramid.strides:
        found = places(*cells_of(picture, stride))
        if pyramid.anchors > 1:
            stacked = op.Expand(op.Unsqueeze(found, op.ints(1)), op.ints(1, pyramid.anchors, 1))
            found = op.Reshape(stacked, op.ints(-1, 2))
        each.append(found)
        lengths.append(op.Slice(found, op.ints(0), op.ints(1), op.ints(1)) * 0.0 + float(stride))
    if len(each) == 1:
        return each[0], lengths[0]
    return op.Concat(*each, axis=0), op.Concat(*lengths, axis=0)
