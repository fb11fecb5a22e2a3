"""Types and shapes of a model's tensors: ONNX's own inference, and what follows where Loops keep the shapes they carry.

ONNX forgets the shape of what a Loop carries, since it may change, and with it all shapes behind the Loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import onnx.helper
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto

from onnxcam.graph.closing import closed
from onnxcam.graph.shapes import infer_types, skeleton
from onnxcam.graph.types import (
    are_at_odds,
    common_type,
    is_no_tensor,
    shape_text,
    stacked_type,
    without_inferred_symbols,
)


def all_types(model: ModelProto) -> dict[str, TypeProto]:
    """The type of every tensor of the main graph that can be told, by name."""
    types = infer_types(model)
    loops = [node for node in model.graph.node if node.op_type == "Loop" and not node.domain]
    if not loops:
        return types
    bare = skeleton(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in loops:
        noted = _unsaid(node, types, constants)
        if noted:
            _note(bare.graph, noted)
            types = types | infer_types(bare)
    return types


def _note(graph: GraphProto, types: Mapping[str, TypeProto]) -> None:
    """Tells inference of these types; it believes those of outputs before others."""
    for info in graph.output:
        if info.name in types:
            info.type.CopyFrom(types[info.name])
    for name, kind in types.items():
        graph.value_info.add(name=name, type=kind)


def _unsaid(
    node: NodeProto, types: Mapping[str, TypeProto], constants: Mapping[str, TensorProto]
) -> dict[str, TypeProto]:
    """The types of the Loop's outputs, as far as they say more than is known."""
    graph = next(a.g for a in node.attribute if a.type == AttributeProto.GRAPH)
    initial = [types.get(name) for name in node.input[2:]]
    steady, changes = steady_types(graph, initial, types=types, constants=constants)
    model, _ = closed(graph, steady, types=types, constants=constants)
    inner = all_types(model)
    states = [None if info.name in changes else kind for info, kind in zip(graph.input[2:], steady[2:], strict=True)]
    stacks = [
        stacked_type(inner[info.name]) if info.name in inner else None for info in graph.output[1 + len(states) :]
    ]
    return {
        name: without_inferred_symbols(kind)
        for name, kind in zip_longest(node.output, (*states, *stacks))
        if name and kind and not _has_shape(types.get(name))
    }


def _has_shape(kind: TypeProto | None) -> bool:
    return kind is not None and (is_no_tensor(kind) or kind.tensor_type.HasField("shape"))


def steady_types(
    graph: GraphProto,
    initial: Sequence[TypeProto | None],
    *,
    types: Mapping[str, TypeProto],
    constants: Mapping[str, TensorProto],
) -> tuple[list[TypeProto | None], dict[str, str]]:
    """The types of the inputs of a Loop's body that hold in every iteration; and for states that change shape, how."""
    counters = [onnx.helper.make_tensor_type_proto(kind, []) for kind in (TensorProto.INT64, TensorProto.BOOL)]
    states, names = list(initial), [info.name for info in graph.input[2:]]
    changes = {name: "it is no tensor" for name, kind in zip(names, states, strict=True) if kind and is_no_tensor(kind)}
    while True:
        model, _ = closed(graph, [*counters, *states], types=types, constants=constants)
        inferred = all_types(model)
        after = [inferred.get(info.name) for info in graph.output[1 : 1 + len(states)]]
        for name, a, b in zip(names, states, after, strict=True):
            if a and b and are_at_odds(a, b):
                changes.setdefault(name, f"its shape changes from {shape_text(a)} to {shape_text(b)}")
        steady = [common_type(a, b) if a and b else a for a, b in zip(states, after, strict=True)]
        if steady == states:
            return [*counters, *states], changes
        states = steady
