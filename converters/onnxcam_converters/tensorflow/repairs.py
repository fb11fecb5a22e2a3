"""What tf2onnx does not do: ops that it lacks before it, weights and transposes that it leaves behind after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

Weights = dict[str, Callable[[], NDArray[Any]]]
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


def put_back(model: ModelProto, weights: Weights) -> None:
    """Makes initializers of the inputs that stand for weights, one at a time; rearranges them where that is all.

    Args:
        model: changed in place.
        weights: by the name of the placeholder; is emptied.
    """
    graph = model.graph
    stand_ins = {f"{name}:0" for name in weights}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in stand_ins:
            del graph.input[index]
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    shapes = {w.name: numpy_helper.to_array(w) for w in graph.initializer if w.data_type == TensorProto.INT64}
    done: set[str] = set()
    for name in list(weights):
        _put(graph, f"{name}:0", weights.pop(name)(), readers=readers, shapes=shapes, done=done)
    for index in reversed(range(len(graph.node))):
        if graph.node[index].output[0] in done:
            del graph.node[index]


def _put(
    graph: GraphProto,
    name: str,
    array: NDArray[Any],
    *,
    readers: dict[str, list[NodeProto]],
    shapes: dict[str, NDArray[Any]],
    done: set[str],
) -> None:
    """One weight, under its name and in the forms that nodes give it: convolutions want it as (O, I, H, W)."""
    is_read = False
    for node in readers.get(name, ()):
        moved = _rearranged(node, array, shapes) if node.input[0] == name else None
        is_read |= moved is None
        if moved is not None:
            done.add(node.output[0])
            _put(graph, node.output[0], moved, readers=readers, shapes=shapes, done=done)
    if is_read:
        tensor = graph.initializer.add()
        tensor.name, tensor.data_type = name, helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.dims.extend(array.shape)
        tensor.raw_data = array.tobytes()


def _rearranged(node: NodeProto, array: NDArray[Any], shapes: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
    if node.op_type == "Identity":
        return array
    if node.op_type == "Transpose":
        return np.transpose(array, _perm(node))
    if node.op_type == "Reshape" and node.input[1] in shapes:
        return array.reshape(tuple(shapes[node.input[1]]))
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
