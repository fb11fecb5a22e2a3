"""How many channels the blocks of a model hold that ONNX Runtime saved in the layout of one machine's processor."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Collection, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from onnx import NodeProto, TensorProto

from onnxcam.graph.adapters import Scope, refuse
from onnxcam.graph.contrib.block_flow import REMEDY

NARROW, WIDE = 8, 16


def size_of_blocks(nodes: Sequence[NodeProto], told: Collection[int], scope: Scope) -> int:
    """8 or 16: as told, or by the channels of the nodes' weights where they tell, else as the processor at hand has it.

    ONNX Runtime pads channels to whole blocks, so one count that is no multiple of 16 means 8. Where there is none the
    file itself is ambiguous: it means what this machine makes of it, for which alone ONNX Runtime intends such files.

    Raises:
        UnsupportedOperator: if neither can be told.
    """
    counts = {count for node in nodes for count in _padded(node, scope)}
    sizes = set(told) or ({NARROW} if any(count % WIDE for count in counts) else {block_of_this_machine()})
    size = max(sizes)
    if len(sizes) > 1 or size not in (NARROW, WIDE) or any(count % size for count in counts):
        raise _unreadable(nodes[0], scope)
    return size


def _padded(node: NodeProto, scope: Scope) -> list[int]:
    """The output channels of a convolution; they are whole blocks."""
    shape = scope.shape(node.input[1]) if node.op_type == "Conv" else None
    return [shape[0]] if shape and shape[0] else []


def _unreadable(node: NodeProto, scope: Scope) -> Exception:
    return refuse(node, scope, "the size of its blocks cannot be told here; " + REMEDY)


@cache
def block_of_this_machine() -> int:
    """The size that ONNX Runtime uses here, seen in a model that it saves; 0 if it has no blocks, or is missing."""
    if find_spec("onnxruntime") is None:
        return 0
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "blocked.onnx")
        onnxruntime.InferenceSession(_one_conv().SerializeToString(), options, providers=["CPUExecutionProvider"])
        saved = onnx.load(options.optimized_model_filepath)
    blocked = {name for node in saved.graph.node if node.domain == "com.microsoft.nchwc" for name in node.input[1:2]}
    return next((tensor.dims[0] for tensor in saved.graph.initializer if tensor.name in blocked), 0)


def _one_conv() -> onnx.ModelProto:
    """A convolution to 8 channels, which become 16 where blocks hold as many."""
    weights = onnx.numpy_helper.from_array(np.ones((NARROW, 3, 1, 1), np.float32), "w")
    x = onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])
    y = onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, NARROW, 4, 4])
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[1, 1])
    graph = onnx.helper.make_graph([node], "one", [x], [y], [weights])
    return onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 18)])
