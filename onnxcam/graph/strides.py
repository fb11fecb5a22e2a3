"""PyTorch's as_strided, as its exporter writes it: flatten, then gather all elements in order into the same shape."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto

from onnxcam.graph.adapters import Scope, take

OPSET = 18


def straighten(model: ModelProto) -> None:
    """Turns a Gather of all elements of a flattened tensor in their order into the Reshape that it is.

    The exporter writes global average pooling so (torch 2.13), which would tie the model to a batch of one.
    """
    scope = Scope(model, OPSET)
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        flat = producers.get(node.input[0]) if node.op_type == "Gather" else None
        if flat is None or flat.op_type != "Reshape" or not _is_all_in_order(node, flat, scope):
            continue
        shape = scope.shape(node.input[1]) or []
        take(node, "axis")
        node.op_type = "Reshape"
        node.input[0] = flat.input[0]
        node.input[1] = scope.constant(np.array(shape, np.int64), f"{node.name or node.output[0]}/shape")


def _is_all_in_order(gather: NodeProto, flat: NodeProto, scope: Scope) -> bool:
    target, indices, sizes = scope.array(flat.input[1]), scope.array(gather.input[1]), scope.shape(flat.output[0])
    if target is None or target.tolist() != [-1] or indices is None or sizes != [indices.size]:
        return False
    return bool((indices.reshape(-1) == np.arange(indices.size)).all())
