"""Whether nothing but a linear head lies between a layer and the score, as CAM wants it."""

from __future__ import annotations

from collections.abc import Container, Sequence

from onnxcam.errors import NoLinearHead
from onnxcam.graph import Node, Tape, Value, between, made_of
from onnxcam.layer import Layer
from onnxcam.scores import PLUMBING, Scores

LINEAR = PLUMBING | frozenset(
    "Gemm MatMul Conv Add Sub Mul Div Neg GlobalAveragePool AveragePool ReduceMean ReduceSum Transpose "
    "BatchNormalization Slice Split Gather Concat".split()
)
PRODUCTS = frozenset(("Gemm", "MatMul", "Conv", "Mul"))


def check_linear_head(tape: Tape, layers: Sequence[Layer], scores: Scores, *, method: str) -> None:
    """Refuses a layer with more than sums and products with constants above it.

    Args:
        tape: the model.
        layers: that are explained.
        scores: what is explained.
        method: its name, for the message.

    Raises:
        NoLinearHead: naming what is not linear.
    """
    for layer in layers:
        start = tape.value(layer.tensor)
        below = made_of(tape, start)
        for node in between(tape, {start}, scores.values):
            if not below.isdisjoint(node.outputs) and not _is_linear(node, below):
                raise NoLinearHead(method, layer.name, node.op_type, node.title)


def _is_linear(node: Node, below: Container[Value]) -> bool:
    """Whether it sums up what it gets, `below` being all that is made of the layer: x · x is no such thing."""
    if node.op_type in PRODUCTS:
        return sum(x in below for x in node.inputs[:2]) < 2
    return node.op_type in LINEAR and not (node.op_type == "Div" and node.input(1) in below)
