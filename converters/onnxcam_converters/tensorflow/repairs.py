"""What tf2onnx does not do: ops that it lacks before it, weights and transposes that it leaves behind after it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

Arrays = dict[str, NDArray[Any]]
REDUCTIONS = frozenset(("ReduceMean", "ReduceMax", "ReduceSum"))


def spell_out_erfc(graph: Any) -> None:
    """Erfc(x) becomes 1 - Erf(x) in a GraphDef: tf2onnx 1.17 has no Erfc, which TensorFlow's gelu is made of."""
    for node in [node for node in graph.node if node.op == "Erfc"]:
        one, erf = graph.node.add(), graph.node.add()
        dtype = node.attr["T"].type
        one.name, one.op = f"{node.name}/one", "Const"
        one.attr["dtype"].type = dtype
        value = one.attr["value"].tensor
        value.dtype = dtype
        value.tensor_shape.SetInParent()
        value.float_val.append(1.0)
        erf.name, erf.op = f"{node.name}/erf", "Erf"
        erf.input.extend(node.input)
        erf.attr["T"].type = dtype
        node.op, node.input[:] = "Sub", [one.name, erf.name]


def put_back(model: ModelProto, arrays: Arrays) -> None:
    """Makes initializers of the inputs that stand for weights; those that are only rearranged are rearranged here."""
    graph = model.graph
    tensors = {f"{name}:0": array for name, array in arrays.items()}
    arrays.clear()
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in tensors:
            del graph.input[index]
    _rearrange(graph, tensors)
    wanted = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for name in list(tensors):
        array = tensors.pop(name)
        if name in wanted:
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))


def _rearrange(graph: GraphProto, tensors: Arrays) -> None:
    """Transposes and reshapes weights that are read in one way only: convolutions want (O, I, H, W)."""
    shapes = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.INT64}
    done: list[int] = []
    for index, node in enumerate(graph.node):
        if node.input and node.input[0] in tensors:
            moved = _rearranged(node, tensors[node.input[0]], shapes)
            if moved is not None:
                tensors[node.output[0]] = moved
                done.append(index)
    for index in reversed(done):
        del graph.node[index]


def _rearranged(node: NodeProto, array: NDArray[Any], shapes: dict[str, TensorProto]) -> NDArray[Any] | None:
    if node.op_type == "Identity":
        return array
    if node.op_type == "Transpose":
        return np.transpose(array, _perm(node))
    if node.op_type == "Reshape" and node.input[1] in shapes:
        return array.reshape(tuple(numpy_helper.to_array(shapes[node.input[1]])))
    return None


def cancel_transposes(graph: GraphProto) -> None:
    """Lets a tensor that was transposed and transposed back be read where it came from."""
    perms = {node.output[0]: (node.input[0], _perm(node)) for node in graph.node if node.op_type == "Transpose"}
    origins: dict[str, str] = {}
    for name, (between, perm) in perms.items():
        first, before = perms.get(between, ("", None))
        if perm is not None and before is not None and [before[axis] for axis in perm] == list(range(len(perm))):
            origins[name] = first
    for node in graph.node:
        for index, name in enumerate(node.input):
            while name in origins:
                name = origins[name]
            node.input[index] = name


def average_in_place(graph: GraphProto) -> None:
    """Takes the mean over space before a transpose instead of behind it: the layer itself is what is averaged then."""
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.INT64}
    for node in graph.node:
        before = producers.get(node.input[0]) if node.op_type in REDUCTIONS else None
        perm = _perm(before) if before is not None and before.op_type == "Transpose" else None
        if before is None or perm is None or len(node.input) < 2 or node.input[1] not in constants:
            continue
        axes = [axis % len(perm) for axis in numpy_helper.to_array(constants[node.input[1]]).tolist()]
        left = [perm[axis] for axis in range(len(perm)) if axis not in axes]
        if left == sorted(left) and any(a.name == "keepdims" and a.i == 0 for a in node.attribute):
            moved = numpy_helper.from_array(np.array(sorted(perm[axis] for axis in axes)), f"{node.output[0]}/axes")
            graph.initializer.append(moved)
            node.input[:] = [before.input[0], moved.name]


def _perm(node: NodeProto) -> list[int] | None:
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
