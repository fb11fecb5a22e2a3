"""Softmax and its kin, along one axis, from their outputs."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam.autodiff.registry import no_gradient, vjp
from onnxcam.graph import Node, Value


@vjp("Softmax")
def softmax(g: Value, node: Node) -> Value:
    """y (g − Σ g y)."""
    y = _numbers(node)
    return y * (g - _sum(g * y, node))


@vjp("LogSoftmax")
def log_softmax(g: Value, node: Node) -> Value:
    """g − eʸ Σ g."""
    return g - node.tape.Exp(node.output) * _sum(g, node)


def _numbers(node: Node) -> Value:
    """y, with 0 for what is no number, in a model that chooses between y and something else.

    Attention gives NaN where a row is wholly masked, and models put 0 there by Where: no cotangent comes from such a
    row, but 0 times NaN would be NaN.
    """
    y = node.output
    return y.tape.Where(y.tape.IsNaN(y), 0.0, y) if _is_chosen(y, node.tape.nodes) else y


def _is_chosen(y: Value, nodes: Sequence[Node]) -> bool:
    """Whether a Where reads the tensor, or what is the same in another type."""
    same = {y}
    for node in nodes:
        if not same.isdisjoint(node.inputs):
            if node.op_type == "Where":
                return True
            if node.op_type in ("Cast", "CastLike", "Identity", "IsNaN"):
                same.update(node.outputs)
    return False


def _sum(x: Value, node: Node) -> Value:
    """The sum along the node's axis, which stays as 1."""
    op = node.tape
    return op.ReduceSum(x, op.ints(node.attributes.get("axis", -1)), keepdims=1)


# One-hot of the largest: a step.
no_gradient("Hardmax")
