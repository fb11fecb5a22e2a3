"""Scores that the user writes down: an expression over the model's outputs, such as `output0[:, 4 + 17, 1203]`.

The grammar is Python's, read by `ast` and never evaluated: names of outputs (or of any tensor), numbers, `+ - * / **`,
comparisons are left out, subscripts of numbers and slices, and a few functions. The first axis is the batch and stays.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Sequence

import numpy as np

from onnxcam.errors import InvalidExpression
from onnxcam.graph import Tape, Value
from onnxcam.scores.table import Scores

BINARY: dict[type[ast.operator], Callable[[Value, Value | float], Value]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
NUMBERS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: float(a**b),
}
ELEMENTWISE = {
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "abs": "Abs", "sigmoid": "Sigmoid", "relu": "Relu", "tanh": "Tanh",
}  # fmt: skip
# Over all axes but the batch.
REDUCING = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin"}
FUNCTIONS = sorted([*ELEMENTWISE, *REDUCING, "norm", "softmax", "logit"])


def from_expression(tape: Tape, text: str) -> Scores:
    """The scores that an expression gives: (N,) one number an image, or (N, S) a row of them for targets to pick.

    Raises:
        InvalidExpression: if it does not parse, saying where, or has another shape.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise InvalidExpression(text, max((error.offset or 1) - 1, 0), error.msg or "syntax error") from error
    with tape.named("score"):
        found = Reader(tape, text.strip()).value(tree.body)
    if not isinstance(found, Value):
        raise InvalidExpression(text, 0, "it has no output of the model in it")
    return as_scores(found, text.strip())


def as_scores(value: Value, kind: str) -> Scores:
    """A tensor (N,), or (N, S) with ones behind it, as the scores to pick from.

    Raises:
        InvalidExpression: if it has another shape.
    """
    op, shape = value.tape, value.shape
    if value.dtype is None or value.dtype.kind not in "fV":
        raise InvalidExpression(kind, 0, f"it is of type {value.dtype}, which has no gradient")
    if shape is None or not shape or any(n != 1 for n in shape[2:]):
        given = "unknown" if shape is None else "(" + ", ".join(str(n) for n in shape) + ")"
        raise InvalidExpression(kind, 0, f"its shape is {given}; pick one number an image, or a row (N, S) of them")
    with op.named("score"):
        values = op.Unsqueeze(value, op.ints(1)) if len(shape) == 1 else op.Flatten(value, axis=1)
    count = (values.shape or (None, None))[1]
    if not isinstance(count, int):
        raise InvalidExpression(kind, 0, "how many numbers it gives cannot be told")
    return Scores(None, values, kind, count, ranked=count)


