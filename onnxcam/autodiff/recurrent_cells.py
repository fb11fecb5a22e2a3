"""One step of an LSTM, a GRU and an RNN, in one direction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from onnxcam.autodiff.recurrent_activations import Activation
from onnxcam.autodiff.sizes import joined, sizes_of
from onnxcam.graph import Node, Value

# The places of the inputs.
X, W, R, B, LENGTHS, H, C, P = range(8)


class Cell(ABC):
    """One direction of a node.

    Args:
        x: its input, (time, batch, features).
        index: the direction's place among the node's.
        functions: its activations, in ONNX's order.

    Attributes:
        states: how many tensors (batch, hidden) a step gives the next; the first is what it shows.
        defaults: the activations where none are given.
    """

    states: ClassVar[int] = 1
    defaults: ClassVar[tuple[str, ...]] = ("Tanh",)

    def __init__(self, node: Node, x: Value, *, index: int, functions: Sequence[Activation]) -> None:
        self.node, self.tape, self.x, self.index, self.functions = node, node.tape, x, index, functions
        self.recurrent = self._required(R)

    @abstractmethod
    def step(self, x: Value, states: Sequence[Value]) -> list[Value]:
        """The states after a step; `x`: what the input has to say in it, (batch, gates · hidden)."""

    def projected(self) -> Value:
        """The input of all steps, weighted: (time, batch, gates · hidden)."""
        op = self.tape
        y = op.MatMul(self.x, op.Transpose(self._required(W), perm=[1, 0]))
        bias = self.input_bias()
        return y if bias is None else y + bias

    def input_bias(self) -> Value | None:
        """What is added to the gates before time passes: both biases, of the input and of the state."""
        bias = self.part(B)
        if bias is None:
            return None
        of_input, of_state = _split(bias, 2)
        return of_input + of_state

    def initial_states(self) -> list[Value]:
        """Those given, or zeros: (batch, hidden)."""
        return [self._initial(place) for place in (H, C)[: self.states]]

    def part(self, place: int) -> Value | None:
        """The direction's part of the node's input at that place; None where it was left out."""
        op, whole = self.tape, self.node.optional(place)
        if whole is None:
            return None
        axis = 1 if place in (H, C) and self.node.attributes.get("layout", 0) else 0
        if is_bidirectional(self.node):
            whole = op.Slice(whole, op.ints(self.index), op.ints(self.index + 1), op.ints(axis))
        return op.Squeeze(whole, op.ints(axis))

    def clipped(self, gate: Value) -> Value:
        """The gate within the node's limits."""
        limit: float | None = self.node.attributes.get("clip")
        return gate if limit is None else gate.tape.Clip(gate, -limit, limit)

    def weighted(self, h: Value, weights: Value) -> Value:
        """The state by weights (gates · hidden, hidden), in the body."""
        return h.tape.MatMul(h, self.tape.Transpose(weights, perm=[1, 0]))

    def _required(self, place: int) -> Value:
        part = self.part(place)
        if part is None:
            raise IndexError(f"{self.node!r} has no input {place}")
        return part

    def _initial(self, place: int) -> Value:
        given = self.part(place)
        if given is not None:
            return given
        shape = joined(self.tape, sizes_of(self.x, 1, 2), sizes_of(self.recurrent, 1, 2))
        return self.tape.Expand(self.tape.number(0.0, self.x), shape)


class RnnCell(Cell):
    """H' = f(gate)."""

    def step(self, x: Value, states: Sequence[Value]) -> list[Value]:
        """See Cell."""
        (h,), (f,) = states, self.functions
        return [f(self.clipped(x + self.weighted(h, self.recurrent)))]


class LstmCell(Cell):
    """C' = f(forget) C + f(input) g(cell), H' = f(output) h(C')."""

    states = 2
    defaults = ("Sigmoid", "Tanh", "Tanh")

    def step(self, x: Value, states: Sequence[Value]) -> list[Value]:
        """See Cell."""
        (h, c), (f, g, last) = states, self.functions
        i, o, forget, cell = _split(x + self.weighted(h, self.recurrent), 4)
        peep_i, peep_o, peep_f = self._peepholes()
        i = f(self.clipped(_peeped(i, c, peep_i)))
        kept = 1.0 - i if self.node.attributes.get("input_forget", 0) else f(self.clipped(_peeped(forget, c, peep_f)))
        c = kept * c + i * g(self.clipped(cell))
        o = f(self.clipped(_peeped(o, c, peep_o)))
        return [o * last(c), c]

    def _peepholes(self) -> Sequence[Value | None]:
        """What the gates see of C, by input, output and forget gate."""
        weights = self.part(P)
        return (None, None, None) if weights is None else _split(weights, 3)


class GruCell(Cell):
    """H' = (1 − z) g(new) + z H, where the new gate sees r H, or r times what it would see of H."""

    defaults = ("Sigmoid", "Tanh")

    @property
    def is_reset_last(self) -> bool:
        """Whether H is weighted before it is reset."""
        return bool(self.node.attributes.get("linear_before_reset", 0))

    def input_bias(self) -> Value | None:
        """Both biases; that of the state is its own when H is weighted first."""
        bias = self.part(B)
        return super().input_bias() if bias is None or not self.is_reset_last else _split(bias, 2)[0]

    def step(self, x: Value, states: Sequence[Value]) -> list[Value]:
        """See Cell."""
        (h,), (f, g) = states, self.functions
        x_z, x_r, x_n = _split(x, 3)
        if self.is_reset_last:
            h_z, h_r, h_n = _split(self._biased(self.weighted(h, self.recurrent)), 3)
            r = f(self.clipped(x_r + h_r))
            n = g(self.clipped(x_n + r * h_n))
        else:
            to_z, to_r, to_n = _split(self.recurrent, 3, axis=0)
            h_z = self.weighted(h, to_z)
            r = f(self.clipped(x_r + self.weighted(h, to_r)))
            n = g(self.clipped(x_n + self.weighted(r * h, to_n)))
        z = f(self.clipped(x_z + h_z))
        return [(1.0 - z) * n + z * h]

    def _biased(self, gates: Value) -> Value:
        bias = self.part(B)
        return gates if bias is None else gates + _split(bias, 2)[1]


def is_bidirectional(node: Node) -> bool:
    """Whether the node goes both ways."""
    return bool(node.attributes.get("direction", "forward") == "bidirectional")


def _split(x: Value, count: int, *, axis: int = -1) -> Sequence[Value]:
    """Equal parts along the axis."""
    return x.tape.emit("Split", [x], {"axis": axis, "num_outputs": count}, outputs=count)


def _peeped(gate: Value, c: Value, weights: Value | None) -> Value:
    return gate if weights is None else gate + c * weights
