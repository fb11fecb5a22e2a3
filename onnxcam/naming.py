"""Names that a model's author knows: module paths, read from what the exporters leave in the file."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from onnxcam.graph import Node, Value

# PyTorch's dynamo exporter: a list of module paths, outermost first, the last one the call's own name.
DYNAMO_SCOPES = "pkg.torch.onnx.name_scopes"


def name_layers(values: Sequence[Value]) -> dict[Value, str]:
    """A name for each tensor: the shortest module path whose output it is, else its own."""
    names = {value: value.name for value in values}
    for path, tensor in sorted(aliases(values).items(), key=lambda item: -len(item[0])):
        value = next(iter(values)).tape.value(tensor)
        names[value] = path
    return names


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
