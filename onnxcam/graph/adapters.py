"""What opset adapters are written with: the registries, the model they ask, the nodes they put in a node's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import onnx.helper
import onnx.numpy_helper
import onnx.shape_inference
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, TypeProto

from onnxcam.errors import UnsupportedOperator
from onnxcam.graph.shapes import skeleton, tensor_type
from onnxcam.graph.walk import Names, all_graphs, all_nodes, outer_reads, reads


class Scope:
    """The model that a node lives in, as far as an adapter asks about it."""

    def __init__(self, model: ModelProto, opset: int) -> None:
        self.model, self.opset = model, opset
        self.names = Names(model.graph)
        # The floats that integers of the main graph have been turned into.
        self.floats: dict[object, str] = {}

    @cached_property
    def types(self) -> dict[str, TypeProto]:
        """The type of every tensor that ONNX can infer, bodies included."""
        inferred = onnx.shape_inference.infer_shapes(skeleton(self.model), data_prop=True)
        types = {tensor.name: tensor_type(tensor) for tensor in self.model.graph.initializer}
        for graph in all_graphs(inferred.graph):
            types |= {info.name: info.type for info in (*graph.value_info, *graph.input, *graph.output)}
        return types

    @cached_property
    def constants(self) -> dict[str, TensorProto]:
        """Initializers and the tensors of Constant nodes."""
        found = {tensor.name: tensor for graph in all_graphs(self.model.graph) for tensor in graph.initializer}
        for node in all_nodes(self.model.graph):
            if node.op_type == "Constant" and (tensor := constant_tensor(node)) is not None:
                found[node.output[0]] = tensor
        return found

    @cached_property
    def used(self) -> set[str]:
        """The tensors that some node or an output needs."""
        wanted = outer_reads(self.model.graph) | {info.name for info in self.model.graph.output}
        for graph in all_graphs(self.model.graph):
            wanted.update(info.name for info in graph.output)
            for node in graph.node:
                wanted |= reads(node)
        return wanted

    @cached_property
    def has_bfloat16(self) -> bool:
        """Whether any tensor whose type is told, an input or a constant, is of bfloat16."""
        inputs = any(i.type.tensor_type.elem_type == TensorProto.BFLOAT16 for i in self.model.graph.input)
        return inputs or any(tensor.data_type == TensorProto.BFLOAT16 for tensor in self.constants.values())

    def element_type(self, name: str) -> int:
        """ONNX's number for the type of the tensor's elements; 0 when unknown."""
        if name in self.constants:
            return self.constants[name].data_type
        return self.types[name].tensor_type.elem_type if name in self.types else 0

    def shape(self, name: str) -> list[int | None] | None:
        """Each dimension, None where it is symbolic; None when the rank is unknown."""
        if name in self.constants:
            return list(self.constants[name].dims)
        if name not in self.types or not self.types[name].tensor_type.HasField("shape"):
            return None
        dims = self.types[name].tensor_type.shape.dim
        return [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]

    def array(self, name: str) -> NDArray[Any] | None:
        """The elements of a constant; None for what is computed."""
        tensor = self.constants.get(name)
        if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
            return None
        return onnx.numpy_helper.to_array(tensor)

    def constant(self, array: NDArray[Any], stem: str) -> str:
        """The name of a new constant."""
        tensor = onnx.numpy_helper.from_array(np.asarray(array), self.names.fresh(stem))
        self.model.graph.initializer.append(tensor)
        self.constants[tensor.name] = self.model.graph.initializer[-1]
        return tensor.name


class Draft:
    """The nodes that take one node's place. `draft(op, inputs)` adds one and gives the name of its output."""

    def __init__(self, node: NodeProto, scope: Scope) -> None:
        self.node, self.scope = node, scope
        self.stem = node.name or node.output[0]
        self.nodes: list[NodeProto] = []

    def __call__(self, op_type: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        output = output or self.scope.names.fresh(f"{self.stem}/{op_type}")
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(onnx.helper.make_node(op_type, inputs, [output], **given))
        return output

    def ends(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> list[NodeProto]:
        """All the nodes, the last of them with the first output of the node they replace."""
        self(op_type, inputs, self.node.output[0], **attributes)
        return self.nodes

    def cast(self, name: str, kind: int) -> str:
        """The tensor in another type, which the scope then knows."""
        output = self("Cast", [name], to=kind)
        self.scope.types[output] = onnx.helper.make_tensor_type_proto(kind, self.scope.shape(name))
        return output

    def ints(self, *numbers: int) -> str:
        """A constant list of int64."""
        return self.scope.constant(np.array(numbers, np.int64), f"{self.stem}/ints")

    def number(self, number: float, like: str) -> str:
        """A scalar of the type of tensor `like`."""
        if kind := self.scope.element_type(like):
            with np.errstate(over="ignore"):  # a bound beyond float16's range is infinite there
                exact = np.array(number).astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
            return self.scope.constant(exact, f"{self.stem}/number")
        return self("CastLike", [self.scope.constant(np.array(number, np.float32), f"{self.stem}/number"), like])


Adapter = Callable[[NodeProto, Scope], list[NodeProto]]
RAISING: dict[str, dict[int, Adapter]] = {}
LOWERING: dict[str, dict[int, Adapter]] = {}


def raises(op_type: str, opset: int) -> Callable[[Adapter], Adapter]:
    """Registers what turns the op as it was before `opset` into nodes of `opset`."""
    return _registers(RAISING, op_type, opset)


def lowers(op_type: str, opset: int) -> Callable[[Adapter], Adapter]:
    """Registers what turns the op as it is since `opset` into nodes of the opset before."""
    return _registers(LOWERING, op_type, opset)


def _registers(table: dict[str, dict[int, Adapter]], op_type: str, opset: int) -> Callable[[Adapter], Adapter]:
    def register(adapter: Adapter) -> Adapter:
        if opset in table.setdefault(op_type, {}):
            raise ValueError(f"{op_type} has an adapter for opset {opset} already")
        table[op_type][opset] = adapter
        return adapter

    return register


def take(node: NodeProto, name: str, default: Any = None) -> Any:
    """The attribute's value, which the node then lacks; text as str."""
    for index, attribute in enumerate(node.attribute):
        if attribute.name == name:
            value = onnx.helper.get_attribute_value(attribute)
            del node.attribute[index]
            return value.decode() if isinstance(value, bytes) else value
    return default


def give(node: NodeProto, name: str, value: Any) -> None:
    """Sets the attribute."""
    take(node, name)
    node.attribute.append(onnx.helper.make_attribute(name, value))


def source(node: NodeProto, index: int) -> str:
    """The name of the input at `index`; "" when it was left out."""
    return node.input[index] if index < len(node.input) else ""


def refuse(node: NodeProto, scope: Scope, reason: str) -> UnsupportedOperator:
    """The error that says why the node cannot be brought to the target opset."""
    return UnsupportedOperator(node.op_type, node.name or node.output[0], scope.opset, reason=reason)


def inherit(nodes: list[NodeProto], before: NodeProto, scope: Scope) -> None:
    """The one that makes the old node's first output takes its name, the others one like it; all take its metadata."""
    for node in nodes:
        if before.output[0] in node.output:
            node.name = before.name
        elif before.name and node.name in ("", before.name):
            node.name = scope.names.fresh(f"{before.name}/{node.op_type}")
        if not node.metadata_props:
            node.metadata_props.extend(before.metadata_props)
        node.doc_string = node.doc_string or before.doc_string


def constant_tensor(node: NodeProto) -> TensorProto | None:
    """The tensor of a Constant node, whichever of its attributes holds it; None for sparse ones."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            tensor: TensorProto = attribute.t
            return tensor
        if attribute.name in ("value_float", "value_floats"):
            return onnx.numpy_helper.from_array(np.array(onnx.helper.get_attribute_value(attribute), np.float32))
        if attribute.name in ("value_int", "value_ints"):
            return onnx.numpy_helper.from_array(np.array(onnx.helper.get_attribute_value(attribute), np.int64))
        if attribute.name in ("value_string", "value_strings"):
            return onnx.numpy_helper.from_array(np.array(onnx.helper.get_attribute_value(attribute), np.object_))
    return None
