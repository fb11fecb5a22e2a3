"""Logits and probabilities of a head's class scores, whichever of the two the model gives."""

from __future__ import annotations

from dataclasses import dataclass

from onnxcam.graph import Value
from onnxcam.scores.detectors.boxes import columns, float32
from onnxcam.scores.detectors.plumbing import Part, origin, parts, unsquashed

# Nearest to 0 and 1 that a probability may come, to have log-odds in float32.
LEAST, MOST = 1e-12, 1.0 - 6e-8


@dataclass(frozen=True, slots=True)
class Pair:
    """The same scores twice, float32: `logits` to differentiate, `shares` in [0, 1] to rank by."""

    logits: Value
    shares: Value


def scores_in(table: Value, start: int, *, stop: int) -> Pair:
    """Columns start … stop − 1 of the last axis, as logits and probabilities.

    Straight from a convolution or a dense layer they are logits; behind a sigmoid the logits are what goes into it;
    what is computed otherwise, as the product of class and objectness, is a probability, which has log-odds.
    """
    op, given = table.tape, float32(columns(table, start, stop))
    found = window_of(table, start, stop=stop)
    if found and all(part.is_squashed for part in found):
        before = unsquashed(table)
        if before != table:
            return Pair(float32(columns(before, start, stop)), given)
    if found and all(part.is_learnt for part in found):
        return Pair(given, op.Sigmoid(given))
    return Pair(log_odds(given), given)


def window_of(table: Value, start: int, *, stop: int) -> list[Part]:
    """The parts that the columns touch."""
    kept, at = list[Part](), 0
    for part in parts(table, -1):
        if at < stop and at + part.size > start:
            kept.append(part)
        at += part.size
    return kept


def log_odds(p: Value) -> Value:
    """log p − log(1 − p)."""
    op = p.tape
    kept = op.Clip(p, op.number(LEAST, p), op.number(MOST, p))
    return op.Log(kept) - op.Log(1.0 - kept)


def softmax_input(table: Value) -> Value | None:
    """What goes into the softmax over the last axis that the table is, in the table's layout; None where it is none."""
    node = origin(table).producer
    if node is None or node.op_type != "Softmax" or node.output.shape is None:
        return None
    rank = len(node.output.shape)
    return unsquashed(table, "Softmax") if node.attributes.get("axis", -1) % rank == rank - 1 else None
