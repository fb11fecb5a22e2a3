"""What is explained: which tensor holds the class scores, and how a target picks one of them for each image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxcam.errors import NoClassScores, UnknownScore
from onnxcam.graph import Node, Tape, Value

LOGIT, PROBABILITY = "logit", "probability"
# Ops that move scores about or store them otherwise, without mixing classes.
PLUMBING = frozenset(
    ("Reshape", "Flatten", "Identity", "Squeeze", "Unsqueeze", "Cast", "Dropout", "QuantizeLinear", "DequantizeLinear")
)
SQUASHING = frozenset(("Softmax", "LogSoftmax", "Sigmoid"))


@dataclass(frozen=True, slots=True)
class Scores:
    """The class scores of a model.

    Attributes:
        output: the model's own output that holds them, (N, C) or (N, C, 1, 1).
        values: what is differentiated, (N, C).
        kind: "logit" or "probability".
        classes: how many there are, C.
        has_sides: one sigmoid output, whose class 0 is "yes" and whose other side, "not:0", is as good an answer.
    """

    output: Value
    values: Value
    kind: str
    classes: int
    has_sides: bool


def find_scores(tape: Tape, kind: str = LOGIT) -> Scores:
    """The model's class scores: logits, also where the model ends in a softmax or sigmoid, or probabilities.

    Raises:
        NoClassScores: if no output is (N, C), times ones.
        UnknownScore: if `kind` is neither "logit" nor "probability".
    """
    if kind not in (LOGIT, PROBABILITY):
        raise UnknownScore(kind, (LOGIT, PROBABILITY))
    output = next(filter(_holds_classes, tape.outputs), None)
    if output is None:
        raise NoClassScores({value.name: value.shape for value in tape.outputs})
    squashing = _squashing(output)
    logits = output if squashing is None else squashing.input(0)
    with tape.named("score"):
        values = _flattened(logits if kind == LOGIT else _probability(output, squashing))
    classes = (values.shape or (None, None))[1]
    if not isinstance(classes, int):
        raise NoClassScores({values.name: values.shape})
    has_sides = classes == 1 and squashing is not None and squashing.op_type == "Sigmoid"
    return Scores(output, values, kind, classes, has_sides)


def _holds_classes(value: Value) -> bool:
    """(N, C), (N, C, 1, 1) or (N, 1, 1, C), and float; (N, M, 1) is a list of M detections as a rule."""
    shape, dtype = value.shape, value.dtype
    if shape is None or len(shape) in (0, 1, 3) or dtype is None or dtype.kind not in "fV":
        return False
    return all(n == 1 for n in shape[2:]) or all(n == 1 for n in shape[1:-1])


def _squashing(value: Value) -> Node | None:
    """The final softmax or sigmoid, behind mere plumbing; None when the model gives logits."""
    node = value.producer
    while node is not None and node.op_type in PLUMBING and node.inputs[0] is not None:
        node = node.inputs[0].producer
    return node if node is not None and node.op_type in SQUASHING else None


def _probability(output: Value, squashing: Node | None) -> Value:
    op = output.tape
    if squashing is None:
        flat = _flattened(output)
        return op.Sigmoid(flat) if flat.shape and flat.shape[1] == 1 else op.Softmax(flat, axis=1)
    return op.Exp(output) if squashing.op_type == "LogSoftmax" else output


def _flattened(value: Value) -> Value:
    """(N, C, 1, 1) as (N, C)."""
    return value if value.shape is not None and len(value.shape) == 2 else value.tape.Flatten(value, axis=1)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a target picks of each row of scores.

    Attributes:
        index: (M,), the class, or C + class for the other side of one.
        score: (M,), what is explained.
        column: (M, 1), the class alone.
        sign: (M, 1), −1 for the other side of a class, else 1, in the type of the scores.
    """

    index: Value
    score: Value
    column: Value
    sign: Value


def select(scores: Scores, values: Value, target: Value) -> Selection:
    """The chosen score of each row.

    With C classes a target t is, for 0 ≤ t < C, a class; for C ≤ t < 2C the other side of class t − C, minus its
    logit; for t < 0 a rank: −1 the best, −2 the second. A one-output sigmoid has two sides to rank, others C classes.

    Args:
        scores: where `values` come from.
        values: (M, C).
        target: int64 (M,).
    """
    op, squeezed = values.tape, values.tape.ints(1)
    wanted = op.Unsqueeze(target, op.ints(1))
    ranked = op.Concat(values, -values, axis=1) if scores.has_sides else values
    index = op.Where(wanted < 0, _at_rank(scores, ranked, wanted), wanted)
    is_other = index >= scores.classes
    column = op.Where(is_other, index - scores.classes, index)
    sign = op.Where(is_other, op.number(-1.0, values), op.number(1.0, values))
    chosen = op.GatherElements(values, column, axis=1) * sign
    return Selection(op.Squeeze(index, squeezed), op.Squeeze(chosen, squeezed), column, sign)


def _at_rank(scores: Scores, ranked: Value, wanted: Value) -> Value:
    """The class at rank −1, −2 …, (M, 1); whatever for targets that are no rank."""
    op = ranked.tape
    count = 2 * scores.classes if scores.has_sides else scores.classes
    _, order = op.emit("TopK", [ranked, op.ints(count)], {"axis": 1}, outputs=2)
    zero = op.constant(np.array(0, np.int64))
    return op.GatherElements(order, op.Where(wanted < 0, -1 - wanted, zero), axis=1)
