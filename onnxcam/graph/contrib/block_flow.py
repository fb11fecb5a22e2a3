"""What ops of the default domain do to tensors in blocks: they must do the same to those tensors without blocks.

Such a tensor is declared as (N, C, H, W) and lies as (N, C/b, H, W, b). ONNX Runtime lets elementwise ops and Concat
work on it as it lies; where one operand is stretched, it puts them between Reshapes to five axes and back.
"""

from __future__ import annotations

from onnx import GraphProto, NodeProto

from onnxcam.graph.adapters import Scope, refuse
from onnxcam.graph.batch_rules import ELEMENTWISE
from onnxcam.graph.walk import reads

BLOCKED = "com.microsoft.nchwc"
REMEDY = (
    "ONNX Runtime saved the model in the layout of one machine's processor (blocks of channels); save it with the "
    "optimisation level extended or below"
)
CARRYING = frozenset((*ELEMENTWISE, "BiasGelu", "FastGelu", "Gelu", "QuickGelu"))


def follow_blocks(graph: GraphProto, scope: Scope) -> set[int]:
    """The sizes of blocks that Reshapes to five axes tell; these, and those back, do nothing afterwards.

    Raises:
        UnsupportedOperator: for an op that may do something else to a tensor without blocks.
    """
    inside: set[str] = set()
    told: set[int] = set()
    for node in graph.node:
        if node.domain == BLOCKED:
            inside.update(node.output if node.op_type != "ReorderOutput" else ())
        elif not inside.isdisjoint(reads(node)):
            told.update(_unfolded(node, scope) if node.op_type == "Reshape" else ())
            if not _carries(node, inside, scope):
                raise refuse(node, scope, REMEDY)
            inside.update(node.output)
    return told


def _unfolded(node: NodeProto, scope: Scope) -> list[int]:
    """The last of five sizes; the node, if it goes to or comes from five axes, becomes an Identity."""
    shape = scope.array(node.input[1])
    sizes = [] if shape is None else [int(size) for size in shape]
    if sizes[:4] != [0, -1, 0, 0]:
        return []
    node.op_type = "Identity"
    del node.input[1:], node.attribute[:]
    return sizes[4:]


def _carries(node: NodeProto, inside: set[str], scope: Scope) -> bool:
    """Whether the op does to each element, or to each block, what it does to it without blocks."""
    others = reads(node) - inside
    if node.op_type == "Concat":
        return not others and any(a.name == "axis" and a.i == 1 for a in node.attribute)
    numbers = [scope.array(name) for name in others]
    return node.op_type in CARRYING and all(array is not None and array.size == 1 for array in numbers)
