"""Constants computed before anything runs, as far as they are small: shapes, axes, scales; never weights.

ONNX Runtime folds weights itself when it loads a model; done here it would only make the file grow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import onnx.helper
import onnx.numpy_helper
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto

from onnxcam.graph.adapters import Scope, constant_tensor
from onnxcam.graph.arithmetic import FOLDS, is_partial
from onnxcam.graph.walk import reads

LIMIT_BYTES = 65536  # of a constant that takes part
OPSET = 18
# Outputs that cost time when they are asked for and are often left unused.
OPTIONAL_OUTPUTS = frozenset({"BatchNormalization", "Dropout", "LayerNormalization", "MaxPool"})

Array = NDArray[Any]


def fold_constants(model: ModelProto) -> None:
    """Leaves no Constant nodes and no arithmetic on known shapes in the main graph.

    A dimension that is known counts even where others beside it are symbolic: of Shape(x) for x (N, 3, 224, 224) all
    but the first entry is known.
    """
    # A folded shape can make further shapes known: in nets ported from TensorFlow each Pad waits for the one before.
    while _fold_once(model) and any(node.op_type in ("Shape", "Size") for node in model.graph.node):
        pass


def drop_unused(model: ModelProto) -> None:
    """Leaves what the outputs need: nodes, initializers, types of tensors; all inputs stay."""
    graph = model.graph
    wanted = {info.name for info in graph.output}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if wanted.isdisjoint(node.output):
            del graph.node[index]
            continue
        wanted |= reads(node)
        while node.op_type in OPTIONAL_OUTPUTS and len(node.output) > 1 and node.output[-1] not in wanted:
            del node.output[-1]
    _keep(graph.initializer, lambda tensor: tensor.name in wanted)
    made = {name for node in graph.node for name in node.output}
    _keep(graph.value_info, lambda info: info.name in made)
    _keep(graph.quantization_annotation, lambda note: note.tensor_name in wanted | made)


def drop_unread_inputs(model: ModelProto, kept: Collection[str]) -> None:
    """Takes out the inputs that no node reads, but for those to be kept."""
    read = {name for node in model.graph.node for name in reads(node)}
    _keep(model.graph.input, lambda info: info.name in read or info.name in kept)


def _keep(items: Any, is_wanted: Callable[[Any], bool]) -> None:
    for index in reversed(range(len(items))):
        if not is_wanted(items[index]):
            del items[index]


def _fold_once(model: ModelProto) -> bool:
    """One pass from the inputs to the outputs; whether anything was folded."""
    graph, scope = model.graph, Scope(model, OPSET)
    defaults = {info.name for info in graph.input}
    outputs = {info.name for info in graph.output}
    known: dict[str, Array | None] = dict.fromkeys(defaults)
    kept: list[NodeProto] = []
    for node in graph.node:
        tensors = _folded(node, scope, known) if outputs.isdisjoint(node.output) else None
        if tensors is None:
            kept.append(node)
        else:
            graph.initializer.extend(tensors)
    if len(kept) == len(graph.node):
        return False
    del graph.node[:]
    graph.node.extend(kept)
    return True


def _folded(node: NodeProto, scope: Scope, known: dict[str, Array | None]) -> list[TensorProto] | None:
    """The node's outputs as constants; None when something in them is known only at run time."""
    if node.op_type == "Constant":
        tensor = constant_tensor(node)
        return None if tensor is None else [_named(tensor, node.output[0])]
    results = _results(node, scope, known)
    if results is None or len(results) != len(node.output):
        return None
    known.update(zip(node.output, results, strict=True))
    if any(map(is_partial, results)):
        return None
    pairs = zip(results, node.output, strict=True)
    return [onnx.numpy_helper.from_array(np.array(array, order="C"), name) for array, name in pairs]


def _results(node: NodeProto, scope: Scope, known: dict[str, Array | None]) -> Sequence[Array] | None:
    if node.domain or node.op_type not in (*FOLDS, "Shape", "Size"):
        return None
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type in ("Shape", "Size"):
        dims = scope.shape(node.input[0])
        return None if dims is None else _measured(node.op_type, dims, attributes)
    inputs = [_value(name, scope, known) if name else None for name in node.input]
    if any(name and array is None for name, array in zip(node.input, inputs, strict=True)):
        return None
    return FOLDS[node.op_type](inputs, attributes)


def _measured(op_type: str, dims: list[int | None], attributes: dict[str, Any]) -> list[Array] | None:
    if op_type == "Size":
        return [np.array(np.prod(dims, dtype=np.int64))] if None not in dims else None  # type: ignore[arg-type]
    part = dims[attributes.get("start", 0) : attributes.get("end", len(dims))]
    return [np.array(part, np.object_ if None in part else np.int64)]


def _value(name: str, scope: Scope, known: dict[str, Array | None]) -> Array | None:
    if name not in known:
        tensor = scope.constants.get(name)
        is_small = tensor is not None and np.prod(tensor.dims) * 8 <= LIMIT_BYTES
        known[name] = scope.array(name) if is_small else None
    return known[name]


def _named(tensor: TensorProto, name: str) -> TensorProto:
    renamed = TensorProto()
    renamed.CopyFrom(tensor)
    renamed.name = name
    return renamed
