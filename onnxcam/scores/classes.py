"""Scores of classes: what a classifier gives, as logits, as probabilities, or as they are."""

from __future__ import annotations

from onnxcam.graph import Node, Tape, Value
from onnxcam.layouts import Followed, find_picture
from onnxcam.scores.table import Scores, score_kind

LOGIT, PROBABILITY, OUTPUT, RESIDUAL = "logit", "probability", "output", "rest"
# Ops that move scores about or store them otherwise, without mixing classes.
PLUMBING = frozenset(
    ("Reshape", "Flatten", "Identity", "Squeeze", "Unsqueeze", "Cast", "Dropout", "QuantizeLinear", "DequantizeLinear")
)
SQUASHING = frozenset(("Softmax", "LogSoftmax", "Sigmoid"))


@score_kind(LOGIT, automatic=True)
def logits(tape: Tape, _: str = "") -> Scores | None:
    """The class's logit: a final softmax or sigmoid is stepped over, for a saturated one has no gradient left."""
    output = class_output(tape)
    if output is None:
        return None
    squashing = _squashing(output)
    return _scores(output, flattened(output if squashing is None else squashing.input(0)), LOGIT, squashing)


@score_kind(PROBABILITY)
def probabilities(tape: Tape, _: str = "") -> Scores | None:
    """The class's probability: the softmax or sigmoid itself, added where the model gives logits."""
    output = class_output(tape)
    if output is None:
        return None
    squashing = _squashing(output)
    return _scores(output, flattened(_probability(output, squashing)), PROBABILITY, squashing)


@score_kind(RESIDUAL)
def residual(tape: Tape, _: str = "") -> Scores | None:
    """The class's logit and the logarithm of its probability, summed: ReST, as Shapley-CAM's paper advises."""
    output = class_output(tape)
    if output is None:
        return None
    squashing = _squashing(output)
    y = flattened(output if squashing is None else squashing.input(0))
    is_single = y.shape is not None and y.shape[1] == 1
    logarithm = -tape.Softplus(-y) if is_single else tape.LogSoftmax(y, axis=1)
    return _scores(output, y + logarithm, RESIDUAL, squashing)


@score_kind(OUTPUT)
def as_given(tape: Tape, _: str = "") -> Scores | None:
    """The output as the model gives it, whatever it ends in: a regressed value, a score of any scale."""
    output = class_output(tape)
    return None if output is None else _scores(output, flattened(output), OUTPUT, None)


def class_output(tape: Tape) -> Value | None:
    """The first output that can be a table of classes; where there is none, the first that is a number an image."""
    return row_output(tape) or _number_output(tape)


def row_output(tape: Tape) -> Value | None:
    """The first output that can be a table, with a row for each image."""
    return next(filter(_holds_classes, tape.outputs), None)


def _number_output(tape: Tape) -> Value | None:
    """The first output (N,) that is computed from the pictures, and as long as there are of them."""
    numbers = [value for value in tape.outputs if len(value.shape or ()) == 1 and _is_float(value)]
    picture = find_picture(tape) if numbers else None
    if picture is None:
        return None
    followed = Followed(tape, picture)
    return next((value for value in numbers if _counts_images(value, followed)), None)


def _counts_images(value: Value, followed: Followed) -> bool:
    """Whether it is (N,) of the pictures, N being their number."""
    (axis,), lead = followed.axes.get(value) or ((),), (followed.picture.shape or (None,))[0]
    is_alike = lead is not None and value.shape == (lead,) and value in followed.reached
    return is_alike or [atom.kind for atom in axis] == ["N"]


def flattened(value: Value) -> Value:
    """(N, C, 1, 1), and (N,) of a single number, as (N, C)."""
    return value if value.shape is not None and len(value.shape) == 2 else value.tape.Flatten(value, axis=1)


def _scores(output: Value, values: Value, kind: str, squashing: Node | None) -> Scores | None:
    count = (values.shape or (None, None))[1]
    if not isinstance(count, int):
        return None
    has_sides = count == 1 and squashing is not None and squashing.op_type == "Sigmoid"
    return Scores(output, values, kind, count, has_sides, ranked=count)


def _holds_classes(value: Value) -> bool:
    """(N, C), (N, C, 1, 1) or (N, 1, 1, C), and float; (N, M, 1) is a list of M detections as a rule."""
    shape = value.shape
    if shape is None or len(shape) in (0, 1, 3) or not _is_float(value):
        return False
    return all(n == 1 for n in shape[2:]) or all(n == 1 for n in shape[1:-1])


def _is_float(value: Value) -> bool:
    return value.dtype is not None and value.dtype.kind in "fV"


def _squashing(value: Value) -> Node | None:
    """The final softmax or sigmoid, behind mere plumbing; None when the model gives logits."""
    node = value.producer
    while node is not None and node.op_type in PLUMBING and node.inputs[0] is not None:
        node = node.inputs[0].producer
    return node if node is not None and node.op_type in SQUASHING else None


def _probability(output: Value, squashing: Node | None) -> Value:
    op = output.tape
    if squashing is None:
        flat = flattened(output)
        return op.Sigmoid(flat) if flat.shape and flat.shape[1] == 1 else op.Softmax(flat, axis=1)
    return op.Exp(output) if squashing.op_type == "LogSoftmax" else output
