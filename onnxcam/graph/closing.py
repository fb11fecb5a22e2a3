"""The body of a node as a model of its own: what it reads from the graphs around it becomes inputs and constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx.helper
from onnx import GraphProto, ModelProto, TensorProto, TypeProto, ValueInfoProto

from onnxcam.graph.shapes import IR_VERSION, OPSET, is_small
from onnxcam.graph.types import without_shape
from onnxcam.graph.walk import outer_reads


def closed(
    graph: GraphProto,
    given: Sequence[TypeProto | None],
    *,
    types: Mapping[str, TypeProto],
    constants: Mapping[str, TensorProto],
) -> tuple[ModelProto, set[str]]:
    """A copy of the body as a model, and the names of what it reads from the graphs around.

    Those have the `types` and `constants`; the body's own inputs are of the types in `given`, None where unknown.
    """
    model, around = ModelProto(ir_version=IR_VERSION, graph=graph), outer_reads(graph)
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    for info, kind in zip(model.graph.input, given, strict=False):
        info.type.CopyFrom(without_shape(info.type) if kind is None else kind)
    _forget_shapes((*model.graph.output, *model.graph.value_info))
    for name in sorted(around):
        if name in constants and is_small(constants[name]):
            model.graph.initializer.append(constants[name])
        elif name in types:
            model.graph.input.add(name=name, type=types[name])
    return model, around


def reopen(graph: GraphProto, around: set[str]) -> None:
    """Takes out again what stood for the graphs around."""
    for items in (graph.input, graph.initializer):
        for index in reversed(range(len(items))):
            if items[index].name in around:
                del items[index]


def _forget_shapes(infos: Iterable[ValueInfoProto]) -> None:
    """What an exporter noted holds for the sizes that it saw; the shapes are inferred anew."""
    for info in infos:
        info.type.CopyFrom(without_shape(info.type))
