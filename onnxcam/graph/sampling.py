"""Reading a picture or a volume between its elements: which of them a point is made of, and how much of each.

Elements lie at 0, 1 … n − 1 along each axis. Points are laid out as (N, 1, P), to be stretched over the channels of the
tensor (N, C, elements) that they read.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np
import onnx.helper
from onnx import TensorProto

from onnxcam.graph.value import Value

# Of the cubic that PyTorch and GridSample use (Keys 1981).
CUBIC_A = -0.75


@dataclass(frozen=True, slots=True)
class Tap:
    """One of the elements that points are made of, along one axis.

    Attributes:
        index: int64, in the tensor.
        weight: its share in the point.
        slope: by how much that changes with the point's position; None for never.
    """

    index: Value
    weight: Value
    slope: Value | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One of the elements that points are made of: its place, its weight, and how that changes along each axis."""

    index: Value
    weight: Value
    slopes: tuple[Value | None, ...]


def size_of(x: Value, axis: int) -> Value:
    """The size of the axis as a list of one int64, a constant where it is known."""
    n = x.shape[axis] if x.shape else None
    return x.tape.ints(n) if isinstance(n, int) else x.tape.Shape(x, start=axis, end=axis + 1)


def as_number(size: Value, like: Value) -> Value:
    """Integers in the type of `like`."""
    dtype, known = like.dtype or np.dtype(np.float32), size.constant
    if known is not None:
        return size.tape.constant(known.astype(dtype))
    return size.tape.Cast(size, to=onnx.helper.np_dtype_to_tensor_dtype(dtype))


def counted(size: Value, like: Value) -> Value:
    """0, 1 … up to a size, given as a list of one, in the type of `like`."""
    op, known = size.tape, size.constant
    if known is not None:
        return op.constant(np.arange(int(known[0]), dtype=like.dtype))
    zero, one = op.constant(np.array(0)), op.constant(np.array(1))
    return as_number(op.Range(zero, op.Squeeze(size), one), like)


def single(x: Value) -> Value:
    """`x` as float32 where it is narrower: in float16 no place beyond 2048 could be named, nor sums be kept."""
    is_narrow = x.dtype is not None and x.dtype.itemsize < np.dtype(np.float32).itemsize
    return x.tape.Cast(x, to=TensorProto.FLOAT) if is_narrow else x


def like(x: Value, other: Value) -> Value:
    """`x` in the type of the other."""
    return x if x.dtype == other.dtype or other.dtype is None else as_number(x, other)


def positions(coordinates: Value, size: Value, *, aligned: bool) -> Value:
    """Where coordinates from −1 to 1 lie along an axis: those are the centres of its outer elements, or its ends."""
    count = as_number(size, coordinates)
    if aligned:
        return (coordinates + 1.0) * ((count - 1.0) / 2.0)
    return ((coordinates + 1.0) * count - 1.0) / 2.0


def taps(position: Value, size: Value, *, mode: str, padding: str, aligned: bool = False) -> list[Tap]:
    """What points at these positions are made of along an axis of that size.

    Args:
        position: 0 is the first element.
        size: of the axis.
        mode: "nearest" (one tap; halves go to the even place), "linear" (two) or "cubic" (four).
        padding: what lies outside: "zeros", the "border" or its "reflection".
        aligned: reflections are about the centres of the outer elements, not their ends.
    """
    op, count = position.tape, as_number(size, position)
    first = op.Round(position) if mode == "nearest" else op.Floor(position)
    found, zero = [], op.number(0.0, position)
    for offset, weight, slope in weights(position - first, mode):
        place = first + float(offset) if offset else first
        if padding == "zeros":
            is_inside = op.And(place >= 0.0, place <= count - 1.0)
            weight = op.Where(is_inside, weight, zero)
            slope = None if slope is None else op.Where(is_inside, slope, zero)
        elif padding == "reflection":
            place = _reflected(place, count, aligned=aligned)
        found.append(Tap(inside(place, count), weight, slope))
    return found


def samples(axes: Sequence[Sequence[Tap]], sizes: Sequence[Value], *, image: Value | None = None) -> Iterator[Sample]:
    """The elements that points are made of: each tap of each axis with each of the others.

    Args:
        axes: the taps along each axis of space, all stretchable to one shape.
        sizes: the tensor's in space.
        image: where images lie one after the other, which of them each point reads.
    """
    for chosen in product(*axes):
        index = image
        for tap, size in zip(chosen, sizes, strict=True):
            index = tap.index if index is None else index * size + tap.index
        if index is None:
            raise ValueError("points in no space")
        slopes = [_slope(chosen, axis) for axis in range(len(axes))]
        yield Sample(index, _product([tap.weight for tap in chosen]), tuple(slopes))


