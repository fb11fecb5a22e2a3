"""Scatters: what is written over a tensor, added to it, multiplied with it, or put in where it is an extreme.

ScatterElements and ScatterND differ only in how an index is read: `Spots` has both ways.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam.autodiff.casting import cast_like, ones_where, single, widened
from onnxcam.autodiff.extents import shape_of, zeros
from onnxcam.autodiff.registry import vjp
from onnxcam.autodiff.scattering import meet_slices
from onnxcam.graph import Node, Value


class Spots:
    """The places that a scatter writes to, several of which may be one.

    Args:
        node: a ScatterElements or a ScatterND.
    """

    def __init__(self, node: Node) -> None:
        self.op, self.kind, self.indices = node.tape, node.op_type, node.input(1)
        self.axis = node.attributes.get("axis", 0)
        self.reduction = node.attributes.get("reduction", "none")

    def gather(self, x: Value) -> Value:
        """What `x` has there, one for each update."""
        if self.kind == "ScatterND":
            return self.op.GatherND(x, self.indices)
        return self.op.GatherElements(x, self.indices, axis=self.axis)

    def scatter(self, x: Value, updates: Value, *, reduction: str | None = None) -> Value:
        """`x`, and the updates put there."""
        if self.kind == "ScatterND" and reduction is not None:
            return meet_slices(x, self.indices, updates, reduction=reduction)
        if self.kind == "ScatterND":
            return self.op.ScatterND(x, self.indices, updates)
        return self.op.ScatterElements(x, self.indices, updates, axis=self.axis, reduction=reduction)


@vjp("ScatterElements", "ScatterND")
def scatter(g: Value, node: Node) -> Sequence[Value | None]:
    """What was written has its part where it went: all of it, a sum's, a product's or an extreme's."""
    spots = Spots(node)
    if spots.reduction == "none":
        return _written(g, node, spots)
    if spots.reduction == "add":
        return [g, None, spots.gather(g) if node.wants(2) else None]
    if spots.reduction == "mul":
        return _multiplied(g, node, spots)
    return _chosen(g, node, spots)


def _written(g: Value, node: Node, spots: Spots) -> list[Value | None]:
    """What was overwritten has no part in y."""
    return [
        spots.scatter(g, zeros(shape_of(node.input(2)), g)) if node.wants(0) else None,
        None,
        spots.gather(g) if node.wants(2) else None,
    ]


def _chosen(g: Value, node: Node, spots: Spots) -> list[Value | None]:
    """The largest (smallest) of those that meet gets it; those that tie share it equally, as in torch's amax."""
    op, x, updates = node.tape, single(node.x), single(node.input(2))
    # In two bytes what ONNX Runtime gives may equal neither: it leaves out roundings where it likes.
    y = node.output if x == node.x else spots.scatter(x, updates, reduction=spots.reduction)
    stayed, came = x.equals(y), updates.equals(spots.gather(y))
    # Summed in float32, since ONNX Runtime's CPU kernels add no float16.
    like = widened(g)
    count = spots.scatter(ones_where(stayed, like), ones_where(came, like), reduction="add")
    share = g / cast_like(count, g)
    return [
        op.Where(stayed, share, 0.0) if node.wants(0) else None,
        None,
        op.Where(came, spots.gather(share), 0.0) if node.wants(2) else None,
    ]


def _multiplied(g: Value, node: Node, spots: Spots) -> list[Value | None]:
    """The product of the others: y/x where none is zero; where one is, only it has a gradient; with two, none has.

    Right to the first order only, where there are zeros.
    """
    op, wide, x, updates = node.tape, widened(g), widened(node.x), widened(node.input(2))
    first, second = x.equals(0.0), updates.equals(0.0)
    others = op.Where(first, 1.0, x), op.Where(second, 1.0, updates)
    flags = ones_where(first, wide), ones_where(second, wide)
    product = spots.scatter(*others, reduction="mul") * wide
    count = spots.scatter(*flags, reduction="add")
    return [
        cast_like(op.Where(count.equals(flags[0]), product / others[0], 0.0), g) if node.wants(0) else None,
        None,
        cast_like(op.Where(spots.gather(count).equals(flags[1]), spots.gather(product) / others[1], 0.0), g)
        if node.wants(2)
        else None,
    ]
