"""Names that a model's author knows: module paths, read from what the exporters leave in the file."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

from onnxcam.facts import author_facts
from onnxcam.graph import Node, Tape, Value

# PyTorch's dynamo exporter: a list of module paths, outermost first, the last one the call's own name.
DYNAMO_SCOPES = "pkg.torch.onnx.name_scopes"
RENAMING = frozenset(("Identity", "Dropout"))


def name_layers(tape: Tape, values: Sequence[Value]) -> dict[Value, str]:
    """A name for each tensor: its author's, else the outermost module path whose output it is, else its own.

    Of several as deep the first: what follows (Dropout, Identity) has only passed the tensor on.
    """
    names = {value: value.name for value in values}
    for known in (aliases(values), facts(tape, values)):
        last_first = list(known.items())[::-1]
        for path, tensor in sorted(last_first, key=lambda item: -depth(item[0])):
            names[tape.value(tensor)] = path
    return names


def depth(path: str) -> int:
    """How many modules the path leads through."""
    return path.count(".") + path.count("/")


def known_names(tape: Tape, values: Sequence[Value]) -> dict[str, str]:
    """For each name that the author knows the tensor it stands for; what the file says goes before what nodes do."""
    return aliases(values) | facts(tape, values)


def facts(tape: Tape, values: Sequence[Value]) -> dict[str, str]:
    """The names that the file gives to these tensors, and to those that are the same."""
    known, wanted = _mapping(tape, "layers"), set(values)
    found = {name: _same(tape.value(tensor), wanted) for name, tensor in known.items()}
    return {name: value.name for name, value in found.items() if value is not None}


def vanished(tape: Tape) -> dict[str, str]:
    """For each layer that left no tensor behind the nearest that did."""
    return _mapping(tape, "vanished")


def _mapping(tape: Tape, fact: str) -> dict[str, str]:
    """What the file says under that heading; empty where it is no object of names."""
    known = author_facts(tape.model).get(fact)
    return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}


def _same(value: Value, wanted: Collection[Value]) -> Value | None:
    """The tensor itself where it is wanted, else the one that it is but another name for."""
    while value not in wanted:
        producer = value.producer
        if producer is None or producer.op_type not in RENAMING:
            return None
        value = producer.x
    return value


def aliases(values: Sequence[Value]) -> dict[str, str]:
    """For each module path the tensor that the module gives: the last of those computed inside it.

    Args:
        values: in the order in which they are computed.
    """
    return {path: value.name for value in values if value.producer for path in module_paths(value.producer)}


def module_paths(node: Node) -> list[str]:
    """The modules that the node belongs to, outermost first: ["layer4", "layer4.1", "layer4.1.conv2"]."""
    scopes = node.metadata.get(DYNAMO_SCOPES)
    return _from_dynamo(scopes) if scopes else _from_slashes(node.name)


def _from_dynamo(text: str) -> list[str]:
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return []
    return [str(path) for path in scopes[:-1] if path] if isinstance(scopes, list) else []


def _from_slashes(name: str) -> list[str]:
    """From "/layer4/layer4.1/conv2/Conv" of TorchScript, or "model/block5_conv3/Relu" of TensorFlow."""
    separator = "." if name.startswith("/") else "/"
    paths: list[str] = []
    for segment in name.strip("/").split("/")[:-1]:
        outer = paths[-1] if paths else ""
        paths.append(segment if not outer or segment.startswith(outer + ".") else f"{outer}{separator}{segment}")
    return paths
