"""A model in float64 instead of its own precision, so that differences of it are exact to ten digits."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import onnx.helper
import onnx.inliner
import onnx.numpy_helper
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
# Attributes that name a type; those of computation in higher precision (stash_type) among them.
TYPE_ATTRIBUTES = ("dtype", "output_datatype", "output_dtype", "softmax_precision", "stash_type", "to")


def as_double(model: ModelProto, keep: Collection[str] = ()) -> ModelProto:
    """A copy in which every float tensor, declared, constant or cast to, is of float64, but for the inputs to keep."""
    wide = ModelProto()
    wide.CopyFrom(model)
    _widen_graph(wide.graph)
    for info, given in zip(wide.graph.input, model.graph.input, strict=True):
        if info.name in keep:
            info.CopyFrom(given)
    for function in wide.functions:
        for node in function.node:
            _widen_node(node)
    return wide


def with_bodies(model: ModelProto) -> ModelProto:
    """The model with every op that has a body of simpler ones replaced by it, as ONNX itself does that."""
    return onnx.inliner.inline_selected_functions(model, [], exclude=True, inline_schema_functions=True)


class _WideNumpy(ModuleType):
    """numpy, in which float32 has 64 bits."""

    float32 = np.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


@contextmanager
def evaluating_in_double() -> Iterator[None]:
    """Within it, ONNX's reference evaluator does in float64 what its code casts to float32."""
    wide = _WideNumpy("numpy")
    modules = [m for name, m in sys.modules.items() if name.startswith("onnx.reference.ops.")]
    changed = [module for module in modules if getattr(module, "np", None) is np]
    for module in changed:
        vars(module)["np"] = wide
    try:
        yield
    finally:
        for module in changed:
            vars(module)["np"] = np


def as_array(value: Any) -> Any:
    """The tensor in float64 where it is of floats, as it is otherwise."""
    is_narrow = isinstance(value, np.ndarray) and value.dtype.name in ("float16", "bfloat16", "float32")
    return value.astype(np.float64) if is_narrow else value


def _widen_graph(graph: GraphProto) -> None:
    for info in (*graph.input, *graph.output, *graph.value_info):
        _widen_type(info.type)
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        if node.op_type == "ConstantOfShape" and not node.attribute:
            node.attribute.append(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(np.zeros(1))))
        _widen_node(node)


def _widen_type(kind: TypeProto) -> None:
    if kind.HasField("sequence_type"):
        _widen_type(kind.sequence_type.elem_type)
    elif kind.HasField("optional_type"):
        _widen_type(kind.optional_type.elem_type)
    elif kind.tensor_type.elem_type in FLOATS:
        kind.tensor_type.elem_type = TensorProto.DOUBLE


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in FLOATS:
        array = onnx.numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def _widen_node(node: NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            _widen_tensor(attribute.t)
        elif attribute.name in TYPE_ATTRIBUTES and attribute.i in FLOATS:
            attribute.i = TensorProto.DOUBLE
        elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            numbers = np.array(onnx.helper.get_attribute_value(attribute), np.float64)
            attribute.CopyFrom(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(numbers)))
        for graph in _graphs(attribute):
            _widen_graph(graph)


def _graphs(attribute: AttributeProto) -> Iterator[GraphProto]:
    if attribute.type == AttributeProto.GRAPH:
        yield attribute.g
    yield from attribute.graphs
