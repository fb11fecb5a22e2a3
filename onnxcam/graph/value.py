"""A tensor of the graph, with arithmetic that emits nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx.helper
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnxcam.graph.node import Node
    from onnxcam.graph.tape import Tape

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


def typical(values: Sequence[Value]) -> Value | None:
    """The value whose type a bare number beside them takes: the first that is no index, shape or truth value."""
    floating = (x for x in values if x.dtype is not None and x.dtype.kind not in "iub")
    return next(floating, values[0] if values else None)
