"""What the modules inside a TorchScript program give, read off the names of nodes: "/layer4/0/conv2/Conv"."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx_ir as ir

from onnxcam_converters.torch.cleaning import reads


def ends_of_scopes(graph: ir.Graph, paths: Collection[str]) -> dict[str, ir.Value]:
    """For each module path what is computed inside and used outside; of several values the last."""
    known = set(paths)
    within = {node: set(enclosing(str(node.name), known)) for node in graph}
    outputs = set(graph.outputs)
    found: dict[str, ir.Value] = {}
    users: dict[ir.Value, set[ir.Node]] = {}
    for node in graph:
        for value in reads(node):
            users.setdefault(value, set()).add(node)
    for node in graph:
        for value in node.outputs:
            outside = [within[user] for user in users.get(value, ())] + [set() for _ in outputs & {value}]
            found |= {path: value for path in within[node] if any(path not in other for other in outside)}
    return found


def enclosing(name: str, known: Collection[str]) -> Iterator[str]:
    """The module paths around a node, outermost first: parts of its name are whole paths, or continue the last."""
    path = ""
    for part in name.strip("/").split("/")[:-1]:
        path = part if not path or part.startswith(f"{path}.") else f"{path}.{part}"
        if path in known:
            yield path
