"""What holds for every input of the model: constants and what is computed from them, and signs."""

from __future__ import annotations

from onnxcam.graph import Node, Value

# Ops that give no negative numbers, whatever they are given.
NEVER_NEGATIVE = frozenset("Abs Exp HardSigmoid Relu Sigmoid Softmax Softplus Sqrt".split())
# Ops that give none where their data, the first input, hold none.
KEEPING_SIGN = frozenset(
    "AveragePool Cast DepthToSpace Dropout Expand Flatten Gather GlobalAveragePool GlobalMaxPool Identity MaxPool "
    "ReduceMax ReduceMean ReduceMin ReduceSum Reshape Slice SpaceToDepth Split Squeeze Tile Transpose Unsqueeze".split()
)
JOINING = frozenset("Add Concat Max Mean Min Sum".split())


def is_fixed(value: Value) -> bool:
    """Whether the value is the same for every input of the model."""
    pending, seen = [value], {value}
    while pending:
        last = pending.pop()
        if last.name in last.tape.constants:
            continue
        if last.producer is None:
            return False
        pending.extend(last.producer.reads - seen)
        seen |= last.producer.reads
    return True


def is_nonnegative(value: Value) -> bool:
    """Whether the graph shows that no element is negative: a ReLU, or pools and reshapings of one."""
    pending, seen = [value], {value}
    while pending:
        node = pending.pop().producer
        if node is None:
            return False
        if node.op_type in JOINING:
            sources = {data for data in node.inputs if data is not None}
        elif node.op_type in KEEPING_SIGN or (node.op_type == "Pad" and not _pads_below_zero(node)):
            sources = {node.x}
        elif node.op_type in NEVER_NEGATIVE or _is_clipped_at_zero(node):
            continue
        else:
            return False
        pending.extend(sources - seen)
        seen |= sources
    return True


def _pads_below_zero(node: Node) -> bool:
    """Whether what a Pad fills in may be negative; edges and mirrored elements are not filling."""
    filling = node.optional(2)
    return filling is not None and not _holds_no_negative(filling)


def _is_clipped_at_zero(node: Node) -> bool:
    low = node.optional(1) if node.op_type == "Clip" else None
    return low is not None and _holds_no_negative(low)


def _holds_no_negative(value: Value) -> bool:
    numbers = value.constant
    return numbers is not None and bool((numbers >= 0.0).all())
