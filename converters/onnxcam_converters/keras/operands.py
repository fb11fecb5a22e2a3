"""Several tensors of Keras brought to one order of axes, one rank and one type, so that they can be joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from onnx import TensorProto, helper

from onnxcam.graph import Dim, Tape, Value
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.tensor import Shape, Tensor

Operand: TypeAlias = "Tensor | Array"


@dataclass(frozen=True, slots=True)
class Operands:
    """Values that broadcast against each other, and what their combination is."""

    values: list[Value]
    shape: Shape
    is_moved: bool

    @property
    def tape(self) -> Tape:
        """Where nodes go."""
        return self.values[0].tape

    def tensor(self, value: Value) -> Tensor:
        """What was made of all of them."""
        return Tensor(value, self.shape, self.is_moved)


def aligned(layer: Layer, things: Sequence[Operand], *, behind_batch: bool = False) -> Operands:
    """Tensors and constants, broadcast as numpy does: the shorter ones get axes of length one in front.

    With `behind_batch` the new axes come behind the first one, as Keras's merging layers have it.
    """
    rank = max(x.rank if isinstance(x, Tensor) else x.ndim for x in things)
    tensors = [x for x in things if isinstance(x, Tensor)]
    is_moved = any(x.is_moved and x.rank == rank for x in tensors)
    full = [_of_rank(x, rank, position=1 if behind_batch else 0) for x in things]
    like = next((x.value.dtype for x in tensors if x.value.dtype is not None and x.value.dtype.kind == "f"), None)
    values = [_value(layer.tape, x, like or tensors[0].value.dtype, is_moved=is_moved) for x in full]
    return Operands(values, broadcast(layer, [x.shape for x in full]), is_moved)


def _value(tape: Tape, x: Operand, like: np.dtype[Any] | None, *, is_moved: bool) -> Value:
    """In the order of axes asked for; numbers in the type of the tensors that they meet, wherever it can hold them."""
    if isinstance(x, Tensor):
        return x.moved() if is_moved else x.plain()
    kind = np.dtype(np.float32) if x.dtype.kind == "f" else x.dtype
    if like is not None and (like.kind == "f" or (like.kind == "i" and kind.kind in "iu")):
        kind = like
    array = x.reshape(()) if x.size == 1 else np.moveaxis(x, -1, 1) if is_moved else x
    return tape.constant(np.ascontiguousarray(array, kind))


def same_type(values: Sequence[Value]) -> list[Value]:
    """The values, all float32 where one of them is a float; integers all int64."""
    kinds = {value.dtype for value in values}
    if len(kinds) == 1:
        return list(values)
    to = TensorProto.FLOAT if any(kind is None or kind.kind == "f" for kind in kinds) else TensorProto.INT64
    return [cast(value, to) for value in values]


def cast(value: Value, to: int) -> Value:
    """The value as that type of ONNX's."""
    is_one = value.dtype is not None and helper.np_dtype_to_tensor_dtype(value.dtype) == to
    return value if is_one else value.tape.Cast(value, to=to)


def as_float(x: Tensor) -> Tensor:
    """The tensor in float32, which pictures of whole numbers become as soon as Keras computes with them."""
    return x.like(cast(x.value, TensorProto.FLOAT))


def broadcast(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    """The shape of what is combined of tensors of these shapes, all of one rank."""
    return tuple(_common(layer, dims) for dims in zip(*shapes, strict=True))


def _common(layer: Layer, dims: Sequence[Dim]) -> Dim:
    known = {dim for dim in dims if dim != 1}
    numbers = {dim for dim in known if isinstance(dim, int)}
    if len(numbers) > 1:
        raise layer.refuse(f"lengths {sorted(numbers)} do not go together")
    if numbers or len(known) < 2:
        return next(iter(numbers or known), 1)
    symbols = known - {None}
    return next(iter(symbols)) if len(symbols) == 1 else None


def _of_rank(x: Operand, rank: int, *, position: int) -> Operand:
    """With axes of length one more, from that position on."""
    if not isinstance(x, Tensor):
        return x.reshape((1,) * (rank - x.ndim) + x.shape)
    missing = rank - x.rank
    if not missing:
        return x
    shape = (*x.shape[:position], *[1] * missing, *x.shape[position:])
    if x.rank == 2 and position == 1:
        # (N, C) becomes (N, C, 1, 1) at once.
        return Tensor(x.tape.Unsqueeze(x.value, x.tape.ints(*range(2, rank))), shape, is_moved=True)
    return Tensor(x.tape.Unsqueeze(x.plain(), x.tape.ints(*range(position, position + missing))), shape)
