"""Arithmetic on sizes: done at once where the model fixes them, in the graph where they show only at run time."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from onnxcam.autodiff.extents import END
from onnxcam.graph import Tape, Value

Summand: TypeAlias = "Sizes | int | Sequence[int]"


class Sizes:
    """A list of sizes, say one per axis: numbers where all of them are known, else an int64 vector of the graph."""

    __slots__ = ("_computed", "numbers", "tape")

    def __init__(self, tape: Tape, numbers: Sequence[int] | None, computed: Value | None = None) -> None:
        self.tape = tape
        self.numbers = None if numbers is None else tuple(int(n) for n in numbers)
        self._computed = computed

    @property
    def known(self) -> tuple[int, ...]:
        """The numbers, which must be known."""
        if self.numbers is None:
            raise ValueError("these sizes show only at run time")
        return self.numbers

    @property
    def vector(self) -> Value:
        """They as a tensor, int64."""
        return self._computed or self.tape.ints(*(self.numbers or ()))

    def __add__(self, other: Summand) -> Sizes:
        return self._combine(other, operator.add, "Add")

    def __sub__(self, other: Summand) -> Sizes:
        return self._combine(other, operator.sub, "Sub")

    def __mul__(self, other: Summand) -> Sizes:
        return self._combine(other, operator.mul, "Mul")

    def __floordiv__(self, other: Summand) -> Sizes:
        """Both must not be negative: ONNX divides towards zero."""
        return self._combine(other, operator.floordiv, "Div")

    def at_least(self, other: Summand) -> Sizes:
        """The larger of the two, one by one."""
        return self._combine(other, max, "Max")

    def at_most(self, other: Summand) -> Sizes:
        """The smaller of the two, one by one."""
        return self._combine(other, min, "Min")

    def axis(self, index: int) -> Sizes:
        """The one size of that axis."""
        if self.numbers is not None:
            return Sizes(self.tape, self.numbers[index : index + 1])
        return Sizes(self.tape, None, self.tape.Gather(self.vector, self.tape.ints(index)))

    @property
    def or_rest(self) -> Sizes | int:
        """They where they are known, else −1: of a new shape, what is left."""
        return self if self.numbers is not None else -1

    @property
    def is_zero(self) -> bool:
        """Whether all of them are known to be zero."""
        return self.numbers is not None and not any(self.numbers)

    def _combine(self, other: Summand, combine: Callable[[int, int], int], op_type: str) -> Sizes:
        if isinstance(other, int):
            other = (other,)
        b = other if isinstance(other, Sizes) else Sizes(self.tape, other)
        if self.numbers is None or b.numbers is None:
            return Sizes(self.tape, None, self.tape.emit(op_type, [self.vector, b.vector], {})[0])
        count = max(len(self.numbers), len(b.numbers))
        pairs = zip(np.broadcast_to(self.numbers, count), np.broadcast_to(b.numbers, count), strict=True)
        return Sizes(self.tape, [combine(int(n), int(m)) for n, m in pairs])


def sizes_of(x: Value, start: int = 0, end: int | None = None) -> Sizes:
    """The sizes of the axes from `start` to `end` (the last)."""
    shape = None if x.shape is None else x.shape[start:end]
    numbers = None if shape is None else [n for n in shape if isinstance(n, int)]
    if shape is not None and numbers is not None and len(numbers) == len(shape):
        return Sizes(x.tape, numbers)
    return Sizes(x.tape, None, x.tape.Shape(x, start=start, end=end))


def counting(count: Sizes) -> Sizes:
    """0, 1 … count − 1."""
    op = count.tape
    if count.numbers is not None:
        return Sizes(op, range(count.numbers[0]))
    zero, one = op.constant(np.array(0, np.int64)), op.constant(np.array(1, np.int64))
    return Sizes(op, None, op.Range(zero, op.Squeeze(count.vector), one))


def joined(tape: Tape, *parts: Sizes | int) -> Value:
    """The parts one after the other, as one shape."""
    found: list[Sizes] = []
    for part in parts:
        sizes = Sizes(tape, (part,)) if isinstance(part, int) else part
        if found and found[-1].numbers is not None and sizes.numbers is not None:
            found[-1] = Sizes(tape, (*found[-1].numbers, *sizes.numbers))
        else:
            found.append(sizes)
    vectors = [sizes.vector for sizes in found if sizes.numbers != ()]
    return vectors[0] if len(vectors) == 1 else tape.Concat(*vectors, axis=0)


def reshaped(x: Value, *parts: Sizes | int) -> Value:
    """`x` in the shape of the parts, one after the other; 0 keeps a size, one may be −1."""
    return x.tape.Reshape(x, joined(x.tape, *parts))


def cut(x: Value, starts: Sizes, sizes: Sizes) -> Value:
    """The part of `x` (N, C, space) that begins at `starts` and has these sizes; `x` itself if that is all of it."""
    space = None if x.shape is None else x.shape[2:]
    if starts.is_zero and space is not None and space == sizes.numbers:
        return x
    return x.tape.Slice(x, joined(x.tape, 0, 0, starts), joined(x.tape, END, END, starts + sizes))


def padded(x: Value, before: Sizes, after: Sizes, filling: float = 0.0) -> Value:
    """`x` (N, C, space) with that much of `filling` around it, in space; no amount may be negative."""
    if before.is_zero and after.is_zero:
        return x
    op, channels = x.tape, Sizes(x.tape, (0, 0))
    value = op.number(filling, x) if filling else None
    return op.Pad(x, joined(op, channels, before, channels, after), value)
