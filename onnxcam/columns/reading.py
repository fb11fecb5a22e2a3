"""The last linear layer and its outputs, of which a target reads one or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from onnxcam.columns.following import MOVES, is_alike, layout_behind
from onnxcam.columns.linear import Linear, linear_of
from onnxcam.graph import Node, Tape, Value, between
from onnxcam.scores import Term


@dataclass(frozen=True, eq=False)
class Columns:
    """How each score hangs on one output of the last linear layer and on nothing else.

    Attributes:
        linear: the layer; its outputs are the columns.
        nodes: what each of them goes through by itself, up to the scores.
        terms: which of them the targets pick.
    """

    linear: Linear
    nodes: Sequence[Node]
    terms: Sequence[Term]

    @cached_property
    def outputs(self) -> set[Value]:
        """The tensors of all columns."""
        return {self.linear.y, *(value for node in self.nodes for value in node.outputs)}

    @cached_property
    def index(self) -> Value:
        """The columns that are picked, int64 (N, J·K): K for the first of the J terms, then K for the second."""
        return _joined([term.column for term in self.terms])

    @cached_property
    def weights(self) -> Value:
        """Theirs, (N, J·K, C)."""
        return self.linear.of_outputs(self.index)

    @cached_property
    def y(self) -> Value:
        """What the layer gives of them, as `linear.y` with J·K channels."""
        y, axis = self.linear.y, self.linear.axis
        op, others = y.tape, [i for i in range(1, len(y.shape or ())) if i != axis]
        whole = self.index
        if others:
            sizes = op.Concat(op.ints(1), *self._sizes(op.ints(1)), axis=0)
            whole = op.Expand(op.Unsqueeze(self.index, op.ints(*others)), sizes)
        return op.GatherElements(y, whole, axis=axis)

    def of(self, inputs: Value, count: Value) -> Value:
        """What the layer gives of other inputs, (N·R, …): as `y`, (N·R, …)."""
        op, once = inputs.tape, self.index.tape
        images, channels = once.Shape(self.weights, start=0, end=1), once.Shape(self.weights, start=2)
        if self.linear.axis == len(self.linear.layout) - 1:
            y = self._of_rows(op.Reshape(inputs, once.Concat(images, once.ints(-1), channels, axis=0)))
        else:
            y = self._of_maps(op.Reshape(inputs, op.Concat(images, count, channels, once.ints(-1), axis=0)))
        columns = once.Shape(self.index, start=1)
        return op.Reshape(y, once.Concat(once.ints(-1), *self._sizes(columns), axis=0))

    def _of_rows(self, x: Value) -> Value:
        """(N, R·T, C) → (N, R·T, J·K).

        Where the outputs are the scores: what x has gained on the picture's own they gain W times. That is exact where
        nothing changed. Where something like a ReLU follows, hidden places must give the bias exactly, all the same.
        """
        op, once = x.tape, self.index.tape
        w = once.Transpose(self.weights, perm=[0, 2, 1])
        if self.nodes:
            return op.Add(op.MatMul(x, w), once.Unsqueeze(self._bias, once.ints(1)))
        own, y = (once.Unsqueeze(value, once.ints(1)) for value in (self.linear.x, self.y))
        return op.Add(op.MatMul(op.Sub(x, own), w), y)

    def _of_maps(self, x: Value) -> Value:
        """(N, R, C, P) → (N, R, J·K, P)."""
        op, once = x.tape, self.index.tape
        product = op.MatMul(once.Unsqueeze(self.weights, once.ints(1)), x)
        return op.Add(product, once.Unsqueeze(self._bias, once.ints(1, 3)))

    @cached_property
    def _bias(self) -> Value:
        """(N, J·K)."""
        return self.index.tape.Gather(self.linear.bias(), self.index, axis=0)

    def _sizes(self, columns: Value) -> list[Value]:
        """Of each axis behind that of the images, int64 [1]."""
        y, axis = self.linear.y, self.linear.axis
        sizes = (y.tape.Shape(y, start=i, end=i + 1) for i in range(1, len(y.shape or ())))
        return [columns if i == axis else size for i, size in enumerate(sizes, start=1)]

    def scores(self, y: Value, count: Value) -> Value:
        """The score of each target, (N, K, R), from what the layer gives of the picked columns, (N·R, …)."""
        op, once = y.tape, self.index.tape
        values = self._behind(y)
        parted = op.Reshape(values, op.Concat(op.ints(-1), count, once.Shape(self.index, start=1), axis=0))
        signs = once.Unsqueeze(_joined([term.sign for term in self.terms]), once.ints(1))
        signed = op.Transpose(op.Mul(parted, signs), perm=[0, 2, 1])
        if len(self.terms) == 1:
            return signed
        each = op.Reshape(signed, op.Concat(op.ints(0, len(self.terms), -1), count, axis=0))
        return op.ReduceSum(each, op.ints(1), keepdims=0)

    def _behind(self, y: Value) -> Value:
        """The scores of the picked columns, (N·R, J·K)."""
        found, end = {self.linear.y: y}, self.linear.y
        for node in self.nodes:
            inputs = [None if x is None else found.get(x, x) for x in node.inputs]
            if node.op_type in MOVES:  # to a shape that counts all columns
                outputs: Sequence[Value] = [y.tape.Flatten(inputs[0], axis=1)]
            else:
                outputs = y.tape.emit(node.op_type, inputs, node.attributes, outputs=len(node.outputs))
            found.update(zip(node.outputs, outputs, strict=True))
            end = node.output
        return found[end]


def _joined(parts: Sequence[Value]) -> Value:
    return parts[0] if len(parts) == 1 else parts[0].tape.Concat(*parts, axis=1)


def columns_of(tape: Tape, values: Value, terms: Sequence[Term]) -> Columns | None:
    """How the scores, (N, S), hang on the last linear layer; None where they are more than a function of each output.

    So they are behind a Softmax, which mixes the classes, and behind groups, which sum over them.
    """
    linear = _last_linear(values)
    if linear is None:
        return None
    nodes, layouts = between(tape, {linear.y}, values), {linear.y: linear.layout}
    for node in nodes:
        layout = layout_behind(node, layouts) if is_alike(node) else None
        if layout is None:
            return None
        layouts.update((value, layout) for value in node.outputs)
    return Columns(linear, nodes, terms) if layouts[values] == "NC" else None


def _last_linear(values: Value) -> Linear | None:
    """The first linear layer on the way back from the scores."""
    node = values.producer
    while node is not None:
        linear = linear_of(node, values)
        if linear is not None:
            return linear
        node = next((x.producer for x in node.inputs if x is not None and x.producer is not None), None)
    return None
