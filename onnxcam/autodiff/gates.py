"""Gates that the walk takes for one node: x·sigmoid(x), the SiLU, which exporters write as two."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from onnxcam.graph import Node, Value

# What such a node is called on the walk, in no domain of ONNX's.
SILU = "onnxcam.Silu"


def with_gates(nodes: Sequence[Node], kept: Collection[Value]) -> list[Node]:
    """The nodes, each product x·sigmoid(x) of them as one node from x to y.

    By itself a product asks for two more products, and the sigmoid for another three nodes, of tensors that are the
    largest in nets like EfficientNet; as one they take four in all. The Sigmoid stays in the list: others may read it.
    Left as they are: gates of which `kept` holds the sigmoid.
    """
    return [_as_gate(node, kept) or node for node in nodes]


def _as_gate(node: Node, kept: Collection[Value]) -> Node | None:
    """The product as a node of x alone; None if it is no gate."""
    if node.op_type != "Mul":
        return None
    a, b = node.input(0), node.input(1)
    for x, s in ((a, b), (b, a)):
        maker = s.producer
        if maker is not None and maker.op_type == "Sigmoid" and maker.x == x and s not in kept:
            return node.tape.imagine(SILU, [x], node.outputs, {})
    return None
