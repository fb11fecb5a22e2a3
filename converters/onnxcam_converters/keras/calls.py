"""Reads how a layer is called, from the inbound nodes of every era: tensors by reference, anything else by value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from onnxcam_converters.keras.specs import Call, Ref, Spec

CONSTANT = "_CONSTANT_VALUE"
# Layers of TensorFlow's functions keep a list of one tensor apart from the tensor.
KEEP_STRUCTURE = frozenset(("TFOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty", "SlicingOpLambda"))


def parse_call(node: Any, spec: Spec) -> Call:
    """The call that one inbound node describes."""
    if isinstance(node, Mapping) and "args" in node:
        given = {name: decoded(value) for name, value in node.get("kwargs", {}).items()}
        return Call(tuple(decoded(value) for value in node["args"]), given)
    kwargs: dict[str, Any] = {}
    first = _inputs(node, kwargs)
    if isinstance(first, list) and len(first) == 1 and spec.kind not in KEEP_STRUCTURE:
        first = first[0]
    return Call((first,), kwargs)


def _inputs(node: Any, kwargs: dict[str, Any]) -> Any:
    """The first argument; each tensor in it may carry the further ones, which go to `kwargs`."""
    if isinstance(node, Mapping):
        return {name: _inputs(value, kwargs) for name, value in node.items()}
    if isinstance(node, list) and len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int):
        kwargs.update({name: argument(value) for name, value in (node[3] if len(node) > 3 else {}).items()})
        return argument(node[:3])
    return [_inputs(value, kwargs) for value in node]


def argument(value: Any) -> Any:
    """A further argument of Keras 2, in which ["name", 0, 0] is a tensor."""
    if isinstance(value, list):
        if len(value) >= 3 and value[0] == CONSTANT:
            return value[2]
        if is_reference(value):
            return Ref(value[0], value[1], value[2])
        return [argument(entry) for entry in value]
    return {name: argument(entry) for name, entry in value.items()} if isinstance(value, Mapping) else value


def is_reference(value: Any) -> bool:
    """Whether this is ["layer", node, tensor]."""
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and isinstance(value[0], str)
        and all(isinstance(index, int) for index in value[1:])
    )


def references(value: Any) -> Any:
    """The tensors of `input_layers` and `output_layers`, nested as they are there."""
    if is_reference(value):
        return Ref(*value)
    if isinstance(value, Mapping):
        return {name: references(entry) for name, entry in value.items()}
    return [references(entry) for entry in value]


def tensors_of(value: Any) -> Iterator[Ref]:
    """Every tensor in a nest, in order."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from tensors_of(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors_of(entry)


def decoded(value: Any) -> Any:
    """An argument of Keras 3: what stands for tensors, arrays, slices and tuples is marked by a class name."""
    if isinstance(value, list):
        return [decoded(entry) for entry in value]
    if not isinstance(value, Mapping):
        return value
    config = value.get("config")
    match value.get("class_name"):
        case "__keras_tensor__":
            return Ref(*value["config"]["keras_history"])
        case "__tuple__":
            return tuple(decoded(entry) for entry in value["items"])
        case "__numpy__" | "__tensor__" if isinstance(config, Mapping):
            return np.asarray(config["value"], config["dtype"])
        case "__slice__" if isinstance(config, Mapping):
            return slice(*(decoded(config[key]) for key in ("start", "stop", "step")))
        case "__ellipsis__":
            return Ellipsis
        case "DTypePolicy" if isinstance(config, Mapping):
            return config["name"]
    return {name: decoded(entry) for name, entry in value.items()}
