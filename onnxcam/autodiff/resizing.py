"""Resize: linear in its input and separable, so backwards it is one product with a matrix per axis.

The matrix of an axis is what Resize itself makes of the identity. So it is right for every mode, and rounds as the
runtime at hand does; and ONNX Runtime folds it on loading when the sizes are known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.core import through_equivalent
from onnxcam.autodiff.extents import rank_of
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.resizing_places import axes_of, put_back, written_out
from onnxcam.autodiff.sizes import joined, reshaped, sizes_of
from onnxcam.graph import Array, Node, Value

BATCH = 0
# Where these place the pixels, enlarging by a whole number repeats each pixel that often.
CENTRED = frozenset(("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"))
ROUNDED = frozenset(("round_prefer_floor", "round_prefer_ceil"))


@vjp("Resize")
def resize(g: Value, node: Node) -> Value | Mapping[Value, Value]:
    """y = A x Bᵀ, so x gets Aᵀ g B; a region, or scales that are computed, what moves the places that are read."""
    is_stretched = node.attributes.get("keep_aspect_ratio_policy", "stretch") == "stretch" or node.optional(3) is None
    if node.attributes.get("mode", "nearest") == "nearest":
        return _by_matrices(g, node) if is_stretched else put_back(g, node)
    if is_stretched and not (node.wants(1) or node.wants(2)):
        return _by_matrices(g, node)
    return through_equivalent([written_out(node)], [g], node)


def _by_matrices(g: Value, node: Node) -> Value:
    """Aᵀ g B; where pixels are merely repeated, the sums of the repetitions."""
    factors = _repeats(node)
    if factors:
        kernel = factors[2:]
        return g.tape.AveragePool(g, kernel_shape=kernel, strides=kernel) * float(math.prod(factors))
    for axis in reversed(range(rank_of(node.x, node))):
        if _is_resized(node, axis):
            g = _applied(g, _matrix(node, axis, like=g), axis, rank=rank_of(node.x, node))
    return g


def _repeats(node: Node) -> list[int]:
    """How often a nearest Resize repeats each pixel along each axis; empty where it does something else."""
    scales = [_scale(node, axis) for axis in range(rank_of(node.x, node))]
    factors = [int(s) for s in scales if s is not None and s >= 1 and s == int(s)]
    if len(factors) < len(scales) or not 3 <= len(factors) <= 5 or factors[:2] != [1, 1]:
        return []
    if node.attributes.get("mode", "nearest") != "nearest":
        return []
    place = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    rounding = node.attributes.get("nearest_mode", "round_prefer_floor")
    if place in CENTRED:
        return factors if rounding in ROUNDED else []
    is_plain = rounding == "floor" or (rounding == "round_prefer_floor" and max(factors) <= 2)
    return factors if place == "asymmetric" and is_plain else []


def _scale(node: Node, axis: int) -> float | None:
    """By how much the axis is scaled; None where that shows only at run time."""
    x, y, scales = node.x.shape, node.output.shape, _constant_scales(node)
    if axis not in axes_of(node):
        return 1.0
    if scales is not None:
        return float(scales[axes_of(node).index(axis)])
    n, o = (None if shape is None else shape[axis] for shape in (x, y))
    if isinstance(n, int) and isinstance(o, int):
        return o / n
    return 1.0 if n is not None and n == o else None


def _is_resized(node: Node, axis: int) -> bool:
    if node.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        return axis in axes_of(node)
    scale = _scale(node, axis)
    return axis != BATCH if scale is None else scale != 1.0


def _matrix(node: Node, axis: int, *, like: Value) -> Value:
    """What the axis undergoes, (after, before)."""
    op, n, o = node.tape, sizes_of(node.x, axis, axis + 1), sizes_of(node.output, axis, axis + 1)
    # Never in float16, for which EyeLike has no kernels.
    zero = op.constant(np.zeros((), np.float64 if like.dtype == np.float64 else np.float32))
    identity = op.EyeLike(op.Expand(zero, joined(op, n, n)))
    plane = reshaped(identity, 1, 1, n, n)
    kept = {key: value for key, value in node.attributes.items() if key not in ("axes", "keep_aspect_ratio_policy")}
    is_cropped = kept.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    if "extrapolation_value" in kept:
        kept["extrapolation_value"] = 0.0
    roi = _roi(node, axis) if is_cropped else None
    if _has_scales(node) and not is_cropped:
        scaled = op.Resize(plane, roi, _scales(node, axis), **kept)
    else:
        scaled = op.Resize(plane, roi, None, joined(op, 1, 1, o, n), **kept)
    return cast_like(op.Squeeze(scaled, op.ints(0, 1)), like)


def _applied(g: Value, matrix: Value, axis: int, *, rank: int) -> Value:
    """Σ over o of matrix[o, n]·g[…, o, …]."""
    op = g.tape
    if axis == rank - 1:
        return op.MatMul(g, matrix)
    across = op.Transpose(matrix, perm=[1, 0])
    if axis == rank - 2:
        return op.MatMul(across, g)
    lines = reshaped(g, *[0] * (axis + 1), -1)
    return reshaped(op.MatMul(across, lines), *[0] * (axis + 1), sizes_of(g, axis + 1))


def _has_scales(node: Node) -> bool:
    """Whether it was given scales, which may be an empty list beside sizes."""
    return node.optional(2) is not None and node.optional(3) is None


def _constant_scales(node: Node) -> Array | None:
    scales = node.optional(2)
    return scales.constant if scales is not None and _has_scales(node) else None


def _scales(node: Node, axis: int) -> Value:
    """The scales of a plane whose third axis is scaled as that one."""
    op, constant = node.tape, _constant_scales(node)
    index = axes_of(node).index(axis)
    if constant is not None:
        return op.constant(np.array([1, 1, constant[index], 1], np.float32))
    ones = op.constant(np.ones(2, np.float32))
    own = op.Gather(node.input(2), op.ints(index))
    return op.Concat(ones, own, op.constant(np.ones(1, np.float32)), axis=0)


def _roi(node: Node, axis: int) -> Value:
    """The region of a plane whose third axis is cropped as that one."""
    op, axes = node.tape, axes_of(node)
    index = axes.index(axis)
    start, end = (op.Gather(node.input(1), op.ints(i)) for i in (index, len(axes) + index))
    none, all_ = op.number(0.0, start), op.number(1.0, start)
    nothing, everything = (op.Expand(number, op.ints(1)) for number in (none, all_))
    return op.Concat(nothing, nothing, start, nothing, everything, everything, end, everything, axis=0)
