"""Keras's names of layers in graphs that Keras 3 exported.

Keras 3 puts a number behind the scope of every layer: conv2d is traced as "conv2d_1" and conv2d_1 as "conv2d_1_2", so
that whoever asks for conv2d_1 would get the wrong layer. The variables still have the right names, which tells such a
graph from others; the numbers are taken off again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from onnxcam_converters.tensorflow.frozen import FrozenGraph

NUMBER = re.compile(r"_\d+$")


def keep_keras_names(function: Any, frozen: FrozenGraph) -> None:
    """Renames the nodes of a graph that Keras 3 exported after its layers; leaves others alone."""
    if not _is_numbered(_layers_of_variables(function), frozen.graph):
        return
    names = _without_numbers([node.name for node in frozen.graph.node])
    ends = {tensor.partition(":")[0] for tensor in (*frozen.inputs.values(), *frozen.outputs.values())}
    _rename(frozen.graph, {old: new for old, new in names.items() if old not in ends})


def _layers_of_variables(function: Any) -> dict[str, str]:
    """From placeholders of variables to the layers that own them: "unknown_3" to "conv2d_1"."""
    handles = {id(variable.handle): variable.name for variable in function.graph.variables}
    paths = {
        placeholder.op.name: handles.get(id(handle), "").partition(":")[0].split("/")
        for handle, placeholder in function.graph.captures
    }
    return {placeholder: path[-2] for placeholder, path in paths.items() if len(path) > 1}


def _is_numbered(layers: Mapping[str, str], graph: Any) -> bool:
    """Whether every variable is read in a scope that is its layer's name with a number behind it."""
    readers = list(_readers(layers, graph))
    return bool(readers) and all(
        layer not in scopes and any(NUMBER.sub("", scope) == layer for scope in scopes) for scopes, layer in readers
    )


def _readers(layers: Mapping[str, str], graph: Any) -> Iterator[tuple[list[str], str]]:
    """The scopes of each node that computes with a variable, and the layer that owns the variable."""
    owners = dict(layers)
    for node in graph.node:
        owner = next((owners[source] for source in node.input if source in owners), None)
        if owner is not None and node.op == "Identity":
            owners[node.name] = owner
        elif owner is not None:
            yield node.name.split("/")[:-1], owner


def _without_numbers(names: Iterable[str]) -> dict[str, str]:
    """The names without the numbers of their scopes, where two scopes side by side stay two."""
    paths = [tuple(name.split("/")) for name in names]
    scopes = {path[:length] for path in paths for length in range(1, len(path))}
    counts = Counter((scope[:-1], NUMBER.sub("", scope[-1])) for scope in scopes)

    def short(path: tuple[str, ...]) -> str:
        bare = [NUMBER.sub("", part) for part in path]
        unique = [counts[path[:depth], bare[depth]] == 1 for depth in range(len(path) - 1)]
        return "/".join([*(b if u else p for b, u, p in zip(bare, unique, path, strict=False)), path[-1]])

    return {"/".join(path): short(path) for path in paths}


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    for node in graph.node:
        node.name = names.get(node.name, node.name)
        for index, source in enumerate(node.input):
            control, name, port = re.fullmatch(r"(\^?)([^:]*)(:\d+)?", source).groups(default="")  # type: ignore[union-attr]
            node.input[index] = f"{control}{names.get(name, name)}{port}"
