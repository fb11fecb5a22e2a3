"""Variables of a concrete function, settled in its graph without a copy of the big ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import (
    _run_inline_graph_optimization as inlined,  # what TensorFlow's own freezing begins with
)

Weights = dict[str, Callable[[], NDArray[Any]]]
READING = frozenset(("Identity", "ReadVariableOp"))


def settle_variables(function: Any, is_weight: Callable[[Any, Any], bool]) -> tuple[Any, Weights] | None:
    """The function's graph, functions inlined: variables are constants, or placeholders where they are weights.

    None where variables are used in another way than being read.

    Args:
        function: a ConcreteFunction.
        is_weight: from shape and type to whether the variable is kept out of the graph.
    """
    values = _captured(function)
    graph = inlined(function, lower_control_flow=True, aggressive_inlining=False)
    if values is None or not _let_values_through(graph, values):
        return None
    weights: Weights = {}
    for node in graph.node:
        if node.name not in values:
            continue
        value = values[node.name]
        del node.input[:]
        if is_weight(value.shape, value.dtype):
            weights[node.name] = value.numpy
            node.op = "Placeholder"
            node.attr["shape"].shape.CopyFrom(value.shape.as_proto())
        else:
            node.op = "Const"
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.numpy(), value.dtype))
            del node.attr["shape"]
        node.attr["dtype"].type = value.dtype.as_datatype_enum
        _forget_remarks(node)
    return graph, weights


def _captured(function: Any) -> dict[str, Any] | None:
    """From placeholders to what is captured in them, variables and tensors; None where that is anything else."""
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    values: dict[str, Any] = {}
    for captured, placeholder in function.graph.captures:
        value = variables.get(id(captured), captured)
        if value.dtype in (tf.resource, tf.variant):
            return None
        values[placeholder.op.name] = value
    return values


def _let_values_through(graph: Any, values: Mapping[str, Any]) -> bool:
    """Makes what reads a variable hand on its value. False where an op does more with it; the graph is spoiled then."""
    if any(node.op in ("VariableV2", "VarHandleOp") for node in graph.node):
        return False
    resources = {node.name for node in graph.node if node.attr["dtype"].type == tf.resource.as_datatype_enum}
    owners = {name: value for name, value in values.items() if name in resources}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for source in node.input:
            readers.setdefault(source.partition(":")[0], []).append(node)
    open_names = list(owners)
    while open_names:
        name = open_names.pop()
        for node in readers.get(name, ()):
            if node.op not in READING:
                return False
            if node.op == "Identity":
                owners[node.name] = owners[name]
                open_names.append(node.name)
            node.op = "Identity"
            node.attr["T"].type = owners[name].dtype.as_datatype_enum
            del node.attr["dtype"]
            _forget_remarks(node)
    return True


def _forget_remarks(node: Any) -> None:
    """Takes out what was noted of a node while it was something else."""
    for key in [key for key in node.attr if key.startswith("_")]:
        del node.attr[key]
