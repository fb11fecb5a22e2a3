"""An exported graph made plain: optimised, the tensors of layers under their names, nothing of this machine in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count

import onnx_ir as ir
import onnxscript.optimizer
from onnx import ModelProto
from onnx_ir.passes.common import IdentityEliminationPass, RemoveUnusedNodesPass

# Where in the model a node was called: what tensors between layers are named by.
KEPT_METADATA = ("pkg.torch.onnx.name_scopes",)


def clean(model: ir.Model, names: Sequence[str], given: Mapping[str, ir.Value]) -> tuple[ModelProto, dict[str, str]]:
    """The plain model, and for each path the tensor, if one lies between its inputs and its outputs.

    Args:
        model: not to be used afterwards.
        names: of its outputs.
        given: what the modules at the paths give.
    """
    graph = model.graph
    for name, output in zip(names, graph.outputs, strict=True):
        output.name = name
    given = {path: source(value) for path, value in given.items()}
    ends = {value: value.name for value in graph.inputs} | {source(value): value.name for value in graph.outputs}
    alive = (descendants(graph) & ancestors(graph)) - ends.keys()
    inner = list(dict.fromkeys(value for value in given.values() if value in alive))
    survivors = dict(zip(inner, optimize(model, inner), strict=True))
    layers = {path: survivors[value] for path, value in given.items() if value in survivors}
    rename(graph, {path: value for path, value in layers.items() if is_there(value)})
    forget_origin(graph)
    tensors = {value: value.name for value in survivors.values() if is_there(value)}
    named = {value: tensors.get(survivor) for value, survivor in survivors.items()} | ends
    return ir.to_proto(model), {path: tensor for path, value in given.items() if (tensor := named.get(value))}


def optimize(model: ir.Model, inner: Sequence[ir.Value]) -> list[ir.Value]:
    """Folds and fuses what lies between the inner values; gives the values that took their place, one for each."""
    outputs = model.graph.outputs
    own = len(outputs)
    outputs.extend(inner)  # while they are outputs, nothing takes them away
    RemoveUnusedNodesPass()(model)
    onnxscript.optimizer.optimize(model)
    adopt(model.graph)
    found = [source(value) for value in outputs[own:]]
    outputs[own:] = []
    IdentityEliminationPass()(model)
    RemoveUnusedNodesPass()(model)
    return found


def adopt(graph: ir.Graph) -> None:
    """Makes initializers of the constants that nodes read but the graph does not hold.

    onnxscript's fusion of Max and Min into Clip calls the limits by the name of what is clipped: of two Clips on one
    value the limits of the first are lost (onnxscript 0.7, timm's gemma4_vit).
    """
    taken = {value.name for value in all_values(graph)}
    for node in graph:
        for value in node.inputs:
            if value is None or value.const_value is None or value.producer() or value.is_graph_input():
                continue
            if graph.initializers.get(str(value.name)) is not value:
                value.name = fresh(str(value.name), taken)
                graph.register_initializer(value)


def source(value: ir.Value) -> ir.Value:
    """The value that it is a copy of."""
    producer = value.producer()
    while producer is not None and producer.op_type == "Identity" and producer.inputs[0] is not None:
        value = producer.inputs[0]
        producer = value.producer()
    return value


def descendants(graph: ir.Graph) -> set[ir.Value]:
    """The inputs and all that is computed from them."""
    found = set(graph.inputs)
    for node in graph:
        if any(value in found for value in reads(node)):
            found.update(node.outputs)
    return found


def ancestors(graph: ir.Graph) -> set[ir.Value]:
    """The outputs and all that they are computed from."""
    found = set(graph.outputs)
    for node in reversed(graph):
        if any(value in found for value in node.outputs):
            found.update(reads(node))
    return found


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """What a node is computed from, what its bodies take from outside included."""
    yield from (value for value in node.inputs if value is not None)
    for attribute in node.attributes.values():
        if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            bodies = attribute.as_graphs() if attribute.type == ir.AttributeType.GRAPHS else [attribute.as_graph()]
            yield from (value for body in bodies for inner in body for value in reads(inner))


def is_there(value: ir.Value) -> bool:
    """Whether the graph still has it."""
    producer = value.producer()
    return value.is_graph_input() or (producer is not None and producer.graph is not None)


def rename(graph: ir.Graph, layers: Mapping[str, ir.Value]) -> None:
    """Calls every layer's tensor by its path, of several the outermost; inputs and outputs keep their names."""
    fixed = {*graph.inputs, *graph.outputs, *graph.initializers.values()}
    taken = {value.name for value in all_values(graph)}
    for value in all_values(graph):
        if value not in fixed and value.name in layers:  # the exporter's name for something else
            value.name = fresh(str(value.name), taken)
    taken = {value.name for value in all_values(graph)}
    for path, value in sorted(layers.items(), key=lambda entry: (entry[0].count("."), len(entry[0]))):
        if value not in fixed and path not in taken:
            value.name = path
            fixed.add(value)


def fresh(name: str, taken: set[str | None]) -> str:
    """The name with the first number that makes it unlike those taken; it is taken then."""
    found = next(numbered for n in count() if (numbered := f"{name}_{n}") not in taken)
    taken.add(found)
    return found


def all_values(graph: ir.Graph) -> Iterable[ir.Value]:
    """Every value of the graph and of the bodies in it."""
    yield from (*graph.inputs, *graph.initializers.values())
    for node in ir.traversal.RecursiveGraphIterator(graph):
        yield from node.outputs


def forget_origin(graph: ir.Graph) -> None:
    """Takes out what the exporters note of every node's code: paths of this machine, in a file to share."""
    for item in (*ir.traversal.RecursiveGraphIterator(graph), *all_values(graph)):
        for key in item.metadata_props.keys() - set(KEPT_METADATA):
            del item.metadata_props[key]
        item.doc_string = None
