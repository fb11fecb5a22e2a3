"""How raw maps become heatmaps: named conventions, so that results can be compared with those of other libraries.

Each takes the raw maps of one or more layers, (N, h, w), and gives (N, H, W); of signals (N, L), of volumes (N, D, H,
W). What differs: the constant that keeps a
division from zero, whether the map is scaled before or after it is resized, and how layers are joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np

from onnxcam.enlarging import in_blocks, resize
from onnxcam.graph import Value
from onnxcam.layouts import picture_layout, space_size
from onnxcam.registry import entering

Convention: TypeAlias = Callable[[Sequence[Value], Value], Value]
CONVENTIONS: dict[str, Convention] = {}
DEFAULT = "pytorch-grad-cam"
PERCENTILE, PERCENT = "percentile", 99
# Whose numbers are asked for, and which convention these are in.
LIKE = {name: name for name in ("pytorch-grad-cam", "torchcam", "captum", "tf-keras-vis")}
SMALLEST = 1e-30  # for a convention that adds nothing to its divisor


def convention(name: str) -> Callable[[Convention], Convention]:
    """A decorator: the function is the convention of that name."""
    return entering(CONVENTIONS, name, what="convention")


@convention("pytorch-grad-cam")
def pytorch_grad_cam(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, min-max at low resolution, bilinear, mean over layers, min-max again; 1e-7."""
    return _scaled_twice(maps, size)


@convention("align-corners")
def align_corners(maps: Sequence[Value], size: Value) -> Value:
    """As pytorch-grad-cam, with the corners of the map on those of the picture."""
    return _scaled_twice(maps, size, places="align_corners")


@convention("asymmetric")
def asymmetric(maps: Sequence[Value], size: Value) -> Value:
    """As pytorch-grad-cam, with place k of h at pixel k·H/h: where the older Resize of TensorFlow puts it."""
    return _scaled_twice(maps, size, places="asymmetric")


@convention("torchcam")
def torchcam(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, min-max at low resolution, bilinear, maximum over layers; 1e-8."""
    return _maximum([resize(_min_max(raw.tape.Relu(raw), 1e-8), size) for raw in maps])


@convention("torchcam-tanh")
def torchcam_tanh(maps: Sequence[Value], size: Value) -> Value:
    """As torchcam; of several layers the tanh of twice each map, as its LayerCAM."""
    if len(maps) == 1:
        return torchcam(maps, size)
    scaled = [_min_max(raw.tape.Relu(raw), 1e-8) for raw in maps]
    return _maximum([resize(low.tape.Tanh(low * 2.0), size) for low in scaled])


@convention("keras")
def keras(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, divided by the maximum at low resolution, bilinear, mean over layers."""
    return _mean([resize(_over_maximum(raw.tape.Relu(raw), 1e-7), size) for raw in maps])


@convention("vizgradcam")
def vizgradcam(maps: Sequence[Value], size: Value) -> Value:
    """Bilinear first, then ReLU, then min-max at full resolution; mean over layers. A flat map is 0, not its NaN."""
    return _mean([_min_max(raw.tape.Relu(resize(raw, size)), SMALLEST) for raw in maps])


@convention("tf-keras-vis")
def tf_keras_vis(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, bilinear with the corners on the corners, min-max at full resolution; 1e-7; mean over layers."""
    return _mean([_min_max(resize(raw.tape.Relu(raw), size, places="align_corners"), 1e-7) for raw in maps])


@convention("summed")
def summed(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, bilinear, sum over layers, min-max; 1e-7: a layer that nothing passes, a detector's other scale, is 0."""
    return _min_max(_sum([resize(raw.tape.Relu(raw), size) for raw in maps]), 1e-7)


@convention("captum")
def captum(maps: Sequence[Value], size: Value) -> Value:
    """The raw map, negative values included, in blocks (nearest), mean over layers: not in [0, 1]."""
    return _mean([in_blocks(raw, size) for raw in maps])


@convention("percentile")
def percentile(maps: Sequence[Value], size: Value) -> Value:
    """ReLU, bilinear, over the map's 99th percentile and cut at 1, mean over layers: for maps of single bright pixels.

    As Smilkov et al. 2017 show gradients (arXiv:1706.03825). Where the percentile is 0 the maximum takes its place.
    """
    return _mean([_over_percentile(resize(raw.tape.Relu(raw), size)) for raw in maps])


def picture_size(picture: Value) -> Value:
    """The sides of the pictures, int64 [H, W]: a constant where the model fixes them."""
    return space_size(picture, picture_layout(picture) or "NCHW")


def _scaled_twice(maps: Sequence[Value], size: Value, *, places: str = "half_pixel") -> Value:
    return _min_max(_mean([resize(_min_max(raw.tape.Relu(raw), 1e-7), size, places=places) for raw in maps]), 1e-7)


def _min_max(raw: Value, epsilon: float) -> Value:
    op = raw.tape
    return _over_maximum(raw - op.ReduceMin(raw, space_of(raw), keepdims=1), epsilon)


def _over_maximum(raw: Value, epsilon: float) -> Value:
    op = raw.tape
    return raw * (1.0 / (op.ReduceMax(raw, space_of(raw), keepdims=1) + epsilon))


def _over_percentile(raw: Value) -> Value:
    op = raw.tape
    peak, high = op.ReduceMax(raw, space_of(raw), keepdims=1), _percentile(raw)
    scale = op.Where(high > 0.0, high, peak)
    # Cut at 1, an infinite map would look like a sound one.
    scale = op.Where(peak < np.inf, scale, op.number(np.nan, raw))
    return op.Min(raw * (1.0 / (scale + SMALLEST)), 1.0)


def _percentile(raw: Value) -> Value:
    """PERCENT of the places lie below it, with linear interpolation between two, as numpy does it: (N, 1, …)."""
    op, rank = raw.tape, len(raw.shape or (None,) * 3)
    flat, hundred = op.Flatten(raw, axis=1), op.ints(100)
    known = (flat.shape or (None, None))[1]
    count = op.ints(known) if isinstance(known, int) else op.Shape(flat, start=1, end=2)
    position = (count - op.ints(1)) * op.ints(PERCENT)
    below = position / hundred
    largest, _ = op.emit("TopK", [flat, count - below], {"axis": 1}, outputs=2)
    last_two = op.Slice(largest, op.ints(-2), op.ints(np.iinfo(np.int64).max), op.ints(1))
    high, low = (op.Gather(last_two, op.ints(place), axis=1) for place in (0, -1))
    share = op.Cast(position - below * hundred, to=1) / 100.0
    found = low + (high - low) * share
    return op.Unsqueeze(found, op.ints(*range(2, rank))) if rank > 2 else found


def space_of(raw: Value) -> Value:
    """The axes of space of (N, …), as a constant."""
    return raw.tape.ints(*range(1, len(raw.shape or (None,) * 3)))


def _mean(maps: Sequence[Value]) -> Value:
    return _sum(maps) / float(len(maps)) if len(maps) > 1 else maps[0]


def _sum(maps: Sequence[Value]) -> Value:
    return reduce(Value.__add__, maps)


def _maximum(maps: Sequence[Value]) -> Value:
    return reduce(lambda first, second: first.tape.Max(first, second), maps)
