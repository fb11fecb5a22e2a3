"""LSTM, GRU and RNN: a Scan over time that does the same, whose own rule gives the gradient."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import TensorProto

from onnxcam.autodiff.core import vjp_by_equivalent
from onnxcam.autodiff.recurrent_activations import activations
from onnxcam.autodiff.recurrent_cells import LENGTHS, Cell, GruCell, LstmCell, RnnCell, is_bidirectional
from onnxcam.autodiff.sizes import counting, sizes_of
from onnxcam.graph import Iteration, Node, Sliced, Value


@vjp_by_equivalent("LSTM")
def lstm(node: Node) -> list[Value]:
    """C' = f C + i tanh(gate), H' = o tanh(C'), the gates i, o, f through σ: a Scan over time, and its gradient."""
    return _written_out(node, LstmCell)


@vjp_by_equivalent("GRU")
def gru(node: Node) -> list[Value]:
    """H' = (1 − z) tanh(gate of r H) + z H, the gates z, r through σ: a Scan over time, and its gradient."""
    return _written_out(node, GruCell)


@vjp_by_equivalent("RNN")
def rnn(node: Node) -> list[Value]:
    """H' = tanh(W X + R H + b): a Scan over time, and its gradient."""
    return _written_out(node, RnnCell)


def _written_out(node: Node, kind: type[Cell]) -> list[Value]:
    """The node's outputs: H of all steps (time, directions, batch, hidden), then the last of each state."""
    op, is_batch_first = node.tape, bool(node.attributes.get("layout", 0))
    x = op.Transpose(node.x, perm=[1, 0, 2]) if is_batch_first else node.x
    ways = [_through_time(cell, lengths=_lengths(node), is_backward=back) for cell, back in _cells(node, x, kind)]
    shown, *last = (list(parts) for parts in zip(*ways, strict=True))
    whole, ends = _side_by_side(shown, 1), [_side_by_side(parts, 0) for parts in last]
    if not is_batch_first:
        return [whole, *ends]
    return [op.Transpose(whole, perm=[2, 0, 1, 3]), *(op.Transpose(end, perm=[1, 0, 2]) for end in ends)]


def _cells(node: Node, x: Value, kind: type[Cell]) -> list[tuple[Cell, bool]]:
    """Each direction of the node, and whether it goes from the last step to the first."""
    backward = [False, True] if is_bidirectional(node) else [node.attributes.get("direction") == "reverse"]
    functions, each = activations(node, kind.defaults, directions=len(backward)), len(kind.defaults)
    return [
        (kind(node, x, index=index, functions=functions[index * each :][:each]), is_backward)
        for index, is_backward in enumerate(backward)
    ]


def _lengths(node: Node) -> Value | None:
    """How many steps each sequence has, (batch, 1) int64; None when all have all."""
    lengths, op = node.optional(LENGTHS), node.tape
    return None if lengths is None else op.Unsqueeze(op.Cast(lengths, to=TensorProto.INT64), op.ints(1))


def _through_time(cell: Cell, *, lengths: Value | None, is_backward: bool) -> list[Value]:
    """H of all steps, (time, batch, hidden), and the last of each state, (batch, hidden)."""
    body = Iteration(cell.tape)
    states = [body.state(initial) for initial in cell.initial_states()]
    after = cell.step(body.slice(Sliced(cell.projected(), 0, is_backward)), states)
    if lengths is None:
        last, shown = body.scan(after, [Sliced(after[0], 0, is_backward)])
        return [*shown, *last]
    # Behind the end of a sequence its states stay as they are, and zeros are shown; so are they of one without a step.
    op, steps = cell.tape, counting(sizes_of(cell.x, 0, 1)).vector
    step = body.slice(Sliced(steps, 0, is_backward))
    is_within = step < lengths
    kept = [body.Where(is_within, new, old) for new, old in zip(after, states, strict=True)]
    last, shown = body.scan(kept, [Sliced(body.Where(is_within, after[0], 0.0), 0, is_backward)])
    return [*shown, *(op.Where(lengths > 0, state, 0.0) for state in last)]


def _side_by_side(parts: Sequence[Value], axis: int) -> Value:
    """The directions' tensors along a new axis."""
    op = parts[0].tape
    return op.Concat(*(op.Unsqueeze(part, op.ints(axis)) for part in parts), axis=axis)
