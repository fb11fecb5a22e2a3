"""Boxes in the graph: from the ways in which heads write them to corners in pixels, and how much two overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxcam.graph import Value

SMALLEST = 1e-9  # keeps the overlap of two empty boxes from being 0 / 0
# Shares of the picture's sides lie below; a detector that counts in pixels has a candidate that ends beyond pixel 2.
LARGEST_SHARE = 2.0


def columns(value: Value, start: int, stop: int) -> Value:
    """Entries start … stop − 1 of the last axis."""
    op = value.tape
    return op.Slice(value, op.ints(start), op.ints(stop), op.ints(-1))


def joined(parts: Sequence[Value]) -> Value:
    """The parts side by side on the last axis."""
    return parts[0].tape.Concat(*parts, axis=-1)


def from_centre(boxes: Value) -> Value:
    """Centre, width and height (…, 4) → corners x0 y0 x1 y1."""
    centre, half = columns(boxes, 0, 2), columns(boxes, 2, 4) * 0.5
    return joined([centre - half, centre + half])


def from_distances(centre: Value, distances: Value) -> Value:
    """Distances to left, top, right and bottom (…, 4) from a centre (…, 2) → corners."""
    return joined([centre - columns(distances, 0, 2), centre + columns(distances, 2, 4)])


def from_rows_first(boxes: Value) -> Value:
    """y0 x0 y1 x1 → x0 y0 x1 y1."""
    op = boxes.tape
    return op.Gather(boxes, op.ints(1, 0, 3, 2), axis=-1)


def from_offsets(offsets: Value, anchors: Value) -> Value:
    """Offsets (…, 4) from anchors (B, 4), both centre and size, → corners: c + d·size, size·exp(d)."""
    op, size = offsets.tape, columns(anchors, 2, 4)
    centre = columns(anchors, 0, 2) + columns(offsets, 0, 2) * size
    return from_centre(joined([centre, op.Exp(columns(offsets, 2, 4)) * size]))


def as_corners(boxes: Value, form: str | None) -> Value:
    """Boxes (N, B, 4) of that form as corners; None: as their numbers show when the graph runs.

    Corners have x1 ≥ x0 and y1 ≥ y0 in every candidate. Sizes that are at least the centre's coordinates in every one
    do not occur: a box would have to reach beyond the picture's edge each time.
    """
    if form == "corners":
        return boxes
    if form == "centre":
        return from_centre(boxes)
    if form == "rows-first":
        return from_rows_first(boxes)
    op = boxes.tape
    smallest = op.ReduceMin(columns(boxes, 2, 4) - columns(boxes, 0, 2), op.ints(1, 2), keepdims=1)
    return op.Where(smallest >= 0.0, boxes, from_centre(boxes))


def in_pixels(boxes: Value, size: Value, unit: str | None) -> Value:
    """Corners (N, B, 4) in pixels; None: of what look like shares of the sides, which is seen as the graph runs, too.

    `size`: float32 [W, H, W, H].
    """
    if unit == "pixels":
        return boxes
    if unit == "share":
        return boxes * size
    op = boxes.tape
    largest = op.ReduceMax(op.Abs(boxes), op.ints(1, 2), keepdims=1)
    return op.Where(largest <= LARGEST_SHARE, boxes * size, boxes)


def area(boxes: Value) -> Value:
    """(…, 4) → (…, 1); 0 for boxes turned inside out."""
    op = boxes.tape
    return op.ReduceProd(op.Relu(columns(boxes, 2, 4) - columns(boxes, 0, 2)), op.ints(-1), keepdims=1)


def overlaps(first: Value, second: Value) -> Value:
    """Intersection over union of every pair: (N, K, 4) and (N, B, 4) → (N, K, B)."""
    op = first.tape
    a, b = op.Unsqueeze(first, op.ints(2)), op.Unsqueeze(second, op.ints(1))
    corner = op.Max(columns(a, 0, 2), columns(b, 0, 2))
    shared = area(joined([corner, op.Max(op.Min(columns(a, 2, 4), columns(b, 2, 4)), corner)]))
    return op.Squeeze(shared / (area(a) + area(b) - shared + SMALLEST), op.ints(3))


def float32(value: Value) -> Value:
    """The same numbers as float32, in which pixels of large pictures are exact."""
    return value if value.dtype == np.float32 else value.tape.Cast(value, to=1)
