"""Every node, tensor and name of a model, those in the bodies of If, Loop and Scan included."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto


def bodies(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs that the node carries as attributes."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The graph's nodes, each followed by those of its bodies."""
    for node in graph.node:
        yield node
        for body in bodies(node):
            yield from all_nodes(body)


def all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and every body within it."""
    yield graph
    for node in graph.node:
        for body in bodies(node):
            yield from all_graphs(body)


def all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Initializers and tensors in attributes, functions included."""
    for graph in all_graphs(model.graph):
        yield from graph.initializer
    nodes = list(all_nodes(model.graph))
    for function in model.functions:
        for node in function.node:
            nodes.append(node)
            for body in bodies(node):
                nodes.extend(all_nodes(body))
                for graph in all_graphs(body):
                    yield from graph.initializer
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors


def reads(node: NodeProto) -> set[str]:
    """The tensors that the node needs: its inputs, and what its bodies take from outside."""
    names = set(node.input)
    for body in bodies(node):
        names |= outer_reads(body)
    names.discard("")
    return names


def outer_reads(body: GraphProto) -> set[str]:
    """The tensors that a body takes from the graphs around it."""
    wanted = {info.name for info in body.output}
    made = {info.name for info in body.input} | {tensor.name for tensor in body.initializer}
    for node in body.node:
        wanted |= reads(node)
        made.update(node.output)
    return wanted - made


class Names:
    """The names that a model uses, and fresh ones that collide with none of them."""

    def __init__(self, graph: GraphProto) -> None:
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}
        for part in all_graphs(graph):
            self._taken.update(item.name for item in (*part.input, *part.output, *part.initializer))
            for node in part.node:
                self._taken.update((node.name, *node.input, *node.output))

    def take(self, name: str) -> None:
        """Counts the name as used."""
        self._taken.add(name)

    def fresh(self, stem: str) -> str:
        """The stem itself where it is free, else with the next number behind it."""
        name = stem
        while name in self._taken:
            self._counts[stem] = self._counts.get(stem, 1) + 1
            name = f"{stem}_{self._counts[stem]}"
        self._taken.add(name)
        return name
