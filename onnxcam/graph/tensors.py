"""The tensors of a model that grows: what is known of their types, which are constant, and what they may be called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
import onnx.helper
import onnx.numpy_helper
from onnx import ModelProto, TensorProto, TypeProto, ValueInfoProto

from onnxcam.graph.inference import all_types
from onnxcam.graph.shapes import tensor_type
from onnxcam.graph.symbols import clearer_types
from onnxcam.graph.types import without_inferred_symbols
from onnxcam.graph.value import Array, Dim, Value
from onnxcam.graph.walk import Names


class Tensors(ABC):
    """The tensors of a model: its inputs and outputs, its constants, and the types of all.

    Args:
        model: its names unique; it is changed.
    """

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.types: MutableMapping[str, TypeProto] = all_types(model)
        self.constants: MutableMapping[str, TensorProto] = {t.name: t for t in model.graph.initializer}
        # An initializer that is an input too is a default, which the caller may replace: no constant.
        for info in model.graph.input:
            self.constants.pop(info.name, None)
        self.names = Names(model.graph)
        self._shared: dict[Any, Value] = {}
        self._noted: dict[str, ValueInfoProto] = {info.name: info for info in model.graph.value_info}
        for name, kind in clearer_types(model.graph, self.types).items():
            self.types[name] = kind
            self._write_down(name, without_inferred_symbols(kind))

    @abstractmethod
    def value(self, name: str) -> Value:
        """The tensor of that name."""

    @property
    def inputs(self) -> list[Value]:
        """The model's inputs without those that are mere defaults of constants."""
        defaults = {tensor.name for tensor in self.model.graph.initializer}
        return [self.value(info.name) for info in self.model.graph.input if info.name not in defaults]

    @property
    def outputs(self) -> list[Value]:
        """The model's outputs."""
        return [self.value(info.name) for info in self.model.graph.output]

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
