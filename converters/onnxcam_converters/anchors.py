"""Layers found again in an exported graph: each was exposed to an extra output, which leads back to its tensor.

What is exposed is usually a side branch, layer -> Transpose -> output, which the prediction does not read: a gradient
there would be zero, without a word. So the branch is climbed up to what the prediction reads, and is cut off.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from onnx import GraphProto, ModelProto, NodeProto

from onnxcam.facts import note
from onnxcam.graph import drop_unused
from onnxcam.graph.walk import all_graphs, reads

# Between channels first and last, as exporters put them in.
LAYOUT_PERMS = ([0, 3, 1, 2], [0, 2, 3, 1], [0, 2, 1], [0, 4, 1, 2, 3], [0, 2, 3, 4, 1])
VIEWS = frozenset(("Transpose", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"))


@dataclass
class Anchors:
    """Where the layers are.

    Attributes:
        layers: from layers to tensors that the prediction is computed from.
        vanished: from layers that left no such tensor to the nearest tensor before them.
    """

    layers: dict[str, str] = field(default_factory=dict)
    vanished: dict[str, str] = field(default_factory=dict)


def anchor(model: ModelProto, taps: Iterable[tuple[str, str]], *, extra: Container[str]) -> Anchors:
    """The layers' tensors, which are renamed after them; the extra outputs are taken out of the model.

    Args:
        model: changed in place; what is found is also noted in it.
        taps: of every layer the tensor that it was exposed as, and its name.
        extra: names of the outputs that were added.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    for index in reversed([i for i, value in enumerate(graph.output) if value.name in extra]):
        del graph.output[index]
    read = _ancestors(producers, [value.name for value in graph.output])
    found = Anchors()
    for exposed, layer in taps:
        tensor, is_same = _climb(exposed, producers, read)
        if tensor in producers:
            (found.layers if is_same else found.vanished).setdefault(layer, tensor)
    _forget_containers(found.layers)
    drop_unused(model)
    _name_after_layers(graph, found)
    note(model, layers=found.layers, vanished=_survivors(found))
    return found


def rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Gives tensors other names, everywhere in the graph and in the graphs within it."""
    for part in all_graphs(graph):
        for node in part.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        for item in (*part.input, *part.output, *part.initializer, *part.value_info):
            item.name = names.get(item.name, item.name)


def _climb(name: str, producers: Mapping[str, NodeProto], read: set[str]) -> tuple[str, bool]:
    """The tensor that the prediction reads at or before this one, and whether it holds the same numbers."""
    is_same = True
    while name in producers and (name not in read or _is_layout_only(producers[name])):
        node = producers[name]
        is_same = is_same and node.op_type in VIEWS
        name = node.input[0] if node.input else ""
    return name, is_same


def _is_layout_only(node: NodeProto) -> bool:
    # The tensor above such a step may have readers that the step's result has not: they are the layer's, too.
    if node.op_type != "Transpose":
        return node.op_type == "Identity"
    return any(attribute.name == "perm" and list(attribute.ints) in LAYOUT_PERMS for attribute in node.attribute)


def _ancestors(producers: Mapping[str, NodeProto], names: list[str]) -> set[str]:
    found, open_names = set(names), list(names)
    while open_names:
        node = producers.get(open_names.pop())
        before = reads(node) - found if node else set()
        found |= before
        open_names.extend(before)
    return found


def _forget_containers(layers: dict[str, str]) -> None:
    """Takes out blocks that give what their last part gives: the part's name says more."""
    parts = {(path.rpartition("/")[0], tensor) for path, tensor in layers.items()}
    for path in sorted(layers, key=len, reverse=True):
        if (path, layers[path]) in parts:
            parts.add((path.rpartition("/")[0], layers[path]))
            del layers[path]


def _name_after_layers(graph: GraphProto, found: Anchors) -> None:
    fixed = {value.name for value in (*graph.input, *graph.output)}
    taken = {name for node in graph.node for name in node.output} | fixed | {w.name for w in graph.initializer}
    names: dict[str, str] = {}
    for layer, tensor in found.layers.items():
        if tensor not in names and tensor not in fixed and (layer == tensor or layer not in taken):
            names[tensor] = layer
    rename(graph, names)
    for places in (found.layers, found.vanished):
        places.update({layer: names.get(tensor, tensor) for layer, tensor in places.items()})


def _survivors(found: Anchors) -> dict[str, str]:
    """Vanished layers, each with the layer nearest to it, or the tensor where that has no layer's name."""
    layers = {tensor: layer for layer, tensor in reversed(found.layers.items())}
    return {layer: layers.get(tensor, tensor) for layer, tensor in found.vanished.items() if layer not in found.layers}
