"""Scores that the user writes down: an expression over the model's outputs, such as `output0[:, 4 + 17, 1203]`.

The grammar is Python's, read by `ast` and never evaluated: names of outputs (or of any tensor), numbers, `+ - * / **`,
comparisons are left out, subscripts of numbers and slices, and a few functions. The first axis is the batch and stays.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable

from onnxcam.errors import InvalidExpression
from onnxcam.graph import Tape, Value
from onnxcam.scores.arithmetic import LARGEST, LAST, NUMBERS, computed, go_together, shown
from onnxcam.scores.table import Scores

BINARY: dict[type[ast.operator], Callable[[Value, Value | float], Value]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
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
    text = text.strip().replace("\n", " ")
    if not text:
        raise InvalidExpression(text, None, "it is empty")
    try:
        tree = ast.parse(text, mode="eval")
        with tape.named("score"):
            found = Reader(tape, text).value(tree.body)
    except SyntaxError as error:
        at = error.offset - 1 if error.offset else len(text)  # it has none where more was expected
        raise InvalidExpression(text, at, error.msg or "syntax error") from error
    except (RecursionError, MemoryError) as error:
        raise InvalidExpression(text, None, "it is nested too deeply") from error
    if not isinstance(found, Value):
        raise InvalidExpression(text, None, "it has no output of the model in it")
    return as_scores(found, text)


def as_scores(value: Value, kind: str) -> Scores:
    """A tensor (N,), or (N, S) with ones behind it, as the scores to pick from.

    Raises:
        InvalidExpression: if it has another shape.
    """
    op, shape = value.tape, value.shape
    if value.dtype is None or value.dtype.kind not in "fV":
        raise InvalidExpression(kind, None, f"it is of type {value.dtype}, which has no gradient")
    if shape is None or not shape or any(n != 1 for n in shape[2:]):
        given = "unknown" if shape is None else shown(shape)
        raise InvalidExpression(kind, None, f"its shape is {given}; pick one number an image, or a row (N, S) of them")
    with op.named("score"):
        values = op.Unsqueeze(value, op.ints(1)) if len(shape) == 1 else op.Flatten(value, axis=1)
    count = (values.shape or (None, None))[1]
    if not isinstance(count, int):
        raise InvalidExpression(kind, None, "how many numbers it gives cannot be told")
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
                return self.finite(number, node)
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
            found = self.tape.value(name)
            if found.dtype is None or found.dtype.kind not in "fV" or found.shape is None:
                raise self.wrong(
                    node, f"{name!r} is of type {found.dtype} and shape {found.shape}: no numbers to score"
                )
            return found
        outputs = [value.name for value in self.tape.outputs]
        near = difflib.get_close_matches(name, outputs, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; outputs are {', '.join(map(repr, outputs))}"
        raise self.wrong(node, f"the model has no output {name!r}{hint}")

    def binary(self, node: ast.BinOp) -> Value | float:
        left, right, kind = self.value(node.left), self.value(node.right), type(node.op)
        at = self.operator_of(node)
        if not isinstance(left, Value) and not isinstance(right, Value):
            if kind not in NUMBERS:
                raise InvalidExpression(self.text, at, "this operator cannot be used")
            return self.finite(computed(kind, left, right), at)
        if kind not in BINARY:
            raise InvalidExpression(self.text, at, "this operator cannot be used on tensors")
        if isinstance(left, Value):
            if isinstance(right, Value) and not go_together(left.shape or (), right.shape or ()):
                sides = f"{shown(left.shape or ())} and {shown(right.shape or ())}"
                raise InvalidExpression(self.text, at, f"shapes {sides} do not go together")
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
        if name == "softmax" and len(values[0].shape or ()) < 2:
            raise self.wrong(
                node, f"softmax() goes over the second axis, and there is none: {shown(values[0].shape or ())}"
            )
        return self.apply(name, values[0])

    def apply(self, name: str, x: Value) -> Value:
        op = self.tape
        if name in ELEMENTWISE:
            return op.emit(ELEMENTWISE[name], [x], {})[0]
        if name == "softmax":
            return op.Softmax(x, axis=1)
        if name == "logit":
            return op.Log(x) - op.Log(1.0 - x)
        if len(x.shape or ()) < 2:  # no axis to go over, which ONNX takes for all of them
            return op.Abs(x) if name == "norm" else x
        axes = op.ints(*range(1, len(x.shape or ())))
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
            start, stop, step = self._bounds(entry)
            if isinstance(size, int) and not range(size)[start:stop:step]:
                raise self.wrong(entry, f"nothing is left of axis {axis}, which has {size} entries")
            whole = entry.lower is None and entry.upper is None and entry.step is None
            return (x if whole else op.Slice(x, op.ints(start), op.ints(stop), op.ints(axis), op.ints(step))), False
        index = self._int(entry, none=0)
        if isinstance(size, int) and not -size <= index < size:
            raise self.wrong(entry, f"axis {axis} has {size} entries, none at {index}")
        end = index + 1 if index != -1 else LAST
        return op.Slice(x, op.ints(index), op.ints(end), op.ints(axis)), True

    def _bounds(self, entry: ast.Slice) -> tuple[int, int, int]:
        """Start, stop and step; going backwards, from the last to the first where they are not said."""
        step = self._int(entry.step, none=1)
        if step == 0 and entry.step is not None:
            raise self.wrong(entry.step, "a step of 0 leads nowhere")
        first, last = (0, LAST) if step > 0 else (LAST, -LAST)
        return self._int(entry.lower, none=first), self._int(entry.upper, none=last), step

    def _int(self, node: ast.expr | None, *, none: int) -> int:
        if node is None:
            return none
        found = self.value(node)
        if isinstance(found, Value) or found != int(found):
            raise self.wrong(node, "an index must be a whole number")
        if abs(found) > LAST:
            raise self.wrong(node, "an index cannot be so large")
        return int(found)

    def finite(self, number: float | None, at: ast.expr | int) -> float:
        """The number, if it is one that a tensor can hold."""
        if number is None or not abs(number) <= LARGEST:
            place = at if isinstance(at, int) else self.place(at)
            raise InvalidExpression(self.text, place, "this gives no number, or one too large")
        return number

    def operator_of(self, node: ast.BinOp) -> int:
        """Where the operator stands: behind its left side and what closes that."""
        end = self.place(node.left, node.left.end_col_offset)
        return end + len(self.text[end:]) - len(self.text[end:].lstrip(" )"))

    def place(self, node: ast.expr, offset: int | None = None) -> int:
        """The character at which a part begins; Python counts bytes."""
        return len(self.text.encode()[: node.col_offset if offset is None else offset].decode())

    def wrong(self, node: ast.expr, why: str) -> InvalidExpression:
        """The error at a part of the expression."""
        return InvalidExpression(self.text, self.place(node), why)
