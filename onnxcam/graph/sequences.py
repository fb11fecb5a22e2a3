"""Lists of tensors taken out of a model where their lengths and places are known: then they are just their tensors.

Exporters write torch.split, unbind, cat and stack with lists, and functions pass them on. What stays a list, because
only the running model knows how long it is or which tensor is meant, is left as it is.
"""

from __future__ import annotations

import numpy as np
import onnx.numpy_helper
from onnx import GraphProto, ModelProto, NodeProto, TypeProto

import onnxcam.graph.sequence_ops  # noqa: F401  (fills the registry)
from onnxcam.graph.adapters import Draft, Scope, source
from onnxcam.graph.expansion import rename
from onnxcam.graph.lists import RESOLVERS, Known, Listed, Pieces, Wrapped, resolves
from onnxcam.graph.opset import OPSET, replace_nodes
from onnxcam.graph.walk import all_nodes, bodies, reads


def resolve_sequences(model: ModelProto) -> bool:
    """Puts tensors in the place of lists of tensors and of optional ones; whether there were any.

    At opset 18, constants folded, so that positions are at hand.
    """
    first = left = _count(model)
    while left:
        _resolve_graph(model.graph, Scope(model, OPSET), {})
        # What came out of one list may go into the next, and has a shape only now.
        before, left = left, _count(model)
        if left == before:
            break
    return first > 0


def _count(model: ModelProto) -> int:
    return sum(map(_is_on_lists, all_nodes(model.graph)))


def _is_on_lists(node: NodeProto) -> bool:
    return node.op_type in RESOLVERS and not node.domain


def _resolve_graph(graph: GraphProto, scope: Scope, known: Known) -> None:
    replace_nodes(graph, scope, lambda node: _resolved(node, scope, known))
    _drop_unread(graph)


def _resolved(node: NodeProto, scope: Scope, known: Known) -> list[NodeProto]:
    """The node, or what it is without lists; `known` are the lists so far, and grows."""
    if node.op_type == "Identity" and node.input[0] in known:
        known[node.output[0]] = known[node.input[0]]
    found = RESOLVERS[node.op_type](Draft(node, scope), known) if _is_on_lists(node) else None
    if found is not None:
        return found
    for body in bodies(node):
        _resolve_graph(body, scope, dict(known))
    return [node]


def _drop_unread(graph: GraphProto) -> None:
    """Leaves no op on lists whose list nobody reads any more."""
    wanted = {info.name for info in graph.output}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if node.op_type in (*RESOLVERS, "Identity") and wanted.isdisjoint(node.output):
            del graph.node[index]
        else:
            wanted |= reads(node)


@resolves("SequenceMap")
def mapped(draft: Draft, known: Known) -> list[NodeProto] | None:
    """The body once for each tensor of the first list, beside those of the others in the same place."""
    node, first = draft.node, known.get(draft.node.input[0])
    others = [known.get(name) for name in node.input]
    if not isinstance(first, Listed) or any(isinstance(other, Pieces) for other in others):
        return None
    (body,), nodes = bodies(node), list[NodeProto]()
    made: list[list[str]] = [[] for _ in body.output]
    for index in range(len(first.tensors)):
        given = [other.tensors[index] if isinstance(other, Listed) else name
                 for name, other in zip(node.input, others, strict=True)]  # fmt: skip
        copy, outputs = _copy_of(body, given, draft.scope, stem=f"{draft.stem}/{index}")
        nodes += [last for new in copy for last in _resolved(new, draft.scope, known)]
        for column, name in zip(made, outputs, strict=True):
            column.append(name)
    known.update((name, Listed(tuple(column))) for name, column in zip(node.output, made, strict=True))
    return [*nodes, node]


def _copy_of(body: GraphProto, given: list[str], scope: Scope, *, stem: str) -> tuple[list[NodeProto], list[str]]:
    """The body's nodes with these inputs, and what its outputs are called then."""
    names = dict(zip((info.name for info in body.input), given, strict=True))
    for tensor in body.initializer:
        names[tensor.name] = scope.constant(onnx.numpy_helper.to_array(tensor), f"{stem}/{tensor.name}")
    copies = [NodeProto.FromString(node.SerializeToString()) for node in body.node]
    for copy in copies:
        rename(copy, names, scope, stem)
    return copies, [names.get(info.name, info.name) for info in body.output]


@resolves("Optional")
def optional(draft: Draft, known: Known) -> None:
    """What it is given, or nothing."""
    known[draft.node.output[0]] = Wrapped(source(draft.node, 0))


@resolves("OptionalGetElement")
def element(draft: Draft, known: Known) -> list[NodeProto] | None:
    """What is in it; a tensor or a list is its own."""
    node, name = draft.node, draft.node.input[0]
    given = known.get(name)
    inner = given.name if isinstance(given, Wrapped) else name
    if inner in known:
        known[node.output[0]] = known[inner]
        return None
    kind = draft.scope.types.get(inner)
    # What has no type yet, but is known to be wrapped, is a tensor that an earlier list was split into.
    is_tensor = isinstance(given, Wrapped) if kind is None else kind.HasField("tensor_type")
    return draft.ends("Identity", [inner]) if inner and is_tensor else None


@resolves("OptionalHasElement")
def has_element(draft: Draft, known: Known) -> list[NodeProto] | None:
    """Whether there is something in it; a tensor or a list is there."""
    name = source(draft.node, 0)
    given = known.get(name)
    if name and given is None and not _is_plain(draft, name):
        return None
    is_there = bool(given.name) if isinstance(given, Wrapped) else bool(name)
    return draft.ends("Constant", [], value=onnx.numpy_helper.from_array(np.array(is_there)))


def _is_plain(draft: Draft, name: str) -> bool:
    """Whether it is a tensor or a list, not an optional one."""
    kind = draft.scope.types.get(name, TypeProto())
    return bool(kind.HasField("tensor_type") or kind.HasField("sequence_type"))
