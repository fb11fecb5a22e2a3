"""Undoing what broadcasting did: summing a gradient back to the shape of what was stretched."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam.graph import Dim, Value


def sum_to_shape(g: Value, x: Value) -> Value:
    """The gradient `g`, summed over the axes along which `x` was stretched to it, in the shape of `x`."""
    if g.shape is None or x.shape is None:
        return sum_to_runtime_shape(g, x)
    added = len(g.shape) - len(x.shape)
    if any(map(_may_be_stretched, x.shape, g.shape[added:])):
        return sum_to_runtime_shape(g, x)
    stretched = [added + axis for axis, n in enumerate(x.shape) if n == 1 and g.shape[added + axis] != 1]
    op = g.tape
    if stretched:
        g = op.ReduceSum(g, op.ints(*stretched), keepdims=1)
    return op.ReduceSum(g, op.ints(*range(added)), keepdims=0) if added else g


def sum_to_runtime_shape(g: Value, x: Value) -> Value:
    """The same when it shows only at run time which axes were stretched."""
    op = x.tape
    wanted, given = op.Shape(x), op.Shape(g)
    # x's shape in as many dimensions as g has: ones in front.
    ones = op.Expand(op.ints(1), op.Shape(given) - op.Shape(wanted))
    stretched = op.Not(op.Concat(ones, wanted, axis=0).equals(given))
    axes = op.Reshape(op.NonZero(stretched), op.ints(-1))
    return op.Reshape(op.ReduceSum(g, axes, keepdims=1, noop_with_empty_axes=1), wanted)


def _may_be_stretched(wanted: Dim, given: Dim) -> bool:
    """Whether it is open that this axis was stretched: symbols that differ, one of which may be 1."""
    return not isinstance(wanted, int) and (wanted is None or wanted != given)


def is_known(shape: Sequence[Dim] | None) -> bool:
    """Whether every dimension is a number."""
    return shape is not None and all(isinstance(n, int) for n in shape)
