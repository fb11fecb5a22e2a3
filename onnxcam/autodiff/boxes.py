"""Where the bins of boxes lie on a feature map, and where each bin is sampled: along one axis at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from onnx import TensorProto

from onnxcam.autodiff.extents import shape_of
from onnxcam.autodiff.sizes import Sizes, counting, joined, sizes_of
from onnxcam.graph import Node, Value
from onnxcam.graph.sampling import Sample, Tap, as_number, single, size_of, taps

AXES = {2: "height", 3: "width"}


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of boxes along one axis of the map.

    Attributes:
        start: where each box begins (R, 1).
        width: of each of its bins (R, 1).
        number: of its bins.
        samples: how many each bin takes: a number, or (R, 1) as floats, one for about each element.
    """

    start: Value
    width: Value
    number: int
    samples: int | Value

    def points(self, index: int) -> Value:
        """The place of the sample `index` of each bin, (R, bins), where their number is known."""
        count = float(self.samples if isinstance(self.samples, int) else 0)
        steps = np.arange(self.number, dtype=self.start.dtype or np.float32) + (index + 0.5) / count
        return self.start + self.width * self.start.tape.constant(steps.astype(self.start.dtype)[None])

    def all_points(self) -> tuple[Value, Value, Sizes]:
        """The places of all samples, (R, bins, samples); which of these the box takes, (R, 1, samples); how many."""
        op, start = self.start.tape, deepened(self.start)
        count, most = deepened(self.count), self.most
        bins = op.constant(np.arange(self.number, dtype=start.dtype).reshape(1, -1, 1))
        indices = as_number(counting(most).vector, start)
        steps = bins + (indices + 0.5) / op.Max(count, op.number(1.0, start))
        return start + deepened(self.width) * steps, indices < count, most

    @property
    def most(self) -> Sizes:
        """How many samples the bins of any box take, at most."""
        return Sizes(self.start.tape, [self.samples]) if isinstance(self.samples, int) else most_of(self.samples)

    @property
    def count(self) -> Value:
        """How many samples each bin takes, as floats (R, 1) or (1, 1)."""
        if isinstance(self.samples, Value):
            return self.samples
        return self.start.tape.constant(np.array([[self.samples]], self.start.dtype))


def most_of(counts: Value) -> Sizes:
    """The largest of these floats, at least 1, also where there are none."""
    op = counts.tape
    flat = op.Concat(op.Reshape(counts, op.ints(-1)), op.constant(np.ones(1, counts.dtype)), axis=0)
    return Sizes(op, None, op.Cast(op.ReduceMax(flat, op.ints(0), keepdims=1), to=TensorProto.INT64))


def deepened(x: Value) -> Value:
    """(R, 1) as (R, 1, 1)."""
    return x.tape.Unsqueeze(x, x.tape.ints(2))


def bins_of(node: Node, axis: int) -> Bins:
    """The bins of a RoiAlign's boxes along an axis of its input."""
    op, rois = node.tape, single(node.input(1))
    scale = float(node.attributes.get("spatial_scale", 1.0))
    is_shifted = node.attributes.get("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    number = int(node.attributes.get(f"output_{AXES[axis]}", 1))
    start, end = (op.Gather(rois, op.ints(column), axis=1) * scale for column in (3 - axis, 5 - axis))
    if is_shifted:
        start, end = start - 0.5, end - 0.5
    extent = end - start if is_shifted else op.Max(end - start, op.number(1.0, start))
    width = extent / float(number)
    ratio = int(node.attributes.get("sampling_ratio", 0))
    return Bins(start, width, number, ratio if ratio > 0 else op.Ceil(width))


def taps_within(place: Value, x: Value, axis: int, taken: Value | None = None) -> tuple[Value, list[Tap]]:
    """Where samples are read, moved to the map where they lie at most 1 beside it, and what of; beyond, nothing."""
    op, size = place.tape, size_of(x, axis)
    count, zero = as_number(size, place), place.tape.number(0.0, place)
    is_near = op.And(place >= -1.0, place <= count)
    is_read = op.And(is_near, taken) if taken is not None else is_near
    moved = op.Min(op.Max(place, zero), count - 1.0)
    found = []
    for tap in taps(moved, size, mode="linear", padding="border"):
        slope = op.Where(is_read, tap.slope, zero) if tap.slope else None
        found.append(replace(tap, weight=op.Where(is_read, tap.weight, zero), slope=slope))
    return moved, found


def image_of(node: Node) -> Value | None:
    """Which image each box lies on, (R,); None where there is but one."""
    return None if node.x.shape is not None and node.x.shape[0] == 1 else node.input(2)


def lined_up(x: Value) -> Value:
    """A tensor (N, C, H, W) as (1, C, N·H·W), its images one after the other."""
    op, channels = x.tape, sizes_of(x, 1, 2)
    if x.shape is None or x.shape[0] != 1:
        x = op.Transpose(x, perm=[1, 0, 2, 3])
    return op.Reshape(x, op.Concat(op.ints(1), channels.vector, op.ints(-1), axis=0))


def taken_apart(elements: Value, x: Value) -> Value:
    """What is laid out as `lined_up` lays `x` out, in the shape of `x`."""
    op = x.tape
    if x.shape is not None and x.shape[0] == 1:
        return op.Reshape(elements, shape_of(x))
    apart = op.Reshape(elements, joined(op, sizes_of(x, 1, 2), sizes_of(x, 0, 1), sizes_of(x, 2, 4)))
    return op.Transpose(apart, perm=[1, 0, 2, 3])


def line(sample: Sample) -> Sample:
    """The sample of all bins, (1, 1, P)."""
    op = sample.index.tape
    shape = op.ints(1, 1, -1)
    slopes = [op.Reshape(slope, shape) if slope is not None else None for slope in sample.slopes]
    return Sample(op.Reshape(sample.index, shape), op.Reshape(sample.weight, shape), tuple(slopes))
