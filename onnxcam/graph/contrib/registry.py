"""What the equivalents are written with: the registry, and what they ask of the node at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import onnx.helper
from onnx import NodeProto

from onnxcam.graph.adapters import Draft, Scope, refuse, take
from onnxcam.registry import entering

Equivalent = Callable[[Draft, NodeProto], list[NodeProto]]


class Entry(NamedTuple):
    """How an op is written in others, and how many of its inputs and outputs that covers."""

    function: Equivalent
    inputs: int
    outputs: int


EQUIVALENTS: dict[str, Entry] = {}


class UnknownYet(Exception):
    """A type or rank that inference may tell once more of the model is lowered."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def equals(*op_types: str, inputs: int, outputs: int = 1) -> Callable[[Equivalent], Equivalent]:
    """Registers what does the same as an op of com.microsoft; a node with more inputs or outputs is refused."""
    return entering(EQUIVALENTS, *op_types, what="form of", row=lambda function: Entry(function, inputs, outputs))


def equivalent(entry: Entry, node: NodeProto, scope: Scope) -> list[NodeProto]:
    """The nodes that do what the node does.

    Raises:
        UnsupportedOperator: if an attribute, input or output of it is not covered.
        UnknownYet: if a type or rank is needed that is not known so far.
    """
    copy = NodeProto()
    copy.CopyFrom(node)
    _drop_unused_outputs(copy, scope, entry.outputs)
    if any(copy.input[entry.inputs :]):
        raise refuse(node, scope, f"its input {entry.inputs + 1} is not known")
    nodes = entry.function(Draft(node, scope), copy)
    if not any(new is copy for new in nodes) and copy.attribute:
        raise refuse(node, scope, f"its attribute {copy.attribute[0].name!r} is not known")
    return nodes


def _drop_unused_outputs(node: NodeProto, scope: Scope, known: int) -> None:
    for index, name in enumerate(node.output):
        if name and index and name not in scope.used:
            node.output[index] = ""
        elif name and index >= known:
            raise refuse(node, scope, f"its output {index + 1} ({name!r}) is used, which inference does not fill")


def rest(node: NodeProto) -> dict[str, Any]:
    """The attributes that are left, which the node then lacks."""
    return {name: take(node, name) for name in [attribute.name for attribute in node.attribute]}


def forbid(draft: Draft, node: NodeProto, *names: str) -> None:
    """Refuses attributes that say more than 0, the plain case."""
    for name in names:
        if take(node, name, 0):
            raise refuse(draft.node, draft.scope, f"its attribute {name!r} is set")


def rank(draft: Draft, name: str) -> int:
    """How many axes the tensor has."""
    return len(sizes(draft, name))


def sizes(draft: Draft, name: str) -> list[int | None]:
    """Each dimension, None where it is symbolic."""
    shape = draft.scope.shape(name)
    if shape is None:
        raise UnknownYet(f"the rank of its input {name!r} is unknown")
    return shape


def kind_of(draft: Draft, name: str) -> int:
    """ONNX's number for the type of the elements."""
    kind = draft.scope.element_type(name)
    if not kind:
        raise UnknownYet(f"the type of its input {name!r} is unknown")
    return kind


def total(draft: Draft, *names: str) -> str:
    """The sum of those tensors that are there."""
    first, *others = filter(None, names)
    for other in others:
        first = draft("Add", [first, other])
    return first


def output(node: NodeProto, index: int) -> str:
    """The name of the output at `index` if anything reads it, else ""."""
    return node.output[index] if index < len(node.output) else ""


def several(draft: Draft, op_type: str, inputs: list[str], outputs: list[str], **attributes: Any) -> list[str]:
    """The outputs of a node with more than one of them; those without a name get a fresh one."""
    names = [name or draft.scope.names.fresh(f"{draft.stem}/{op_type}") for name in outputs]
    draft.nodes.append(onnx.helper.make_node(op_type, inputs, names, **attributes))
    return names
