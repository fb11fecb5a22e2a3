"""The largest of what lies in the bins of a box: RoiAlign by maxima, and MaxRoiPool.

Candidates are laid out as (R, bins, bins, samples, samples), y before x.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from onnxcam.autodiff.boxes import AXES, bins_of, image_of, line, lined_up, most_of, taps_within
from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.core import vjp_by_equivalent
from onnxcam.autodiff.sizes import Sizes, counting, reshaped, sizes_of
from onnxcam.graph import Node, Value
from onnxcam.graph.sampling import Tap, as_number, fetched, inside, samples, single, size_of

# Where (R, bins, samples) of an axis gets axes of size 1 to be crossed with that of the other.
ROOM = {2: (2, 4), 3: (1, 3)}


def largest_sample(node: Node) -> Value:
    """What a RoiAlign by maxima gives: the largest, of a bin's samples, of the four elements around it, weighted."""
    axes, taken, counts = [], [], []
    for axis in AXES:
        places, is_taken, most = bins_of(node, axis).all_points()
        axes.append(taps_within(places, node.x, axis, is_taken)[1])
        taken.append(is_taken)
        counts.append(most)
    return _largest(node, image_of(node), axes, taken, counts)


@vjp_by_equivalent("MaxRoiPool")
def max_roi_pool(node: Node) -> Sequence[Value]:
    """The largest element of a bin gets it; those that tie share it equally. Boxes are rounded: no gradient."""
    op, rois = node.tape, single(node.input(1))
    axes, taken, counts = [], [], []
    for axis, number in zip(AXES, node.attributes["pooled_shape"], strict=True):
        start, end = _window(node, axis, number)
        most = most_of(end - start)
        places = op.Unsqueeze(start, op.ints(2)) + as_number(counting(most).vector, start)
        index = inside(places, as_number(size_of(node.x, axis), places))
        axes.append([Tap(index, op.number(1.0, single(node.x)), None)])
        taken.append(places < op.Unsqueeze(end, op.ints(2)))
        counts.append(most)
    is_one = node.x.shape is not None and node.x.shape[0] == 1
    image = None if is_one else op.Cast(op.Gather(rois, op.ints(0), axis=1), to=TensorProto.INT64)
    return [_largest(node, image, axes, taken, counts)]


def _window(node: Node, axis: int, number: int) -> tuple[Value, Value]:
    """The first element of each bin, and the first behind it, (R, bins), on the map."""
    op, column = node.tape, 4 - axis
    ends = (op.Gather(single(node.input(1)), op.ints(i), axis=1) for i in (column, column + 2))
    first, last = (_rounded(end * float(node.attributes.get("spatial_scale", 1.0))) for end in ends)
    width = op.Max(last - first + 1.0, op.number(1.0, first)) / float(number)
    count, zero = as_number(size_of(node.x, axis), first), op.number(0.0, first)
    bins = op.constant(np.arange(number, dtype=first.dtype)[None])
    edges = op.Floor(width * bins) + first, op.Ceil(width * (bins + 1.0)) + first
    start, end = (op.Min(op.Max(edge, zero), count) for edge in edges)
    return start, end


def _rounded(x: Value) -> Value:
    """Halves away from zero."""
    return x.tape.Sign(x) * x.tape.Floor(x.tape.Abs(x) + 0.5)


def _largest(
    node: Node, image: Value | None, axes: Sequence[Sequence[Tap]], taken: Sequence[Value], counts: Sequence[Sizes]
) -> Value:
    """The largest candidate of each bin that its box takes, 0 where it takes none, (R, C, bins, bins)."""
    op, x = node.tape, single(node.x)
    elements, image = lined_up(x), None if image is None else op.Reshape(image, op.ints(-1, 1, 1, 1, 1))
    rooms = [op.ints(*room) for room in ROOM.values()]
    crossed = [[_widened(tap, room) for tap in taps] for taps, room in zip(axes, rooms, strict=True)]
    points = samples(crossed, [size_of(x, axis) for axis in AXES], image=image)
    values = [fetched(elements, point) * point.weight for point in map(line, points)]
    value = op.Max(*values) if len(values) > 1 else values[0]
    bins = sizes_of(node.output, 2)
    value = reshaped(value, sizes_of(x, 1, 2), sizes_of(node.input(1), 0, 1).or_rest, bins, *counts)
    is_taken = op.And(*(op.Unsqueeze(mask, room) for mask, room in zip(taken, rooms, strict=True)))
    least = op.number(-np.inf, value)
    largest = op.ReduceMax(op.Where(is_taken, value, least), op.ints(4, 5), keepdims=0)
    found = op.Where(largest > least, largest, op.number(0.0, largest))
    return cast_like(op.Transpose(found, perm=[1, 0, 2, 3]), node.output)


def _widened(tap: Tap, room: Value) -> Tap:
    op = room.tape
    weight = tap.weight if tap.weight.shape == () else op.Unsqueeze(tap.weight, room)
    return Tap(op.Unsqueeze(tap.index, room), weight, None)