class Reader:
    """Reads an expression over the tensors of a tape."""

    def __init__(self, tape: Tape, text: str) -> None:
        self.tape, self.text = tape, text

    def value(self, node: ast.expr) -> Value | float:
        """What the part of the expression stands for: a tensor, or a number."""
        match node:
            case ast.Constant(value=bool() | complex()):
                raise self.wrong(node, "only numbers can be taken")
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.Constant(value=str() as name):
                return self.named(name, node)
            case ast.Name(id=name):
                return self.named(name, node)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.value(operand)
            case ast.BinOp():
                return self.binary(node)
            case ast.Subscript():
                return self.subscript(node)
            case ast.Call(func=ast.Name(id=name), keywords=[]):
                return self.call(name, node)
        raise self.wrong(node, "this cannot be part of a score")

    def named(self, name: str, node: ast.expr) -> Value:
        """The output of that name, or another tensor."""
        if name in self.tape:
            return self.tape.value(name)
        outputs = [value.name for value in self.tape.outputs]
        near = difflib.get_close_matches(name, outputs, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; outputs are {', '.join(map(repr, outputs))}"
        raise self.wrong(node, f"the model has no output {name!r}{hint}")

    def binary(self, node: ast.BinOp) -> Value | float:
        left, right, kind = self.value(node.left), self.value(node.right), type(node.op)
        if not isinstance(left, Value) and not isinstance(right, Value):
            if kind not in NUMBERS:
                raise self.wrong(node, "this operator cannot be used")
            return NUMBERS[kind](left, right)
        if kind not in BINARY:
            raise self.wrong(node, "this operator cannot be used on tensors")
        if isinstance(left, Value):
            return BINARY[kind](left, right)
        assert isinstance(right, Value)  # noqa: S101 - one of the two is
        return BINARY[kind](self.tape.number(left, right), right)

    def call(self, name: str, node: ast.Call) -> Value:
        if name not in FUNCTIONS:
            near = difflib.get_close_matches(name, FUNCTIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FUNCTIONS)}"
            raise self.wrong(node, f"there is no function {name!r}; {hint}")
        values = [self.value(entry) for entry in node.args]
        if len(values) != 1 or not isinstance(values[0], Value):
            raise self.wrong(node, f"{name}() takes one tensor")
        return self.apply(name, values[0])

    def apply(self, name: str, x: Value) -> Value:
        op = self.tape
        if name in ELEMENTWISE:
            return op.emit(ELEMENTWISE[name], [x], {})[0]
        if name == "softmax":
            return op.Softmax(x, axis=1)
        if name == "logit":
            return op.Log(x) - op.Log(1.0 - x)
        axes = op.ints(*range(1, len(x.shape or (None,))))
        if name == "norm":
            return op.Sqrt(op.ReduceSum(x * x, axes, keepdims=0))
        if REDUCING[name] == "ReduceSum":
            return op.ReduceSum(x, axes, keepdims=0)
        return op.emit(REDUCING[name], [x, axes], {"keepdims": 0})[0]

    def subscript(self, node: ast.Subscript) -> Value:
        """x[:, 4, 2:6]: numbers drop their axis, slices keep it; the first, the batch, must be ":"."""
        x = self.value(node.value)
        if not isinstance(x, Value):
            raise self.wrong(node, "a number has no elements")
        entries = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        shape = x.shape or ()
        if len(entries) > len(shape):
            raise self.wrong(node, f"it has {len(shape)} axes, not {len(entries)}")
        self._check_batch(entries[0])
        dropped = []
        for axis, entry in enumerate(entries[1:], start=1):
            x, is_dropped = self._along(x, axis, entry, size=shape[axis])
            dropped += [axis] if is_dropped else []
        return self.tape.Squeeze(x, self.tape.ints(*dropped)) if dropped else x

    def _check_batch(self, entry: ast.expr) -> None:
        is_all = isinstance(entry, ast.Slice) and entry.lower is entry.upper is entry.step is None
        if not is_all:
            raise self.wrong(entry, "the first axis is the batch and must be ':'")

    def _along(self, x: Value, axis: int, entry: ast.expr, *, size: object) -> tuple[Value, bool]:
        op = self.tape
        if isinstance(entry, ast.Slice):
            start, stop, step = (self._int(part, none=none) for part, none in self._bounds(entry))
            whole = entry.lower is None and entry.upper is None and entry.step is None
            return (x if whole else op.Slice(x, op.ints(start), op.ints(stop), op.ints(axis), op.ints(step))), False
        index = self._int(entry, none=0)
        if isinstance(size, int) and not -size <= index < size:
            raise self.wrong(entry, f"axis {axis} has {size} entries, none at {index}")
        end = index + 1 if index != -1 else np.iinfo(np.int64).max
        return op.Slice(x, op.ints(index), op.ints(end), op.ints(axis)), True

    def _bounds(self, entry: ast.Slice) -> Sequence[tuple[ast.expr | None, int]]:
        return [(entry.lower, 0), (entry.upper, int(np.iinfo(np.int64).max)), (entry.step, 1)]

    def _int(self, node: ast.expr | None, *, none: int) -> int:
        found = none if node is None else self.value(node)
        if isinstance(found, Value) or found != int(found):
            assert node is not None  # noqa: S101 - `none` is a whole number
            raise self.wrong(node, "an index must be a whole number")
        return int(found)

    def wrong(self, node: ast.expr, why: str) -> InvalidExpression:
        """The error at a part of the expression."""
        return InvalidExpression(self.text, node.col_offset, why)
