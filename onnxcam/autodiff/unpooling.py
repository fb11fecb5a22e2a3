"""Ops that put windows back into a picture: unpooling, and columns to an image."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from onnxcam.autodiff.casting import cast_like
from onnxcam.autodiff.extents import END, known_ints, shape_of, zeros
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.sizes import Sizes, counting, joined, padded, reshaped, sizes_of
from onnxcam.errors import UnknownShape
from onnxcam.graph import Node, Value


@vjp("MaxUnpool")
def max_unpool(g: Value, node: Node) -> Value:
    """Each element gets what came to where it was put; nothing where a later one was put over it."""
    op, indices = node.tape, node.input(1)
    if node.optional(2) is None and _never_meet(indices):
        return op.Gather(op.Reshape(g, op.ints(-1)), indices, axis=0)
    return _by_ordinals(g, node)


def _never_meet(indices: Value) -> bool:
    """Whether they come from a MaxPool whose windows do not overlap."""
    made = indices.producer
    if made is None or made.op_type != "MaxPool" or made.attributes.get("storage_order", 0):
        return False
    kernel = made.attributes["kernel_shape"]
    strides, dilations = (made.attributes.get(name) or [1] * len(kernel) for name in ("strides", "dilations"))
    reach = ((k - 1) * d for k, d in zip(kernel, dilations, strict=True))
    return all(s > r for s, r in zip(strides, reach, strict=True))


def _by_ordinals(g: Value, node: Node) -> Value:
    """The node itself, run on 1, 2 … instead of x's elements, tells which of them each place has; 0 is none.

    So it does not matter whether a runtime counts indices in the given output_shape, as ONNX Runtime and PyTorch do,
    or in the shape that pooling came from, as ONNX's reference does.
    """
    op, x = node.tape, node.x
    count = sizes_of(x, 2)
    per_plane = op.ints(math.prod(count.known)) if count.numbers is not None else op.ReduceProd(count.vector)
    total = Sizes(op, known_ints(per_plane), per_plane)
    ordinals = cast_like((counting(total) + 1).vector, x)
    planes = op.Expand(reshaped(ordinals, 1, 1, count), shape_of(x))
    (placed,) = op.emit(node.op_type, [planes, *node.inputs[1:]], node.attributes)
    taken = op.Cast(reshaped(placed, 0, 0, -1), to=TensorProto.INT64)
    room = zeros(joined(op, sizes_of(x, 0, 2), total + 1), g)
    found = op.ScatterElements(room, taken, reshaped(g, 0, 0, -1), axis=2)
    return op.Reshape(op.Slice(found, op.ints(1), op.ints(END), op.ints(2)), shape_of(x))


@vjp("Col2Im")
def col2im(g: Value, node: Node) -> Value:
    """Columns were added up into an image: each gets the window of the image that it went to.

    Window after window by one Gather an axis: (N, C, space) → (N, C, kernel, windows) → (N, C·kernel, windows).
    """
    op, kernel = node.tape, _kernel(node)
    axes = _count(node.input(2), node)
    pads = node.attributes.get("pads") or [0] * (2 * axes)
    strides, dilations = (node.attributes.get(name) or [1] * axes for name in ("strides", "dilations"))
    field = padded(g, Sizes(op, pads[:axes]), Sizes(op, pads[axes:]))
    for axis in reversed(range(axes)):
        k = kernel.axis(axis)
        size = sizes_of(node.output, axis + 2, axis + 3) + (pads[axis] + pads[axes + axis])
        windows = (size - ((k - 1) * dilations[axis] + 1)) // strides[axis] + 1
        table = _sums(counting(k) * dilations[axis], counting(windows) * strides[axis])
        field = op.Gather(field, table, axis=axis + 2)
    places = [2 + 2 * axis for axis in range(axes)]
    ordered = op.Transpose(field, perm=[0, 1, *places, *(place + 1 for place in places)])
    return op.Reshape(ordered, _column_shape(node))


def _kernel(node: Node) -> Sizes:
    known = known_ints(node.input(2))
    return Sizes(node.tape, known, None if known else node.input(2))


def _count(sizes: Value, node: Node) -> int:
    """How many axes there are sizes of."""
    count = sizes.shape[0] if sizes.shape else None
    if not isinstance(count, int):
        raise UnknownShape(node.op_type, node.title, "how many axes its blocks have")
    return count


def _sums(offsets: Sizes, starts: Sizes) -> Value:
    """Each start moved by each offset: one row per offset."""
    op = starts.tape
    if starts.numbers is not None and offsets.numbers is not None:
        return op.constant(np.add.outer(np.array(offsets.numbers), np.array(starts.numbers)))
    return op.Unsqueeze(offsets.vector, op.ints(1)) + starts.vector


def _column_shape(node: Node) -> Value:
    known = [n if isinstance(n, int) else None for n in node.x.shape or [None]]
    sizes = [0 if axis == 0 else -1 if n is None else n for axis, n in enumerate(known)]
    return node.tape.ints(*sizes) if len(sizes) == 3 and sizes.count(-1) <= 1 else shape_of(node.x)
