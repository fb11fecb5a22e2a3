"""Ops that rename, reorder or repeat elements: the cotangent goes the way back."""

from __future__ import annotations

import numpy as np

from onnxcam.autodiff.casting import TENSOR_TYPES, cast_like
from onnxcam.autodiff.core import QUANTIZED
from onnxcam.autodiff.extents import rank_of, reshape_back, reshape_sizes, shape_of
from onnxcam.autodiff.registry import vjp
from onnxcam.errors import RandomDropout
from onnxcam.graph import Node, Value


@vjp("Identity", "Expand")
def identity(g: Value, _: Node) -> Value:
    """All of it; what Expand stretched is summed by the walk."""
    return g


@vjp("Dropout")
def dropout(g: Value, node: Node) -> Value:
    """At inference nothing is dropped.

    Raises:
        RandomDropout: unless it is certain that the node does nothing.
    """
    training = node.optional(2)
    if training is not None and (training.constant is None or training.constant.any()):
        raise RandomDropout(node.title)
    return g


@vjp("Cast", "CastLike", answers_all=False)
def cast(g: Value, node: Node) -> Value | None:
    """In the type of x. From quantised to real: straight through; to integers: a step, hence nothing."""
    x, y = node.x, node.output
    if y.dtype is not None and y.dtype.name not in TENSOR_TYPES:
        return None
    return g if x.dtype is not None and x.dtype.name in QUANTIZED else cast_like(g, x)


@vjp("Reshape", "Flatten")
def reshape(g: Value, node: Node) -> Value:
    """In the shape of x."""
    return reshape_back(g, node)


@vjp("Squeeze")
def squeeze(g: Value, node: Node) -> Value:
    """The axes come back; which they were shows only in the shape of x when they were not named."""
    axes = node.optional(1)
    return reshape_back(g, node) if axes is None else node.tape.Unsqueeze(g, axes)


@vjp("Unsqueeze")
def unsqueeze(g: Value, node: Node) -> Value:
    """The axes go."""
    op, axes = node.tape, node.input(1)
    # One axis may be given as a number, which Squeeze would not take.
    return op.Squeeze(g, op.Reshape(axes, op.ints(-1)) if axes.shape == () else axes)


@vjp("Transpose")
def transpose(g: Value, node: Node) -> Value:
    """The inverse permutation; the default, back to front, is its own."""
    perm = node.attributes.get("perm")
    return node.tape.Transpose(g, perm=None if perm is None else np.argsort(perm).tolist())


@vjp("DepthToSpace")
def depth_to_space(g: Value, node: Node) -> Value:
    """SpaceToDepth undoes DCR; for CRD the channels are put in order after it, from (i, j, c) to (c, i, j)."""
    op, b = node.tape, node.attributes["blocksize"]
    x = op.SpaceToDepth(g, blocksize=b)
    if node.attributes.get("mode", "DCR") == "DCR":
        return x
    channels = node.x.shape[1] if node.x.shape else None
    if not isinstance(channels, int):
        return _depth_to_space_by_reshape(g, node)
    return op.Gather(x, op.constant(np.arange(channels).reshape(b * b, -1).T.reshape(-1)), axis=1)


def _depth_to_space_by_reshape(g: Value, node: Node) -> Value:
    """(N, C, hb, wb) → (N, C, h, b, w, b) → (N, C, b, b, h, w) → (N, Cbb, h, w), sizes known when it runs."""
    op, x, b = node.tape, node.x, node.attributes["blocksize"]
    n, h, w = (op.Shape(x, start=axis, end=axis + 1) for axis in (0, 2, 3))
    cells = op.Reshape(g, op.Concat(n, op.ints(-1), h, op.ints(b), w, op.ints(b), axis=0))
    return op.Reshape(op.Transpose(cells, perm=[0, 1, 3, 5, 2, 4]), op.Shape(x))


@vjp("SpaceToDepth")
def space_to_depth(g: Value, node: Node) -> Value:
    """DepthToSpace undoes it."""
    return node.tape.DepthToSpace(g, blocksize=node.attributes["blocksize"], mode="DCR")


@vjp("Trilu")
def trilu(g: Value, node: Node) -> Value:
    """The same triangle."""
    return node.tape.Trilu(g, node.optional(1), upper=node.attributes.get("upper", 1))


@vjp("ReverseSequence")
def reverse_sequence(g: Value, node: Node) -> Value:
    """Reversing is its own inverse."""
    return node.tape.ReverseSequence(g, node.input(1), **node.attributes)


@vjp("Tile")
def tile(g: Value, node: Node) -> Value:
    """The sum over the copies: (r₀n₀, r₁n₁, …) → (r₀, n₀, r₁, n₁, …), summed over every other axis."""
    op, x, repeats = node.tape, node.x, node.input(1)
    known = repeats.constant
    if known is not None and (known == 1).all():
        return g
    axes = range(rank_of(x, node))
    pairs = None if known is None or x.shape is None else [n for a in axes for n in (int(known[a]), x.shape[a])]
    sizes = reshape_sizes(pairs, None)
    if sizes is not None:
        shape = op.ints(*sizes)
    else:
        columns = op.Unsqueeze(repeats, op.ints(1)), op.Unsqueeze(shape_of(x), op.ints(1))
        shape = op.Reshape(op.Concat(*columns, axis=1), op.ints(-1))
    return op.ReduceSum(op.Reshape(g, shape), op.ints(*(2 * axis for axis in axes)), keepdims=0)
