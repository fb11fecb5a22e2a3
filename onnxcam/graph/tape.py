"""A model that grows: its tensors as values with arithmetic, its nodes, and the tape that new nodes go on.

    tape = Tape(model)
    x = tape.value("x")
    y = tape.Relu(x * 2.0 + 1.0)      # three nodes, typed and named
    tape.add_output(y, "y")
    tape.model                        # has grown

Equal expressions are emitted once. Types and shapes of new values are inferred at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto

from onnxcam.graph.inference import all_types
from onnxcam.graph.node import Node, likeness
from onnxcam.graph.shapes import infer_outputs, tensor_type
from onnxcam.graph.symbols import clearer_types
from onnxcam.graph.types import without_inferred_symbols
from onnxcam.graph.value import Array, Dim, Operand, Value, typical
from onnxcam.graph.walk import Names, bodies

# The scope of what differentiation adds; the key of its nodes' metadata, which tells the scope: gradient/layer4.
GRADIENT, MARK = "gradient/", "onnxcam"


class Tape:
    """A model and the nodes being added to it.

    `tape.Conv(x, w, pads=[1, 1, 1, 1])` emits a node and gives its output; None leaves an optional input out, and an
    attribute that is None is left out. Ops with several outputs go through `emit`.

    Args:
        model: at opset 18, its names unique; owned and changed by the tape.

    Attributes:
        loaded: the model's own nodes, as against those added since.
    """

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.types: MutableMapping[str, TypeProto] = all_types(model)
        self.scope = "onnxcam"
        self.constants: MutableMapping[str, TensorProto] = {t.name: t for t in model.graph.initializer}
        # An initializer that is an input too is a default, which the caller may replace: no constant.
        for info in model.graph.input:
            self.constants.pop(info.name, None)
        self.producers: dict[str, Node] = {}
        self.nodes: list[Node] = []
        self.names = Names(model.graph)
        self._emitted: dict[Any, tuple[Value, ...]] = {}
        self._shared: dict[Any, Value] = {}
        self._noted: dict[str, ValueInfoProto] = {info.name: info for info in model.graph.value_info}
        for name, kind in clearer_types(model.graph, self.types).items():
            self.types[name] = kind
            self._write_down(name, without_inferred_symbols(kind))
        for proto in model.graph.node:
            node = self._record(proto)
            if not any(bodies(proto)):
                self._emitted.setdefault(node.likeness, node.outputs)
        self.loaded = frozenset(self.nodes)

    def value(self, name: str) -> Value:
        """The tensor of that name."""
        return Value(name, self)

    @property
    def inputs(self) -> list[Value]:
        """The model's inputs without those that are mere defaults of constants."""
        defaults = {tensor.name for tensor in self.model.graph.initializer}
        return [self.value(info.name) for info in self.model.graph.input if info.name not in defaults]

    @property
    def outputs(self) -> list[Value]:
        """The model's outputs."""
        return [self.value(info.name) for info in self.model.graph.output]

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

    def number(self, number: float, like: Value | None) -> Value:
        """A scalar constant of the type of `like`, float32 where that is unknown."""
        return self.constant(np.array(number, (like.dtype if like else None) or np.float32))

    def ints(self, *numbers: int) -> Value:
        """A constant list of int64, as axes and shapes are given."""
        return self.constant(np.array(numbers, np.int64).reshape(-1))

    def constant(self, array: Array) -> Value:
        """A constant of these elements, shared between equal ones."""
        array = np.asarray(array)
        key = (array.dtype.str, array.dtype.name, array.shape, array.tobytes())
        if key not in self._shared:
            tensor = onnx.numpy_helper.from_array(array, self.names.fresh("constant"))
            self.add_constant(tensor)
            self._shared[key] = self.value(tensor.name)
        return self._shared[key]

    def add_constant(self, tensor: TensorProto) -> Value:
        """The tensor as a constant of the model, under its own name."""
        self.model.graph.initializer.append(tensor)
        return self._enter(self.model.graph.initializer[-1])

    def add_weight(self, name: str, array: Array) -> Value:
        """The elements as float32 under that name; nothing is shared or kept twice, for they may be many."""
        data = np.ascontiguousarray(array, "<f4")
        tensor = self.model.graph.initializer.add(name=name, data_type=TensorProto.FLOAT, dims=data.shape)
        tensor.raw_data = data.tobytes()
        return self._enter(tensor)

    def _enter(self, tensor: TensorProto) -> Value:
        self.constants[tensor.name] = tensor
        self.types[tensor.name] = tensor_type(tensor)
        self.names.take(tensor.name)
        return self.value(tensor.name)

    def add_input(self, name: str, dtype: Any, shape: Sequence[Dim] | None, *, default: Array | None = None) -> Value:
        """A new input of the model, the last; with a default it may be left out. `shape`: None for any rank."""
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, shape))
        if default is not None:
            self.model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(default, dtype), name))
        self.types[name] = self.model.graph.input[-1].type
        self.names.take(name)
        return self.value(name)

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

    def free_name(self, stem: str) -> str:
        """The stem itself where nothing in the model bears it, else with a number behind it."""
        return self.names.fresh(stem)

    def type_of(self, value: Value) -> TypeProto | None:
        """The value's type, as far as ONNX can infer it."""
        return self.types.get(value.name)

    def note_shape(self, value: Value, like: Value) -> None:
        """Records that `value` has the shape of `like`, where inference, which sees one node at a time, has lost it."""
        known, source = value.shape, self.types.get(like.name)
        if source is None or (known is not None and None not in known):
            return
        if like.shape is not None:
            kind = self.types[value.name] = TypeProto(tensor_type=self.types.get(value.name, source).tensor_type)
            kind.tensor_type.shape.CopyFrom(source.tensor_type.shape)
            self._write_down(value.name, without_inferred_symbols(kind))

    def _write_down(self, name: str, kind: TypeProto) -> None:
        """Leaves the type in the model, for whoever cannot infer it.

        ONNX Runtime keeps blocked layouts through sums and products only where it sees that shapes are equal.
        """
        if name not in self._noted:
            self._noted[name] = self.model.graph.value_info.add(name=name)
        self._noted[name].type.CopyFrom(kind)

    def constant_of(self, value: Value) -> Array | None:
        """The elements of a constant; None for what is computed, and for data kept outside the file."""
        tensor = self.constants.get(value.name)
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
            return None
        return onnx.numpy_helper.to_array(tensor)

    def _infer(self, node: NodeProto) -> None:
        known = {name: self.types[name] for name in node.input if name in self.types}
        if len(known) == len(set(node.input) - {""}):
            self.types.update(infer_outputs(node, known, self.constants))

    def _record(self, proto: NodeProto) -> Node:
        node = Node(proto, self)
        self.nodes.append(node)
        self.producers.update({name: node for name in proto.output if name})
        return node
