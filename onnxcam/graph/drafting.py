"""Adapters written with values: what a function writes on a tape of its own, as the nodes in another's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx.helper
import onnx.numpy_helper
from onnx import GraphProto, ModelProto, NodeProto, TypeProto

from onnxcam.graph.adapters import Scope, refuse
from onnxcam.graph.folding import drop_unused
from onnxcam.graph.shapes import IR_VERSION, OPSET, is_small
from onnxcam.graph.tape import Tape
from onnxcam.graph.value import Value


def drafted(node: NodeProto, scope: Scope, write: Callable[..., Value]) -> list[NodeProto]:
    """The nodes that `write`, given the node's inputs as values (None for one left out), makes its output by.

    Raises:
        UnsupportedOperator: if the type or the rank of an input is unknown.
    """
    tape = Tape(ModelProto(ir_version=IR_VERSION, opset_import=[onnx.helper.make_opsetid("", OPSET)]))
    values = {name: _entered(tape, name, node, scope) for name in dict.fromkeys(node.input) if name}
    result = write(*(values.get(name) for name in node.input))
    tape.model.graph.output.append(onnx.helper.make_empty_tensor_value_info(result.name))
    drop_unused(tape.model)
    return _moved(tape.model.graph, node, scope, set(values))


def _entered(tape: Tape, name: str, node: NodeProto, scope: Scope) -> Value:
    """The tensor of the model as an input of the tape, or as a constant where it is one that may hold a shape."""
    known = scope.constants.get(name)
    if known is not None and is_small(known):
        return tape.add_constant(known)
    kind = scope.types.get(name) or onnx.helper.make_tensor_type_proto(scope.element_type(name), scope.shape(name))
    if not kind.tensor_type.elem_type or not kind.tensor_type.HasField("shape"):
        raise refuse(node, scope, f"the shape of {name!r}, which it reads, is unknown")
    return _declared(tape, name, kind)


def _declared(tape: Tape, name: str, kind: TypeProto) -> Value:
    info = onnx.helper.make_value_info(name, kind)
    tape.model.graph.input.append(info)
    tape.types[name] = tape.model.graph.input[-1].type
    tape.names.take(name)
    return tape.value(name)


def _moved(graph: GraphProto, node: NodeProto, scope: Scope, given: Sequence[str] | set[str]) -> list[NodeProto]:
    """The nodes of the graph, their tensors called as fits the model around the node."""
    stem, names = node.name or node.output[0], {name: name for name in given}
    for tensor in graph.initializer:
        if tensor.name not in names:
            names[tensor.name] = scope.constant(onnx.numpy_helper.to_array(tensor), f"{stem}/constant")
    names[graph.output[0].name] = node.output[0]
    for inner in graph.node:
        for index, name in enumerate(inner.input):
            inner.input[index] = names.get(name, name)
        for index, name in enumerate(inner.output):
            inner.output[index] = names.setdefault(name, scope.names.fresh(f"{stem}/{inner.op_type}"))
        inner.name = ""
    return list(graph.node)
