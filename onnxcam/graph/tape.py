"""A model that grows: its tensors as values with arithmetic, its nodes, and the tape that new nodes go on.

    tape = Tape(model)
    x = tape.value("x")
    y = tape.Relu(x * 2.0 + 1.0)      # three nodes, typed and named
    tape.add_output(y, "y")
    tape.model                        # has grown

Equal expressions are emitted once. Types and shapes of new values are inferred at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx.helper
from onnx import ModelProto, NodeProto, TypeProto

from onnxcam.graph.node import Node, likeness
from onnxcam.graph.shapes import infer_outputs
from onnxcam.graph.tensors import Tensors
from onnxcam.graph.value import Dim, Operand, Value, typical
from onnxcam.graph.walk import bodies

# The scope of what differentiation adds; the key of its nodes' metadata, which tells the scope: gradient/layer4.
GRADIENT, MARK = "gradient/", "onnxcam"


class Tape(Tensors):
    """A model and the nodes being added to it.

    `tape.Conv(x, w, pads=[1, 1, 1, 1])` emits a node and gives its output; None leaves an optional input out, and an
    attribute that is None is left out. Ops with several outputs go through `emit`.

    Args:
        model: at opset 18, its names unique; owned and changed by the tape.

    Attributes:
        loaded: the model's own nodes, as against those added since.
    """

    def __init__(self, model: ModelProto) -> None:
        super().__init__(model)
        self.scope = "onnxcam"
        self.producers: dict[str, Node] = {}
        self.nodes: list[Node] = []
        self._emitted: dict[Any, tuple[Value, ...]] = {}
        for proto in model.graph.node:
            node = self._record(proto)
            if not any(bodies(proto)):
                self._emitted.setdefault(node.likeness, node.outputs)
        self.loaded = frozenset(self.nodes)

    def value(self, name: str) -> Value:
        """The tensor of that name."""
        return Value(name, self)

    def __contains__(self, name: str) -> bool:
        return name in self.producers or name in self.constants or any(i.name == name for i in self.model.graph.input)

    def __getattr__(self, op_type: str) -> Callable[..., Value]:
        if not op_type[:1].isupper():
            raise AttributeError(op_type)

        def emit(*inputs: Operand | None, **attributes: Any) -> Value:
            like = typical([x for x in inputs if isinstance(x, Value)])
            values = [x if isinstance(x, Value) or x is None else self.number(x, like) for x in inputs]
            return self.emit(op_type, values, attributes)[0]

        return emit

    def emit(
        self, op_type: str, inputs: Sequence[Value | None], attributes: Mapping[str, Any], *, outputs: int = 1
    ) -> tuple[Value, ...]:
        """The outputs of a new node, or of the equal one that was emitted before."""
        names = [value.name if value else "" for value in inputs]
        given = {key: value for key, value in attributes.items() if value is not None}
        key = likeness(op_type, names, given, outputs)
        if key not in self._emitted:
            results = [self.fresh_name(op_type) for _ in range(outputs)]
            domain, _, kind = op_type.rpartition(".")
            proto = onnx.helper.make_node(kind, names, results, name=results[0], domain=domain, **given)
            self._infer(proto)
            self._emitted[key] = self.add_node(proto, {}).outputs
        return self._emitted[key]

    def add_node(self, proto: NodeProto, types: Mapping[str, TypeProto]) -> Node:
        """The node, on the tape; part of a gradient, it is marked as added. `types`: what is known of its outputs."""
        if self.scope.startswith(GRADIENT):
            proto.metadata_props.add(key=MARK, value=self.scope)
        self.model.graph.node.append(proto)
        self.types.update(types)
        return self._record(self.model.graph.node[-1])

    def extend(self, node: Node, name: str, kind: TypeProto) -> Value:
        """One more output of the node, the last, under that name."""
        node.proto.output.append(name)
        node.outputs = (*node.outputs, self.value(name))
        self.types[name], self.producers[name] = kind, node
        return node.outputs[-1]

    def imagine(
        self, op_type: str, inputs: Sequence[Value | None], outputs: Sequence[Value], attributes: Mapping[str, Any]
    ) -> Node:
        """A node that is not in the model: it stands for several that compute the outputs together."""
        domain, _, kind = op_type.rpartition(".")
        names = [value.name if value else "" for value in inputs], [value.name for value in outputs]
        proto = onnx.helper.make_node(kind, *names, name=names[1][0], domain=domain, **attributes)
        return Node(proto, self)

    def add_output(self, value: Value, name: str, *, shape: Sequence[Dim] | None = None) -> None:
        """The value as an output of the model, the last, under that name; `shape` where inference knows less."""
        identity = onnx.helper.make_node("Identity", [value.name], [name], name=name)
        self.names.take(name)
        self._infer(identity)
        self.add_node(identity, {})
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype or np.float32))
        self.model.graph.output.append(
            onnx.helper.make_tensor_value_info(name, kind, value.shape if shape is None else shape)
        )

    def expose(self, value: Value) -> None:
        """Makes a tensor of the model one of its outputs, the last, under its own name; if it is none yet."""
        if value not in self.outputs:
            kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype or np.float32))
            self.model.graph.output.append(onnx.helper.make_tensor_value_info(value.name, kind, value.shape))

    @contextmanager
    def named(self, scope: str) -> Iterator[None]:
        """Within it, new nodes are called `scope`/OP."""
        outer, self.scope = self.scope, scope
        try:
            yield
        finally:
            self.scope = outer

    def fresh_name(self, hint: str) -> str:
        """A name that nothing in the model bears, in the present scope."""
        return self.free_name(f"{self.scope}/{hint}")

    def _infer(self, node: NodeProto) -> None:
        known = {name: self.types[name] for name in node.input if name in self.types}
        if len(known) == len(set(node.input) - {""}):
            self.types.update(infer_outputs(node, known, self.constants))

    def _record(self, proto: NodeProto) -> Node:
        node = Node(proto, self)
        self.nodes.append(node)
        self.producers.update({name: node for name in proto.output if name})
        return node
