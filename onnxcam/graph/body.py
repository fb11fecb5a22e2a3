"""The graphs within nodes, the bodies of If, Loop and Scan, as tapes: they grow, and read what lies around them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import onnx.helper
from onnx import GraphProto, TypeProto

from onnxcam.graph.closing import closed, reopen
from onnxcam.graph.folding import drop_unused, fold_constants
from onnxcam.graph.node import Node
from onnxcam.graph.tape import Tape
from onnxcam.graph.types import with_elements, without_symbols
from onnxcam.graph.value import Dim, Value
from onnxcam.graph.walk import all_nodes


class Body(Tape):
    """A graph that is to lie within a node of another.

    Args:
        outer: the tape of the graph around it.
        graph: what the body begins with; it is copied, under its own names, and what is constant in it is folded.
        given: the types of the graph's inputs; None where unknown.
    """

    def __init__(
        self, outer: Tape, graph: GraphProto | None = None, given: Sequence[TypeProto | None] | None = None
    ) -> None:
        body = graph or GraphProto(name="body")
        model, around = closed(body, given or (), types=outer.types, constants=outer.constants)
        fold_constants(model)
        super().__init__(model)
        reopen(model.graph, around)
        self.outer, self.scope, self.names = outer, outer.scope, outer.names
        self.types = ChainMap({**self.types}, outer.types)
        own = {tensor.name: tensor for tensor in model.graph.initializer}
        self.constants = ChainMap(own, outer.constants)

    def within(self, value: Value) -> Value:
        """A tensor of the graph around it, as one of the body's."""
        return self.value(value.name)

    def believe(self, value: Value, like: Value) -> Value:
        """The value, which has the type of `like` within the body, whatever may be known of it outside."""
        if like.name in like.tape.types:
            self.types[value.name] = like.tape.types[like.name]
        return value

    def _write_down(self, name: str, kind: TypeProto) -> None:
        """Nothing: a size that a symbol stands for may change from one iteration to the next."""

    @property
    def op_types(self) -> set[str]:
        """The ops of its nodes, and of those in their own bodies."""
        return {node.op_type for node in all_nodes(self.model.graph)}

    def forget(self, values: AbstractSet[Value]) -> None:
        """Takes out the nodes that make the values; they are to come from outside."""
        nodes = self.model.graph.node
        for index in reversed(range(len(nodes))):
            if any(self.value(name) in values for name in nodes[index].output):
                for name in nodes[index].output:
                    self.producers.pop(name, None)
                del nodes[index]

    def returns(self, values: Sequence[Value]) -> GraphProto:
        """The finished graph, which gives these values; what they do not need is gone.

        What lies around the body, or is given twice, goes through a node first: a body must not hand that on. All else
        does not: where a tensor goes both through an Identity to an output and transposed into a Gemm, ONNX Runtime
        1.31 removes the Identity, and the Gemm finds no input.
        """
        graph = self.model.graph
        del graph.output[:]
        for value in values:
            is_given = value.name in {info.name for info in graph.output}
            name = self._handed_on(value) if is_given or value.name not in self.producers else value.name
            graph.output.add(name=name, type=without_symbols(self.types.get(value.name, TypeProto())))
        drop_unused(self.model)
        return graph

    def _handed_on(self, value: Value) -> str:
        name = self.fresh_name("result")
        self.add_node(onnx.helper.make_node("Identity", [value.name], [name], name=name), {})
        return name


def emit_with_bodies(
    tape: Tape,
    op_type: str,
    inputs: Sequence[Value | None],
    attributes: Mapping[str, Any],
    *,
    types: Sequence[TypeProto | None],
) -> tuple[Value, ...]:
    """The outputs of a new node that has bodies, and what is known of their types."""
    names = [tape.fresh_name(op_type) for _ in types]
    given = [value.name if value else "" for value in inputs]
    proto = onnx.helper.make_node(op_type, given, names, name=names[0], **attributes)
    return tape.add_node(proto, {name: kind for name, kind in zip(names, types, strict=True) if kind}).outputs


def gradient_type(value: Value, g: Value) -> TypeProto | None:
    """The type of a gradient of `value` whose elements are like those of `g`: quantised tensors have real ones."""
    kind, like = value.tape.type_of(value), g.tape.type_of(g)
    return with_elements(kind, like) if kind and like else None


def zeros_for(value: Value, tape: Tape, *, like: Value) -> Value:
    """Zeros in the shape of `value`, of the type of `like`, on that tape."""
    shape: Sequence[Dim] | None = value.shape
    sizes = [n for n in shape or () if isinstance(n, int)]
    known = shape is not None and len(sizes) == len(shape)
    zeros = tape.Expand(tape.number(0.0, like), tape.ints(*sizes) if known else tape.Shape(tape.value(value.name)))
    tape.note_shape(zeros, value)
    return zeros


def body_of(node: Node, name: str) -> GraphProto:
    """The graph that the node carries under that name: itself, not a copy."""
    graph: GraphProto = next(a.g for a in node.proto.attribute if a.name == name)
    return graph
