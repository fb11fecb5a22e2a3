"""Quantised tensors, straight through: rounding counts as the identity, saturation as a clip.

The cotangent of a quantised tensor is a float tensor, as if its integers were real numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxcam.autodiff.casting import as_float, cast_like
from onnxcam.autodiff.extents import rank_of, shape_of
from onnxcam.autodiff.registry import vjp, vjp_of_outputs
from onnxcam.errors import NoGradientForm
from onnxcam.graph import Node, Value

# What has no negative number in it has none after these either.
KEEPING_SIGN = frozenset(
    "AveragePool Dropout Flatten GlobalAveragePool Identity MaxPool Reshape Slice Squeeze Transpose Unsqueeze".split()
)


# A zero point that is computed counts as fixed: what it adds to the integers, dequantising takes away again.
@vjp("DequantizeLinear", answers_all=False)
def dequantize_linear(g: Value, node: Node) -> Sequence[Value | None]:
    """y = (x − z) s."""
    x, scale, zero = node.x, node.input(1), node.optional(2)
    through = g * along_axis(scale, node)
    if not node.wants(1):
        return [through]
    real = as_float(x) if zero is None else as_float(x) - along_axis(as_float(zero), node)
    return [through, sum_off_axis(g * real, node)]


@vjp("QuantizeLinear", answers_all=False)
def quantize_linear(g: Value, node: Node) -> Sequence[Value | None]:
    """y = clip(x/s + z): g/s where y is inside its range, which shows in y itself.

    The end values count as saturated. x would tell 255 from 255 and more, but reading it keeps ONNX Runtime from
    running the node that makes it in int8, and for a fused ReLU y = z is the zero that its gradient is zero at.
    Where x cannot lie below the range, as behind a ReLU that is not fused, the lower end value is no saturation.
    """
    op, scale = node.tape, along_axis(node.input(1), node)
    is_inside = is_below_top(node.output, g) if cannot_undershoot(node) else is_unsaturated(node.output, g)
    inside = op.Where(is_inside, divide(g, scale), 0.0)
    if not node.wants(1):
        return [inside]
    return [inside, sum_off_axis(-(inside * node.x / scale), node)]


@vjp_of_outputs("DynamicQuantizeLinear", answers_all=False)
def dynamic_quantize_linear(gs: Sequence[Value | None], node: Node) -> Value:
    """g/s: its range is that of x, so nothing saturates; that the range moves with x is left out."""
    if gs[0] is None:
        raise NoGradientForm(node.op_type, node.title, "its scale alone, which counts as fixed")
    return cast_like(divide(gs[0], node.outputs[1]), node.x)


def is_unsaturated(y: Value, g: Value) -> Value:
    """Where the quantised `y` lies strictly inside the range of its type; compared as `g`'s type, for CUDA's sake."""
    limits = np.iinfo(y.dtype if y.dtype is not None else np.uint8)
    real = cast_like(y, g)
    return y.tape.And(real > float(limits.min), real < float(limits.max))


def is_below_top(y: Value, g: Value) -> Value:
    """Where the quantised `y` lies below the upper end of its type."""
    return cast_like(y, g) < float(np.iinfo(y.dtype if y.dtype is not None else np.uint8).max)


def cannot_undershoot(node: Node) -> bool:
    """Whether the lowest integer stands for zero, and what is quantised has no negative number in it."""
    return is_lowest(node.optional(2)) and is_nonnegative(node.x)


def is_nonnegative(x: Value) -> bool:
    """Whether x comes from a ReLU or from integers that start at zero, by ops that only move and average numbers."""
    node = x.producer
    if node is None:
        return False
    if node.op_type == "DequantizeLinear":
        return is_lowest(node.optional(2), node.x)
    if node.op_type == "Relu":
        return True
    kept = node.inputs if node.op_type == "Concat" else node.inputs[:1] if node.op_type in KEEPING_SIGN else ()
    return bool(kept) and all(value is not None and is_nonnegative(value) for value in kept)


def is_lowest(zero: Value | None, x: Value | None = None) -> bool:
    """Whether the zero point is the lowest integer of its type; without one it is 0, in the type of `x`."""
    if zero is None:
        return x is None or x.dtype == np.uint8
    known = zero.constant
    return known is not None and known.dtype.kind in "iu" and bool((known == np.iinfo(known.dtype).min).all())


def divide(g: Value, scale: Value) -> Value:
    """g/s; where g has just been multiplied by that scale, what it was before: Quantize beside Dequantize."""
    made = g.producer
    if made is not None and made.op_type == "Mul" and same_constant(made.input(1), scale):
        return made.x
    return g / scale


def same_constant(a: Value, b: Value) -> bool:
    """Whether the two are one value, or constants with the same elements."""
    if a == b:
        return True
    first, second = a.constant, b.constant
    return first is not None and second is not None and np.array_equal(first, second)


def along_axis(scale: Value, node: Node) -> Value:
    """The scale, or zero point, in a shape that stretches over x: as it is for a tensor, (s, 1, 1) for a channel."""
    if scale.shape is None or len(scale.shape) == 0 or scale.shape == (1,):
        return scale
    behind = rank_of(node.x, node) - 1 - channel_axis(node)
    if not behind:
        return scale
    known = scale.constant
    if known is not None:
        return scale.tape.constant(known.reshape(-1, *[1] * behind))
    return scale.tape.Reshape(scale, scale.tape.ints(-1, *[1] * behind))


def channel_axis(node: Node) -> int:
    """The axis along which scales differ, counted from the front."""
    return int(node.attributes.get("axis", 1)) % max(rank_of(node.x, node), 1)


def sum_off_axis(g: Value, node: Node) -> Value:
    """The sum of `g` in the shape of the scale."""
    op, scale = g.tape, node.input(1)
    if scale.shape == () or scale.shape == (1,):
        return op.Reshape(op.ReduceSum(g, keepdims=0), shape_of(scale))
    others = [axis for axis in range(rank_of(node.x, node)) if axis != channel_axis(node)]
    return op.ReduceSum(g, op.ints(*others), keepdims=0)
