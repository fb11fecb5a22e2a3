"""What a model would have computed from another input, beside what it computes from its own."""

from __future__ import annotations

from onnxcam.autodiff.casting import as_float
from onnxcam.graph import Tape, Value, replay


class Reference:
    """The values of a model on a baseline."""

    def __init__(self, x: Value, baseline: Value, end: Value) -> None:
        """The model runs once more, from `baseline` in place of `x`, of the same shape, up to `end`.

        Raises:
            NotRepeatable: if control flow lies between that reads tensors from around it.
        """
        self.tape: Tape = x.tape
        self.end = end
        self._known = replay(x.tape, {x: baseline}, end, lambda value: value)

    def of(self, value: Value) -> Value:
        """The value on the baseline; itself where the input has no part in it, or within the body of a loop."""
        if value not in self._known:
            self._known[value] = self._made(value)
        return self._known[value]

    def _made(self, value: Value) -> Value:
        """Of what has come onto the tape since: the rules write some ops in others."""
        node = value.producer
        if node is None or value.tape is not self.tape or not node.reads.issubset(node.inputs):
            return value
        inputs = [None if x is None else self.of(x) for x in node.inputs]
        if tuple(inputs) == node.inputs:
            return value
        outputs = self.tape.emit(node.op_type, inputs, node.attributes, outputs=len(node.outputs))
        return outputs[node.outputs.index(value)]

    def change(self, value: Value) -> Value:
        """How far the value is from that on the baseline."""
        return as_float(value) - as_float(self.of(value))

    def mean(self, value: Value) -> Value:
        """Half way between both."""
        other = self.of(value)
        is_float = value.dtype is None or value.dtype.kind in "fV"
        return value if other == value or not is_float else (value + other) * 0.5
