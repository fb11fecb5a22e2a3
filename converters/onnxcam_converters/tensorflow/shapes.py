"""Shapes that tf2onnx computes at run time although only the batch is open, as constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxcam.graph import drop_unused

BATCHES = (2, 3)
# Types of what shapes are made of; weights are other ones.
COUNTS = (TensorProto.INT64, TensorProto.INT32)
Dims = dict[str, list[int | None]]


def fix_reshapes(model: ModelProto) -> None:
    """Reshape to (batch, known, ...), whose shape is computed at run time, gets the constant [-1, known, ...]."""
    del model.graph.value_info[:]
    producers = {name: node for node in model.graph.node for name in node.output}
    dims: Dims | None = None
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.input[1] in producers:
            dims = _known_dims(model) if dims is None else dims
            found = [_evaluate(model.graph, producers, node.input[1], dims=dims, batch=batch) for batch in BATCHES]
            shape = _shape_of_any_batch(*found)
            if shape is not None:
                constant = numpy_helper.from_array(shape, f"{node.output[0]}/shape")
                model.graph.initializer.append(constant)
                node.input[1] = constant.name
    drop_unused(model)


def _shape_of_any_batch(two: NDArray[Any] | None, three: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """The shape with -1 for the first dimension where only that follows the batch."""
    if two is None or three is None or two.shape != three.shape or not np.array_equal(two[1:], three[1:]):
        return None
    if np.array_equal(two, three):
        return np.asarray(two, np.int64)
    return np.array([-1, *two[1:]], np.int64) if np.all(two[1:] > 0) else None


def _evaluate(
    graph: GraphProto, producers: dict[str, NodeProto], name: str, *, dims: Dims, batch: int
) -> NDArray[Any] | None:
    """The tensor for a batch of that many; None where it depends on more than that."""
    nodes: list[NodeProto] = []
    constants: dict[str, TensorProto] = {}
    open_names = [name]
    known = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type in COUNTS}
    while open_names:
        wanted = open_names.pop()
        node = producers.get(wanted)
        if wanted in known:
            constants[wanted] = known[wanted]
        elif node is not None and node.op_type == "Shape" and not node.attribute and node.input[0] in dims:
            measured = [batch if dim is None else dim for dim in dims[node.input[0]]]
            constants[wanted] = numpy_helper.from_array(np.array(measured, np.int64), wanted)
        elif node is None or node.op_type == "Shape":
            return None
        elif node not in nodes:
            nodes.append(node)
            open_names.extend(name for name in node.input if name)
    order = [node for node in graph.node if node in nodes]
    output = onnx.helper.make_value_info(name, onnx.TypeProto())
    part = onnx.helper.make_graph(order, "shape", [], [output], list(constants.values()))
    model = onnx.helper.make_model(part, opset_imports=[onnx.helper.make_opsetid("", 18)])
    return np.asarray(ReferenceEvaluator(model).run(None, {})[0])


def _known_dims(model: ModelProto) -> Dims:
    """The dimensions of tensors of which at most the first, None, is open."""
    inferred = onnx.shape_inference.infer_shapes(_without_weights(model), data_prop=True).graph
    found: Dims = {}
    for info in (*inferred.value_info, *inferred.output, *inferred.input):
        dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in info.type.tensor_type.shape.dim]
        if info.type.tensor_type.HasField("shape") and None not in dims[1:]:
            found[info.name] = dims
    return found


def _without_weights(model: ModelProto) -> ModelProto:
    """The model with inputs instead of its weights: what shapes depend on is small."""
    graph = model.graph
    small = [tensor for tensor in graph.initializer if tensor.data_type in COUNTS]
    bare = onnx.helper.make_graph(graph.node, graph.name, graph.input, graph.output, small)
    for tensor in graph.initializer:
        if tensor.data_type not in COUNTS:
            bare.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return onnx.helper.make_model(bare, opset_imports=model.opset_import, ir_version=model.ir_version)
