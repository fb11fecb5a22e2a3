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
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, TypeProto

from onnxcam.graph.shapes import infer_outputs, infer_types, tensor_type

Array: TypeAlias = NDArray[Any]
Dim: TypeAlias = int | str | None
Operand: TypeAlias = "Value | float"


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the graph. Arithmetic on it emits nodes; a number takes the tensor's type."""

    name: str
    tape: Tape = field(repr=False, compare=False)

    @property
    def shape(self) -> tuple[Dim, ...] | None:
        """Each dimension a number, a symbol ("N") or None where unknown; None when even the rank is."""
        kind = self.tape.type_of(self)
        if kind is None or not kind.tensor_type.HasField("shape"):
            return None
        return tuple(
            dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.tensor_type.shape.dim
        )

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The type of its elements; None when unknown."""
        kind = self.tape.type_of(self)
        if kind is None or not kind.tensor_type.elem_type:
            return None
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.tensor_type.elem_type))

    @property
    def constant(self) -> Array | None:
        """Its elements, when it is a constant of the model whose data are at hand."""
        return self.tape.constant_of(self)

    @property
    def producer(self) -> Node | None:
        """The node that computes it; None for inputs and constants."""
        return self.tape.producers.get(self.name)

    def __add__(self, other: Operand) -> Value:
        return self._emit("Add", self, other)

    def __radd__(self, other: float) -> Value:
        return self._emit("Add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return self._emit("Sub", self, other)

    def __rsub__(self, other: float) -> Value:
        return self._emit("Sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return self._emit("Mul", self, other)

    def __rmul__(self, other: float) -> Value:
        return self._emit("Mul", other, self)

    def __truediv__(self, other: Operand) -> Value:
        return self._emit("Div", self, other)

    def __rtruediv__(self, other: float) -> Value:
        return self._emit("Div", other, self)

    def __pow__(self, other: Operand) -> Value:
        return self._emit("Pow", self, other)

    def __neg__(self) -> Value:
        return self._emit("Neg", self)

    def __gt__(self, other: Operand) -> Value:
        return self._emit("Greater", self, other)

    def __lt__(self, other: Operand) -> Value:
        return self._emit("Less", self, other)

    def __ge__(self, other: Operand) -> Value:
        return self._emit("GreaterOrEqual", self, other)

    def __le__(self, other: Operand) -> Value:
        return self._emit("LessOrEqual", self, other)

    def equals(self, other: Operand) -> Value:
        """Where the two are equal: a tensor of truth values."""
        return self._emit("Equal", self, other)

    def _emit(self, op_type: str, *operands: Operand) -> Value:
        values = [x if isinstance(x, Value) else self.tape.number(x, self) for x in operands]
        return self.tape.emit(op_type, values, {})[0]


class Node:
    """A node of the graph, its inputs and outputs as values. `wanted` is set by the reverse walk for its rules."""

    __slots__ = ("attributes", "inputs", "name", "op_type", "outputs", "proto", "tape", "wanted")

    def __init__(self, proto: NodeProto, tape: Tape) -> None:
        self.proto, self.tape, self.name = proto, tape, proto.name
        self.op_type = f"{proto.domain}.{proto.op_type}" if proto.domain else proto.op_type
        self.inputs = tuple(tape.value(name) if name else None for name in proto.input)
        self.outputs = tuple(Value(name, tape) for name in proto.output)
        self.attributes: Mapping[str, Any] = {a.name: _attribute(a) for a in proto.attribute}
        self.wanted: frozenset[int] = frozenset()

    @property
    def metadata(self) -> dict[str, str]:
        """What the exporter noted of the node."""
        return {entry.key: entry.value for entry in self.proto.metadata_props}

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


class Tape:
    """A model and the nodes being added to it.

    `tape.Conv(x, w, pads=[1, 1, 1, 1])` emits a node and gives its output; None leaves an optional input out, and an
    attribute that is None is left out. Ops with several outputs go through `emit`.

    Args:
        model: at opset 18, its names unique; owned and changed by the tape.
    """

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.types: dict[str, TypeProto] = infer_types(model)
        self.scope = "onnxcam"
        self.constants: dict[str, TensorProto] = {t.name: t for t in model.graph.initializer}
        # An initializer that is an input too is a default, which the caller may replace: no constant.
        for info in model.graph.input:
            self.constants.pop(info.name, None)
        self.producers: dict[str, Node] = {}
        self.nodes: list[Node] = []
        self._names = _names(model.graph)
        self._counts: dict[str, int] = {}
        self._emitted: dict[Any, tuple[Value, ...]] = {}
        self._shared: dict[Any, Value] = {}
        for proto in model.graph.node:
            self._record(proto)

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
            like = _typical([x for x in inputs if isinstance(x, Value)])
            values = [x if isinstance(x, Value) or x is None else self.number(x, like) for x in inputs]
            return self.emit(op_type, values, attributes)[0]

        return emit

    def emit(
        self, op_type: str, inputs: Sequence[Value | None], attributes: Mapping[str, Any], *, outputs: int = 1
    ) -> tuple[Value, ...]:
        """The outputs of a new node, or of the equal one that was emitted before."""
        names = [value.name if value else "" for value in inputs]
        given = {key: value for key, value in attributes.items() if value is not None}
        key = (op_type, tuple(names), outputs, repr(sorted(given.items())))
        if key not in self._emitted:
            results = [self.fresh_name(op_type) for _ in range(outputs)]
            domain, _, kind = op_type.rpartition(".")
            proto = onnx.helper.make_node(kind, names, results, name=results[0], domain=domain, **given)
            self.model.graph.node.append(proto)
            self._infer(proto)
            self._emitted[key] = self._record(self.model.graph.node[-1]).outputs
        return self._emitted[key]

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
            tensor = onnx.numpy_helper.from_array(array, self.fresh_name("constant"))
            self.add_constant(tensor)
            self._shared[key] = self.value(tensor.name)
        return self._shared[key]

    def add_constant(self, tensor: TensorProto) -> Value:
        """The tensor as a constant of the model, under its own name."""
        self.model.graph.initializer.append(tensor)
        self.constants[tensor.name] = self.model.graph.initializer[-1]
        self.types[tensor.name] = tensor_type(tensor)
        self._names.add(tensor.name)
        return self.value(tensor.name)

    def add_input(self, name: str, dtype: Any, shape: Sequence[Dim], *, default: Array | None = None) -> Value:
        """A new input of the model, the last; with a default it may be left out."""
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, shape))
        if default is not None:
            self.model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(default, dtype), name))
        self.types[name] = self.model.graph.input[-1].type
        self._names.add(name)
        return self.value(name)

    def add_output(self, value: Value, name: str, *, shape: Sequence[Dim] | None = None) -> None:
        """The value as an output of the model, the last, under that name; `shape` where inference knows less."""
        identity = onnx.helper.make_node("Identity", [value.name], [name], name=name)
        self.model.graph.node.append(identity)
        self._names.add(name)
        self._infer(identity)
        self._record(self.model.graph.node[-1])
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
        """A name that nothing in the model bears."""
        stem = f"{self.scope}/{hint}"
        name = stem
        while name in self._names:
            self._counts[stem] = self._counts.get(stem, 1) + 1
            name = f"{stem}_{self._counts[stem]}"
        self._names.add(name)
        return name

    def type_of(self, value: Value) -> TypeProto | None:
        """The value's type, as far as ONNX can infer it."""
        return self.types.get(value.name)

    def note_shape(self, value: Value, like: Value) -> None:
        """Records that `value` has the shape of `like`, where inference, which sees one node at a time, has lost it."""
        known, source = value.shape, self.types.get(like.name)
        if source is None or (known is not None and None not in known):
            return
        kind = TypeProto()
        kind.CopyFrom(self.types.get(value.name, source))
        kind.tensor_type.shape.CopyFrom(source.tensor_type.shape)
        if like.shape is not None:
            self.types[value.name] = kind

    def constant_of(self, value: Value) -> Array | None:
        """The elements of a constant; None for what is computed, and for data kept outside the file."""
        tensor = self.constants.get(value.name)
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
            return None
        return onnx.numpy_helper.to_array(tensor)

    def _infer(self, node: NodeProto) -> None:
        known = {name: self.types[name] for name in node.input if name in self.types}
        if len(known) == len({name for name in node.input if name}):
            self.types.update(infer_outputs(node, known, self.constants))

    def _record(self, proto: NodeProto) -> Node:
        node = Node(proto, self)
        self.nodes.append(node)
        self.producers.update({name: node for name in proto.output if name})
        return node


def _typical(values: Sequence[Value]) -> Value | None:
    """The value whose type a bare number beside them takes: the first that is no index, shape or truth value."""
    floating = (x for x in values if x.dtype is not None and x.dtype.kind not in "iub")
    return next(floating, values[0] if values else None)


def _attribute(proto: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(proto)
    return value.decode() if isinstance(value, bytes) else value


def _names(graph: onnx.GraphProto) -> set[str]:
    """Every name in the graph and in the bodies of its control flow."""
    names = {item.name for item in (*graph.input, *graph.initializer, *graph.value_info)}
    for node in graph.node:
        names.update((node.name, *node.input, *node.output))
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                names |= _names(body)
    return names