def grid_points(x: Value, grid: Value, *, mode: str, padding: str, aligned: bool) -> list[Sample]:
    """The elements of `x` (N, C, space) that the points of a GridSample's grid (N, …, axes) are made of."""
    op, axes = x.tape, len(x.shape or ()) - 2
    lines = op.Reshape(like(single(grid), single(x)), op.ints(0, 1, -1, axes))
    sizes = [size_of(x, axis) for axis in range(2, 2 + axes)]
    found = []
    for axis, size in enumerate(sizes):
        coordinate = op.Gather(lines, op.constant(np.array(axes - 1 - axis)), axis=3)
        place = positions(coordinate, size, aligned=aligned)
        found.append(taps(place, size, mode=mode, padding=padding, aligned=aligned))
    return list(samples(found, sizes))


def drawn(x: Value, grid: Value, *, mode: str, padding: str, aligned: bool) -> Value:
    """A GridSample in plain arithmetic, for types and ranks that runtimes do not have."""
    op, rank = x.tape, len(x.shape or ())
    points = grid_points(x, grid, mode=mode, padding=padding, aligned=aligned)
    lines = read(op.Reshape(single(x), op.ints(0, 0, -1)), points)
    space = [size_of(grid, axis) for axis in range(1, rank - 1)]
    return like(op.Reshape(lines, op.Concat(size_of(x, 0), size_of(x, 1), *space, axis=0)), x)


def read(elements: Value, points: Iterable[Sample]) -> Value:
    """The points, (N, C, P), in the elements (N, C, S)."""
    return reduce(operator.add, [fetched(elements, sample) * sample.weight for sample in points])


def fetched(elements: Value, sample: Sample) -> Value:
    """The elements at the sample's place, in all channels."""
    op, index = elements.tape, sample.index
    channels = op.Concat(op.ints(1), size_of(elements, 1), op.ints(1), axis=0)
    return op.GatherElements(elements, op.Expand(index, channels), axis=2)


def inside(place: Value, count: Value) -> Value:
    """Places as indices below `count`, those outside, and what is no number, as the nearest index."""
    op = place.tape
    at_least = op.Where(place > 0.0, place, op.number(0.0, place))
    return op.Cast(op.Where(at_least < count, at_least, count - 1.0), to=TensorProto.INT64)


def weights(t: Value, mode: str, a: float = CUBIC_A) -> list[tuple[int, Value, Value | None]]:
    """What a point that lies `t` behind an element takes of its neighbours: how far on these are, weights, slopes."""
    if mode == "cubic":
        return _cubic(t, a)
    return _line(t) if mode == "linear" else [(0, t.tape.number(1.0, t), None)]


def _line(t: Value) -> list[tuple[int, Value, Value | None]]:
    one = t.tape.number(1.0, t)
    return [(0, one - t, t.tape.number(-1.0, t)), (1, t, one)]


def _cubic(t: Value, a: float) -> list[tuple[int, Value, Value | None]]:
    """Two near elements, t and 1 − t away, and two far ones beyond."""
    far, near = _far(t + 1.0, a), _near(t, a)
    near_after, far_after = _near(1.0 - t, a), _far(2.0 - t, a)
    return [
        (-1, far[0], far[1]),
        (0, near[0], near[1]),
        (1, near_after[0], -near_after[1]),
        (2, far_after[0], -far_after[1]),
    ]


def _near(d: Value, a: float) -> tuple[Value, Value]:
    """((a + 2)·d − (a + 3))·d² + 1 and its derivative."""
    weight = (d * (a + 2) - (a + 3)) * d * d + 1.0
    return weight, (d * (3 * (a + 2)) - 2 * (a + 3)) * d


def _far(d: Value, a: float) -> tuple[Value, Value]:
    """((a·d − 5a)·d + 8a)·d − 4a and its derivative."""
    weight = ((d * a - 5 * a) * d + 8 * a) * d - 4 * a
    return weight, (d * (3 * a) - 10 * a) * d + 8 * a


def _reflected(place: Value, count: Value, *, aligned: bool) -> Value:
    """Whole places, mirrored until they are inside: they repeat after 2(n − 1) about centres, 2n about ends."""
    op = place.tape
    last = count - 1.0
    period = op.Max(last * 2.0, op.number(1.0, place)) if aligned else count * 2.0
    once = place - op.Floor(place / period) * period
    return op.Min(once, (period if aligned else period - 1.0) - once)


def _slope(chosen: Sequence[Tap], axis: int) -> Value | None:
    """How the weight of these taps together changes along the axis."""
    slope = chosen[axis].slope
    others = [tap.weight for tap in (*chosen[:axis], *chosen[axis + 1 :])]
    return None if slope is None else _product([slope, *others])


def _product(factors: Sequence[Value]) -> Value:
    return reduce(operator.mul, factors)
