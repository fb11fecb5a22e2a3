"""Running a part of the graph again on other values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxcam.errors import NotRepeatable
from onnxcam.graph.node import Node
from onnxcam.graph.tape import Tape
from onnxcam.graph.value import Value

MEASURES = frozenset(("Shape", "Size"))


def replay(
    tape: Tape,
    given: Mapping[Value, Value],
    end: Value,
    outside: Callable[[Value], Value],
    *,
    place: Tape | None = None,
) -> dict[Value, Value]:
    """What the values up to `end` would be if the `given` ones were others: the nodes between, emitted once more.

    Args:
        tape: the graph.
        given: from values of the graph to what takes their place.
        end: what is asked for.
        outside: what takes the place of values that come in from beside the given ones.
        place: the tape that the nodes go on, a body's or the graph's own.

    Raises:
        NotRepeatable: if control flow lies between.
    """
    replaced = dict(given)
    for node in between(tape, set(given), end):
        if not node.reads.issubset(node.inputs):
            raise NotRepeatable(node.output.name, f"comes from {node.op_type}, a branch or loop")
        inputs = [None if x is None else replaced.get(x) or outside(x) for x in node.inputs]
        outputs = (place or tape).emit(node.op_type, inputs, node.attributes, outputs=len(node.outputs))
        replaced.update(zip(node.outputs, outputs, strict=True))
    return replaced


def between(tape: Tape, starts: set[Value], end: Value) -> list[Node]:
    """The nodes that depend on the starts and that the end depends on, in order."""
    reached, forward = set(starts), []
    for node in tape.nodes:
        if not reached.isdisjoint(node.reads) and reached.isdisjoint(node.outputs):
            reached.update(node.outputs)
            forward.append(node)
    needed, nodes = {end}, []
    for node in reversed(forward):
        if not needed.isdisjoint(node.outputs):
            needed |= node.reads
            nodes.append(node)
    return nodes[::-1]


def descendants(tape: Tape, start: Value) -> set[Value]:
    """The value and everything that is computed from it."""
    found = {start}
    for node in tape.nodes:
        if not found.isdisjoint(node.reads):
            found.update(node.outputs)
    return found


def made_of(tape: Tape, start: Value) -> set[Value]:
    """The same without what hangs on the value's size alone."""
    found = {start}
    for node in tape.nodes:
        if node.op_type not in MEASURES and not found.isdisjoint(node.reads):
            found.update(node.outputs)
    return found
