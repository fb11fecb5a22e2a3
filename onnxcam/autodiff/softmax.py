"""Softmax and its kin, along one axis, from their outputs."""

from __future__ import annotations

from onnxcam.autodiff.core import no_gradient, vjp
from onnxcam.graph import Node, Value


@vjp("Softmax")
def softmax(g: Value, node: Node) -> Value:
    """y (g − Σ g y)."""
    y = node.output
    return y * (g - _sum(g * y, node))


@vjp("LogSoftmax")
def log_softmax(g: Value, node: Node) -> Value:
    """g − eʸ Σ g."""
    return g - node.tape.Exp(node.output) * _sum(g, node)


def _sum(x: Value, node: Node) -> Value:
    """The sum along the node's axis, which stays as 1."""
    op = node.tape
    return op.ReduceSum(x, op.ints(node.attributes.get("axis", -1)), keepdims=1)


# One-hot of the largest: a step.
no_gradient("Hardmax")
