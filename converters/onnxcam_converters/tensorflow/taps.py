"""Layers' tensors kept in sight of tf2onnx by one extra output.

One output for each layer would do, too; but each of tf2onnx's passes walks the whole graph once for every output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from onnx import ModelProto

from onnxcam_converters.tensorflow.frozen import FrozenGraph

NAME = "onnxcam_taps"
DTYPE = tf.float32.as_datatype_enum


def expose(frozen: FrozenGraph) -> list[str]:
    """Adds an output that is made of the maximum of every tapped tensor; its name."""
    if not frozen.taps:
        return []
    graph, nodes = frozen.graph, {node.name: node for node in frozen.graph.node}
    for rank in {tap.rank for tap in frozen.taps.values()}:
        axes = _add(graph, f"{NAME}/axes_{rank}", "Const", [])
        axes.attr["dtype"].type = tf.int32.as_datatype_enum
        axes.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(list(range(rank)), tf.int32))
    for number, tap in enumerate(frozen.taps.values()):
        dtype = _dtype(nodes[tap.tensor.partition(":")[0]])
        greatest = _add(graph, f"{NAME}/max_{number}", "Max", [tap.tensor, f"{NAME}/axes_{tap.rank}"])
        greatest.attr["T"].type, greatest.attr["Tidx"].type = dtype, tf.int32.as_datatype_enum
        greatest.attr["keep_dims"].b = False
        cast = _add(graph, f"{NAME}/cast_{number}", "Cast", [greatest.name])
        cast.attr["SrcT"].type, cast.attr["DstT"].type = dtype, DTYPE
    pack = _add(graph, NAME, "Pack", [f"{NAME}/cast_{number}" for number in range(len(frozen.taps))])
    pack.attr["T"].type, pack.attr["N"].i, pack.attr["axis"].i = DTYPE, len(frozen.taps), 0
    return [f"{NAME}:0"]


def exposed(model: ModelProto, frozen: FrozenGraph, extra: Sequence[str]) -> list[tuple[str, str]]:
    """Of every layer the tensor whose maximum was taken, and its name."""
    if not extra:
        return []
    producers = {name: node for node in model.graph.node for name in node.output}
    end = producers[extra[0]]
    found = []
    for name, layer in zip(end.input if end.op_type == "Concat" else [extra[0]], frozen.taps, strict=True):
        node = producers[name]
        while node.op_type != "ReduceMax":
            node = producers[node.input[0]]
        found.append((node.input[0], layer))
    return found


def _add(graph: Any, name: str, op: str, inputs: Sequence[str]) -> Any:
    node = graph.node.add()
    node.name, node.op = name, op
    node.input.extend(inputs)
    return node


def _dtype(node: Any) -> int:
    return int(next(node.attr[key].type for key in ("T", "dtype", "DstT", "out_type", "Tout") if key in node.attr))
