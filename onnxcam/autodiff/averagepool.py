"""Average pooling: every element of a window gets its share of the window's cotangent."""

from __future__ import annotations

import math

import numpy as np

from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.convolution import spread
from onnxcam.autodiff.extents import rank_of
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.sizes import Sizes, counting, joined, padded, reshaped, sizes_of
from onnxcam.autodiff.windows import Window, sliding
from onnxcam.graph import Node, Value


@vjp("AveragePool")
def average_pool(g: Value, node: Node) -> Value:
    """All that a window counts has the same share, 1/count."""
    window = sliding(node, node.x, Sizes(node.tape, node.attributes["kernel_shape"]))
    return shared_out(_weighted(g, node, window), node, window)


@vjp("GlobalAveragePool")
def global_average_pool(g: Value, node: Node) -> Value:
    """Every pixel had the same share, 1/(h·w): (N, C, 1, 1) → (N, C, h, w)."""
    places = sizes_of(node.x, 2)
    if places.numbers is not None:
        return node.tape.Expand(g * (1.0 / math.prod(places.numbers)), node.tape.Shape(node.x))
    # One axis after another: in float16 h·w is soon out of range.
    for axis in range(2, rank_of(node.x, node)):
        g = g / _as_number(sizes_of(node.x, axis, axis + 1), like=g)
    return g.tape.Expand(g, node.tape.Shape(node.x))


def shared_out(g: Value, node: Node, window: Window) -> Value:
    """The mean over the window, backwards: each of its k elements gets g/k. (N, C, windows) → the shape of x."""
    kernel, x = window.kernel.known, node.x
    is_plain = set(window.dilations) == {1} and not node.attributes.get("ceil_mode", 0)
    if is_plain and kernel == window.strides and window.before.is_zero and window.after.is_zero:
        return _tiled(g, window, sizes_of(x, 2))
    if is_plain and window.is_dense and window.before.numbers is not None:
        return _averaged(g, window)
    return _spread_evenly(g, x, window)


def enlarged(g: Value, factors: tuple[int, ...]) -> Value:
    """Each element of `g` (N, C, space) repeated that often along each axis of space."""
    op = g.tape
    scales = op.constant(np.array([1, 1, *factors], np.float32))
    return op.Resize(g, None, scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def _tiled(g: Value, window: Window, sizes: Sizes) -> Value:
    """Windows side by side: a nearest Resize, and zeros behind where the last window did not fit."""
    factors = window.kernel.known
    wide = enlarged(g * (1.0 / math.prod(factors)), factors)
    return padded(wide, sizes * 0, sizes - sizes_of(g, 2) * factors)


def _averaged(g: Value, window: Window) -> Value:
    """With stride 1: the mean again, padded the other way."""
    margins = [*(window.reach - window.before).known, *(window.reach - window.after).known]
    return g.tape.AveragePool(g, kernel_shape=window.kernel.numbers, pads=margins, count_include_pad=1)


def _spread_evenly(g: Value, x: Value, window: Window) -> Value:
    """Windows that overlap or lie apart: a depthwise ConvTranspose by a constant kernel."""
    op, sizes, channels = g.tape, sizes_of(x, 2), sizes_of(x, 1, 2).numbers
    share = op.number(1.0 / math.prod(window.kernel.known), g)
    if channels is not None:
        w = op.Expand(share, joined(op, *channels, 1, window.kernel))
        return spread(g, w, window, sizes=sizes, group=channels[0])
    # How many groups there are is an attribute: if that is open, each channel counts as a picture.
    flat = reshaped(g, -1, 1, sizes_of(g, 2))
    wide = spread(flat, op.Expand(share, joined(op, 1, 1, window.kernel)), window, sizes=sizes, group=1)
    return reshaped(wide, sizes_of(x))


def _weighted(g: Value, node: Node, window: Window) -> Value:
    """`g` times k/count of its window, as if each counted all its k elements."""
    are_padded = not (window.before.is_zero and window.after.is_zero)
    counts_padding = bool(node.attributes.get("count_include_pad", 0))
    if not node.attributes.get("ceil_mode", 0) and (counts_padding or not are_padded):
        return g
    weights = None
    for axis in range(len(window.strides)):
        count = _counted(node, window, axis, counts_padding=counts_padding)
        weight = _ratio(window.kernel.axis(axis), count, like=g)
        if weight is not None:
            column = reshaped(weight, -1, *[1] * (len(window.strides) - 1 - axis))
            weights = column if weights is None else weights * column
    return g if weights is None else g * weights


def _counted(node: Node, window: Window, axis: int, *, counts_padding: bool) -> Sizes:
    """How many elements each window counts along the axis: of x, or of x and its padding, never beyond that."""
    n, before, after = (part.axis(axis) for part in (sizes_of(node.x, 2), window.before, window.after))
    starts = counting(sizes_of(node.output, 2).axis(axis)) * window.strides[axis] - before
    ends = starts + window.kernel.axis(axis)
    return ends.at_most(n + after) - starts if counts_padding else ends.at_most(n) - starts.at_least(0)


def _ratio(kernel: Sizes, count: Sizes, *, like: Value) -> Value | None:
    """kernel/count, a list; None where it is known to be 1."""
    if count.numbers is None or kernel.numbers is None:
        return _as_number(kernel, like=like) / _as_number(count, like=like)
    if set(count.numbers) == {kernel.numbers[0]}:
        return None
    return like.tape.constant(np.array([kernel.numbers[0] / n for n in count.numbers], like.dtype))


def _as_number(sizes: Sizes, *, like: Value) -> Value:
    """Sizes as numbers of the type of `like`."""
    if sizes.numbers is not None:
        return like.tape.constant(np.array(sizes.numbers, like.dtype))
    return cast_like(sizes.vector, like)
