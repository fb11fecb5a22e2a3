"""The way back from points that were read between the elements of a tensor: to the elements, and to the points."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce

from onnxcam.autodiff.extents import shape_of, zeros
from onnxcam.graph import Value
from onnxcam.graph.sampling import Sample, fetched


def flat(x: Value) -> Value:
    """`x` (N, C, space) as (N, C, S)."""
    return x.tape.Reshape(x, x.tape.ints(0, 0, -1))


def to_elements(g: Value, points: Sequence[Sample], elements: Value) -> Value:
    """The cotangent of the elements (N, C, S): to each what the points (N, C, P) took of it, added up.

    One tap after the other into the same tensor, so that no more than one is held at a time. Not by ScatterND, which
    is five times faster but, in ONNX Runtime 1.31 on several threads of a CPU, loses sums where indices meet.
    """
    op, total = g.tape, zeros(shape_of(elements), g)
    for sample in points:
        index = op.Expand(sample.index, shape_of(g))
        total = op.ScatterElements(total, index, g * sample.weight, axis=2, reduction="add")
    return total


def to_points(g: Value, points: Sequence[Sample], elements: Value) -> list[Value]:
    """The cotangents of the points' positions along each axis, (N, 1, P)."""
    op = g.tape
    parts: list[list[Value]] = [[] for _ in points[0].slopes]
    for sample in points:
        agreement = op.ReduceSum(g * fetched(elements, sample), op.ints(1), keepdims=1)
        for part, slope in zip(parts, sample.slopes, strict=True):
            if slope is not None:
                part.append(agreement * slope)
    return [reduce(operator.add, part) for part in parts]
