"""Ways back through the graph."""

from __future__ import annotations

from collections.abc import Collection

from onnxcam.graph import Node, Value
from onnxcam.scores.detectors.plumbing import RESHAPING, STORING


def first_above(value: Value, op_type: str, *, through: Collection[str]) -> Node | None:
    """The node of that kind on the way back over first inputs, if only ops of the kinds `through` lie between."""
    node = value.producer
    while node is not None and node.op_type != op_type and node.op_type in through:
        node = node.x.producer
    return node if node is not None and node.op_type == op_type else None


def without_sizes(value: Value) -> Value:
    """What was flattened into it."""
    node = value.producer
    while node is not None and node.op_type in RESHAPING | STORING:
        value = node.x
        node = value.producer
    return value
