"""Transposes that undo one another, which ops with the channels last leave between them."""

from __future__ import annotations

from collections.abc import Iterable

from onnx import ModelProto, NodeProto

from onnxcam.graph.walk import outer_reads, reads


def cancel_transposes(model: ModelProto) -> None:
    """Whoever reads what was turned and turned back reads the tensor before; unread Transposes of the main graph go."""
    graph = model.graph
    kept = {info.name for info in graph.output} | _read_in_bodies(graph.node)
    turned: dict[str, tuple[str, list[int]]] = {}
    same: dict[str, str] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = same.get(name, name)
        perm = _perm(node)
        if perm is None:
            continue
        before, first = turned.get(node.input[0], ("", []))
        if before and [first[axis] for axis in perm] == sorted(perm) and node.output[0] not in kept:
            same[node.output[0]] = before
        turned[node.output[0]] = (node.input[0], perm)
    if same:
        _drop_unread(model)


def _read_in_bodies(nodes: Iterable[NodeProto]) -> set[str]:
    return {name for node in nodes for name in reads(node) - set(node.input)}


def _perm(node: NodeProto) -> list[int] | None:
    """The order of axes of a Transpose that tells it."""
    if node.op_type != "Transpose" or node.domain:
        return None
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)


def _drop_unread(model: ModelProto) -> None:
    wanted = outer_reads(model.graph) | {info.name for info in model.graph.output}
    for node in model.graph.node:
        wanted |= reads(node)
    for index in reversed(range(len(model.graph.node))):
        node = model.graph.node[index]
        if _perm(node) is not None and node.output[0] not in wanted:
            del model.graph.node[index]
