"""The pass that puts equivalents in the place of ONNX Runtime's own ops.

ONNX Runtime's optimiser writes such ops into the models it saves, and its tools for transformers and quantisation do.
As nodes of the default domain they have gradients and inferred shapes and run in other runtimes; ONNX Runtime joins
them again when it loads the result.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx.helper
import onnx.shape_inference
from onnx import GraphProto, ModelProto, NodeProto, TypeProto

from onnxcam.graph.adapters import Scope, give, inherit, refuse
from onnxcam.graph.contrib import (  # noqa: F401  (the modules fill the registry)
    activations,
    attention,
    blocked,
    convolution,
    cropping,
    embedding,
    linear,
    normalization,
    plain,
    quantized_weights,
    softmax,
)
from onnxcam.graph.contrib.block_flow import BLOCKED, follow_blocks
from onnxcam.graph.contrib.blocks import size_of_blocks
from onnxcam.graph.contrib.registry import EQUIVALENTS, UnknownYet, equivalent
from onnxcam.graph.contrib.transposes import cancel_transposes
from onnxcam.graph.shapes import infer_outputs, tensor_type
from onnxcam.graph.walk import all_graphs, all_nodes, bodies

OPSET = 18
MICROSOFT = "com.microsoft"
DOMAINS = {MICROSOFT, BLOCKED}
# Ops that ONNX Runtime has in the default domain though ONNX does not, or not any more.
ADOPTED = frozenset(
    "Affine Crop DynamicSlice ImageScaler ParametricSoftplus Scale ScaledTanh SimplifiedLayerNormalization".split()
)

# Where the data come among the inputs of integer ops, which are float ones later: nobody infers their types.
DATA = {
    "QLinearAdd": (0, 3), "QLinearAveragePool": (0,), "QLinearConcat": (2,), "QLinearGlobalAveragePool": (0,),
    "QLinearLeakyRelu": (0,), "QLinearMul": (0, 3), "QLinearSigmoid": (0,), "QLinearSoftmax": (0,),
    "QLinearWhere": (1, 4),
}  # fmt: skip


def adopt(model: ModelProto) -> None:
    """Moves ONNX Runtime's own ops of the default domain to the one where they belong; tells blocked ones their blocks.

    Raises:
        UnsupportedOperator: if the model is in blocks, and of how many channels cannot be known.
    """
    for node in all_nodes(model.graph):
        if not node.domain and node.op_type in ADOPTED:
            node.domain = MICROSOFT
    blocked_nodes = [node for node in all_nodes(model.graph) if node.domain == BLOCKED]
    if blocked_nodes:
        scope = Scope(model, OPSET)
        told = {size for graph in all_graphs(model.graph) for size in follow_blocks(graph, scope)}
        block = size_of_blocks(blocked_nodes, told, scope)
        for node in blocked_nodes:
            give(node, "block", block)


def lower_contrib(model: ModelProto) -> None:
    """Leaves the model, at opset 18 already, without ops that have an equivalent; others stay.

    Raises:
        UnsupportedOperator: for a node of which the equivalent does not cover an attribute, an input or an output.
    """
    if not any(_key(node) in EQUIVALENTS for node in all_nodes(model.graph)):
        return
    waited = 0
    while waiting := _lower_once(model):
        if len(waiting) == waited:
            node, reason, scope = waiting[0]
            raise refuse(node, scope, reason)
        waited = len(waiting)
    cancel_transposes(model)


def _key(node: NodeProto) -> str:
    """The name in the registry; "" for ops of other domains."""
    if node.domain == BLOCKED:
        return f"nchwc.{node.op_type}"
    return node.op_type if node.domain == MICROSOFT else ""


def _lower_once(model: ModelProto) -> list[tuple[NodeProto, str, Scope]]:
    """One pass from the inputs to the outputs; the nodes that wait for types, and why."""
    scope = Scope(model, OPSET)
    return [item for graph in all_graphs(model.graph) for item in _lower_graph(graph, scope)]


def _lower_graph(graph: GraphProto, scope: Scope) -> Iterator[tuple[NodeProto, str, Scope]]:
    nodes: list[NodeProto] = []
    for node in graph.node:
        entry = EQUIVALENTS.get(_key(node))
        new = [node]
        if entry is not None:
            try:
                new = equivalent(entry, node, scope)
                inherit(new, node, scope)
            except UnknownYet as unknown:
                yield node, unknown.reason, scope
        for one in new:
            _note_types(one, scope)
        nodes.extend(new)
    del graph.node[:]
    graph.node.extend(nodes)


def _note_types(node: NodeProto, scope: Scope) -> None:
    """Tells the scope what a node gives whose inputs became known only now."""
    if any(bodies(node)) or all(scope.shape(name) is not None for name in node.output if name):
        return
    if node.domain:
        _note_rank(node, scope)
        return
    names = [name for name in node.input if name]
    known = {name: _type(name, scope) for name in names if name in scope.types or name in scope.constants}
    if len(known) < len(set(names)):
        return
    try:
        scope.types.update(infer_outputs(node, known, scope.constants))
    except onnx.shape_inference.InferenceError:  # the type stays unknown, as in the inference of the whole model
        return


def _note_rank(node: NodeProto, scope: Scope) -> None:
    """An integer op that is left for later gives a tensor of the type and the rank of its data."""
    if node.op_type in DATA:
        types = [scope.types.get(node.input[index]) for index in DATA[node.op_type]]
        ranks = [len(kind.tensor_type.shape.dim) for kind in types if kind and kind.tensor_type.HasField("shape")]
        if len(ranks) == len(types) and types[0]:
            sizes = [None] * max(ranks)
            kind = onnx.helper.make_tensor_type_proto(types[0].tensor_type.elem_type, sizes)
            scope.types[node.output[0]] = kind


def _type(name: str, scope: Scope) -> TypeProto:
    return tensor_type(scope.constants[name]) if name in scope.constants else scope.types[name]
