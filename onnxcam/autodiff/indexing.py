"""Ops that pick elements by index, and those that put them there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.extents import as_int64, axis_of, known_ints, rank_of, reshape_back, shape_of, sizes_along
from onnxcam.autodiff.registry import no_gradient, vjp
from onnxcam.autodiff.scattering import count_up, scatter, scatter_rows, scatter_to_positions
from onnxcam.autodiff.slicing import place
from onnxcam.graph import Node, Value

# Counts, places, patterns and chance.
no_gradient("Constant", "ConstantOfShape", "EyeLike", "Unique", "NonMaxSuppression", "Bernoulli", "Multinomial")
no_gradient("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
no_gradient("BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix")
# Bits and texts.
no_gradient("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "StringNormalizer", "TfIdfVectorizer")


@vjp("Gather")
def gather(g: Value, node: Node) -> Value:
    """The slices go back to where they were taken, and add up where one was taken twice."""
    op, x, indices = node.tape, node.x, node.input(1)
    axis, rank = axis_of(x, node), rank_of(indices, node)
    known, sizes = known_ints(indices), sizes_along(x, [axis])
    if rank == 0:
        g = op.Unsqueeze(g, op.ints(axis))
    if known and sizes:
        known = [index % sizes[0] for index in known]
    if known and rank <= 1 and (step := _step(known)):
        return place(g, x, axes=[axis], starts=known[:1], steps=[step], counts=[len(known)])
    if known and rank == 1 and sizes and sorted(known) == list(range(sizes[0])):
        return op.Gather(g, op.constant(np.argsort(known)), axis=axis)
    if rank == 0 or indices.shape == (1,):
        return _place_one(g, x, indices, axis=axis)
    is_unique = bool(known and sizes and len(set(known)) == len(known))
    return scatter_rows(g, node, indices, axis=axis, unique=is_unique)


def _step(indices: Sequence[int]) -> int | None:
    """The distance between neighbours when it is always the same, and all count from the same end."""
    if len(indices) == 1:
        return 1
    steps = {b - a for a, b in pairwise(indices)}
    same_end = min(indices) >= 0 or max(indices) < 0
    return steps.pop() if len(steps) == 1 and same_end and 0 not in steps else None


def _place_one(g: Value, x: Value, index: Value, *, axis: int) -> Value:
    """One slice, at a place that is computed: chosen by comparison, which every runtime has, and without atomics."""
    op, sizes = x.tape, sizes_along(x, [axis])
    count = op.Shape(x, start=axis, end=axis + 1) if sizes is None else op.ints(*sizes)
    places = count_up(op.Squeeze(count)) if sizes is None else op.constant(np.arange(sizes[0]))
    chosen = as_int64(index)
    chosen = op.Where(chosen < 0, chosen + count, chosen)
    behind = len(x.shape or ()) - axis - 1
    here = op.Reshape(places.equals(chosen), op.ints(-1, *[1] * behind))
    return op.Where(here, g, 0.0)


@vjp("GatherElements")
def gather_elements(g: Value, node: Node) -> Value:
    """Each element is added where it was taken."""
    axis = node.attributes.get("axis", 0)
    return scatter("ScatterElements", g, shape_of(node.x), indices=node.input(1), unique=False, axis=axis)


@vjp("GatherND")
def gather_nd(g: Value, node: Node) -> Value:
    """ScatterND, which knows no batch dimensions: with these, by position."""
    if node.attributes.get("batch_dims", 0):
        return scatter_to_positions(g, node, unique=False)
    return scatter("ScatterND", g, shape_of(node.x), indices=node.input(1), unique=False)


@vjp("TopK")
def top_k(g: Value, node: Node) -> Value:
    """The chosen elements' cotangents where these stood; no place is chosen twice along an axis."""
    axis = node.attributes.get("axis", -1)
    return scatter("ScatterElements", g, shape_of(node.x), indices=node.outputs[1], unique=True, axis=axis)


@vjp("Compress")
def compress(g: Value, node: Node) -> Value:
    """What was kept goes back; without an axis it was kept from the flattened x."""
    op, x = node.tape, node.x
    kept = op.Reshape(op.NonZero(node.input(1)), op.ints(-1))
    if "axis" in node.attributes:
        return scatter_rows(g, node, kept, axis=axis_of(x, node), unique=True)
    count = op.Reshape(op.Size(x), op.ints(1))
    return reshape_back(scatter("ScatterElements", g, count, indices=kept, unique=True, axis=0), node)


@vjp("OneHot", answers_all=False)
def one_hot(g: Value, node: Node) -> list[Value | None]:
    """The values (off, on) get what came to the places that have them."""
    op = node.tape
    indices = as_int64(node.x) if node.x.dtype is not None and node.x.dtype.kind in "iu" else node.x
    marks = op.OneHot(indices, as_int64(node.input(1)), op.ints(0, 1), axis=node.attributes.get("axis", -1))
    is_on = marks.equals(1)
    on, off = op.Where(is_on, g, 0.0), op.Where(is_on, 0.0, g)
    sums = [op.Reshape(op.ReduceSum(part, keepdims=0), op.ints(1)) for part in (off, on)]
    return [None, None, op.Concat(*sums, axis=0)]


@vjp("Range", answers_all=False)
def range_(g: Value, node: Node) -> list[Value | None]:
    """yₖ = start + k·delta; the limit only tells how many there are."""
    op = node.tape
    places = cast_like(count_up(op.Size(g)), g)
    start, delta = op.ReduceSum(g, keepdims=0), op.ReduceSum(g * places, keepdims=0)
    return [op.Reshape(start, shape_of(node.x)), None, op.Reshape(delta, shape_of(node.input(2)))]
