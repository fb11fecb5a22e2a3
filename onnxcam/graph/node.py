"""A node of the graph, its inputs and outputs as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import onnx.helper
from onnx import AttributeProto, NodeProto

from onnxcam.graph.value import Value
from onnxcam.graph.walk import reads

if TYPE_CHECKING:
    from onnxcam.graph.tape import Tape


class Node:
    """A node of the graph, its inputs and outputs as values.

    The reverse walk sets, before it asks a rule: `wanted`, the inputs whose gradient somebody needs; `wanted_values`,
    those and the tensors that the node's bodies read; `rules`, the table that it walks by.
    """

    __slots__ = (
        "attributes", "inputs", "name", "op_type", "outputs", "proto", "reads", "rules", "tape", "wanted",
        "wanted_values",
    )  # fmt: skip

    def __init__(self, proto: NodeProto, tape: Tape) -> None:
        self.proto, self.tape, self.name = proto, tape, proto.name
        self.op_type = f"{proto.domain}.{proto.op_type}" if proto.domain else proto.op_type
        self.inputs = tuple(tape.value(name) if name else None for name in proto.input)
        # The bodies of control flow take tensors from around them without naming them as inputs.
        self.reads = frozenset(tape.value(name) for name in reads(proto))
        self.outputs = tuple(Value(name, tape) for name in proto.output)
        self.attributes: Mapping[str, Any] = {a.name: _attribute(a) for a in proto.attribute}
        self.wanted: frozenset[int] = frozenset()
        self.wanted_values: list[Value] = []
        self.rules: Mapping[str, Any] = {}

    @property
    def metadata(self) -> dict[str, str]:
        """What the exporter noted of the node."""
        return {entry.key: entry.value for entry in self.proto.metadata_props}

    @property
    def likeness(self) -> Any:
        """What it has in common with nodes that compute the same."""
        return likeness(self.op_type, self.proto.input, self.attributes, len(self.outputs))

    @property
    def title(self) -> str:
        """What to call it before users: its name, that of its first output where it has none."""
        return self.name or self.outputs[0].name

    @property
    def output(self) -> Value:
        """The first output, for most ops the only one."""
        return self.outputs[0]

    @property
    def x(self) -> Value:
        """The first input."""
        return self.input(0)

    def input(self, index: int) -> Value:
        """The input at `index`, which must be there."""
        value = self.inputs[index]
        if value is None:
            raise IndexError(f"{self.op_type} {self.name!r} has no input {index}")
        return value

    def optional(self, index: int) -> Value | None:
        """The input at `index`; None when it was left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def is_constant(self, index: int) -> bool:
        """Whether input `index` is a constant of the model."""
        value = self.optional(index)
        return value is not None and value.name in self.tape.constants

    def wants(self, index: int) -> bool:
        """Whether somebody needs the gradient with respect to input `index`."""
        return index in self.wanted

    def __repr__(self) -> str:
        return f"Node({self.op_type} {self.name!r})"


def likeness(op_type: str, inputs: Iterable[str], attributes: Mapping[str, Any], outputs: int) -> Any:
    """What nodes have in common that compute the same."""
    return op_type, tuple(inputs), outputs, repr(sorted(attributes.items()))


def _attribute(proto: AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(proto)
    return value.decode() if isinstance(value, bytes) else value
