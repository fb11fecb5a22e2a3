"""Why a tensor has no gradient: what to tell whoever asked for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnxcam.autodiff.core import FLOATING, active_values
from onnxcam.autodiff.registry import FLAT
from onnxcam.errors import DisconnectedTensor, FlatPath, IntegerTensor, NoPathToScore
from onnxcam.graph import Node, Tape, Value, descendants


def obstacle(x: Value, ends: Sequence[Value]) -> NoPathToScore:
    """The error that says why `x` has no gradient: it holds integers, leads nowhere, or is cut off by a flat op.

    Args:
        x: the tensor that was differentiated by.
        ends: what was differentiated.
    """
    if x.dtype is not None and x.dtype.name not in FLOATING:
        return IntegerTensor(x.name, x.dtype.name)
    named = " and ".join(repr(end.name) for end in ends)
    dependent = descendants(x.tape, x)
    if dependent.isdisjoint(ends):
        return DisconnectedTensor(x.name, named)
    cuts = _cuts(x.tape, active_values(x.tape.nodes, [x]), ends)
    return FlatPath(x.name, named, cuts[-1].op_type, cuts[-1].title)


def _cuts(tape: Tape, active: set[Value], ends: Iterable[Value]) -> list[Node]:
    """The nodes on the way to the ends that read an active value and give none, in the order of the tape."""
    needed, cuts = set(ends), []
    for node in reversed(tape.nodes):
        if needed.isdisjoint(node.outputs):
            continue
        needed.update(node.reads)
        is_cut = node.op_type in FLAT or active.isdisjoint(node.outputs)
        if is_cut and not active.isdisjoint(node.reads):
            cuts.append(node)
    return cuts[::-1]
