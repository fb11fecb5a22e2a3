"""Types and shapes of a model's tensors, by ONNX's own inference."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import onnx
import onnx.defs
import onnx.helper
import onnx.shape_inference
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto

OPSET = 18
IR_VERSION = 10
# Larger constants hold weights, never shapes: inference needs their type, not their data.
SMALL_BYTES = 4096


def infer_types(model: ModelProto) -> dict[str, TypeProto]:
    """The type of every tensor of the main graph that ONNX can infer, by name."""
    inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True).graph
    types = {info.name: info.type for info in (*inferred.value_info, *inferred.input, *inferred.output)}
    return types | {tensor.name: tensor_type(tensor) for tensor in model.graph.initializer}


def skeleton(model: ModelProto) -> ModelProto:
    """The model without the data of its large constants, so that inference does not copy the weights."""
    bare = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph = GraphProto(name="skeleton", node=model.graph.node, input=model.graph.input, output=model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    graph.initializer.extend(map(without_data, model.graph.initializer))
    bare.graph.CopyFrom(graph)
    return bare


def is_small(tensor: TensorProto) -> bool:
    """Whether a constant may hold a shape, so that inference wants its elements."""
    return int(prod(tensor.dims)) <= SMALL_BYTES


def without_data(tensor: TensorProto) -> TensorProto:
    """The tensor itself when it is small, else one of its name, type and shape that is empty."""
    if len(tensor.raw_data) <= SMALL_BYTES and tensor.ByteSize() <= 2 * SMALL_BYTES:
        return tensor
    return TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)


def tensor_type(tensor: TensorProto) -> TypeProto:
    """The type of a constant: every dimension known."""
    return onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))


def infer_outputs(
    node: NodeProto, types: Mapping[str, TypeProto], constants: Mapping[str, TensorProto]
) -> dict[str, TypeProto]:
    """The types of one node's outputs, from those of its inputs; empty where ONNX has no say."""
    if node.domain:  # ONNX knows the ops of its own domain only
        return {}
    schema = onnx.defs.get_schema(node.op_type, OPSET)
    known = {name: types[name] for name in node.input if name in types}
    data = {name: constants[name] for name in node.input if name in constants and is_small(constants[name])}
    opset = onnx.helper.make_opsetid(node.domain, OPSET)
    return onnx.shape_inference.infer_node_outputs(schema, node, known, data, opset_imports=[opset])
