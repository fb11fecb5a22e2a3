"""Padding that ONNX Runtime would get wrong."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from onnxcam.graph.walk import Names


def protect_pads(model: ModelProto) -> None:
    """Pads in front of MaxPool are filled with -0.0 instead of 0.

    ONNX Runtime (1.31, every opset) makes Pad and MaxPool one MaxPool, whose own padding is minus infinity; it leaves
    a fill that is not exactly 0 alone.
    """
    graph, names = model.graph, Names(model.graph)
    pooled = {node.input[0] for node in graph.node if node.op_type == "MaxPool"}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Pad" or node.output[0] not in pooled or not _is_zero(node, constants):
            continue
        given = constants.get(node.input[2]) if len(node.input) > 2 else None
        dtype = numpy_helper.to_array(given).dtype if given is not None else np.dtype(np.float32)
        fill = numpy_helper.from_array(np.array(-0.0, dtype), names.fresh(f"{node.output[0]}/fill"))
        graph.initializer.append(fill)
        node.input[2:3] = [fill.name]


def _is_zero(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    mode = next((attribute.s for attribute in node.attribute if attribute.name == "mode"), b"constant")
    if mode != b"constant" or len(node.input) < 3 or not node.input[2]:
        return bool(mode == b"constant")
    fill = constants.get(node.input[2])
    return fill is not None and bool(np.all(numpy_helper.to_array(fill) == 0))
