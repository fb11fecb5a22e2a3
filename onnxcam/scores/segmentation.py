"""Scores of a segmentation net: for each class the sum of its logits over a region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxcam.graph import Dim, Node, Tape, Value
from onnxcam.layouts import Followed, find_picture, form_of
from onnxcam.scores.classes import PLUMBING, SQUASHING
from onnxcam.scores.table import Scores, score_kind

REGION = "region"
WHOLE = -1.0  # in the region: wherever the model itself sees the class
# The mean of a gradient over space forgets where the region lies.
METHOD = "hirescam"
DECIDING = SQUASHING | PLUMBING | {"ArgMax"}
# What moves, stretches or shifts the logits of the places without mixing classes.
STRETCHING = frozenset("Resize Upsample Transpose Add Identity Cast Dropout QuantizeLinear DequantizeLinear".split())
CLASSIFYING = frozenset(("Conv", "ConvTranspose", "MatMul", "Gemm"))


@score_kind("segmentation", automatic=True)
def segmentation(tape: Tape, _: str = "") -> Scores | None:
    """The class's logits, added up over a region (input `region`), by default wherever the net sees the class."""
    picture = find_picture(tape)
    if picture is None:
        return None
    axes = Followed(tape, picture).axes
    for output in tape.outputs:
        value, is_sigmoid = _undecided(output)
        form = form_of(value, axes[value]) if value in axes else None
        if form is not None and set(form.layout) == set("NCHW"):
            logits = _channels_first(value, form.layout)
            classes = (logits.shape or (None, None))[1]
            if isinstance(classes, int):
                values = _over_region(logits, classes, picture, is_sigmoid=is_sigmoid)
                layers = _classified(value)
                return Scores(output, values, "segmentation", classes, ranked=classes, method=METHOD, layers=layers)
    return None


def _undecided(output: Value) -> tuple[Value, bool]:
    """The logits before the softmax, sigmoid or argmax that the net ends in, and whether it was a sigmoid."""
    value, decided, is_sigmoid = output, output, False
    while (node := decided.producer) is not None and node.op_type in DECIDING and node.inputs[0] is not None:
        decided = node.x
        if node.op_type in SQUASHING | {"ArgMax"}:
            value, is_sigmoid = decided, is_sigmoid or node.op_type == "Sigmoid"
    return value, is_sigmoid


def _channels_first(value: Value, layout: str) -> Value:
    order = [layout.index(axis) for axis in "NCHW"]
    return value if order == [0, 1, 2, 3] else value.tape.Transpose(value, perm=order)


def _over_region(logits: Value, classes: int, picture: Value, *, is_sigmoid: bool) -> Value:
    """Σ region · logits, (N, C); adds input `region` (N, H, W), of any resolution, which may be left out."""
    op, shape = logits.tape, logits.shape or (None,) * 4
    given = op.add_input(REGION, np.float32, _region_dims(shape), default=np.full((1, 1, 1), WHOLE))
    own = op.Cast(_seen(logits, classes, is_sigmoid=is_sigmoid), to=1)
    region = _a_row_each(_fitted(given, shape, logits), picture, like=op.Slice(own, op.ints(0), op.ints(1), op.ints(1)))
    weights = op.Where(region < 0.0, own, region)
    weights = weights if logits.dtype == np.float32 else op.CastLike(weights, logits)
    return op.ReduceSum(logits * weights, op.ints(2, 3), keepdims=0)


def _fitted(given: Value, shape: Sequence[Dim], logits: Value) -> Value:
    """The region at the logits' resolution, (·, 1, h, w), bilinear."""
    op, sides = given.tape, [n for n in shape[2:] if isinstance(n, int)]
    size = op.ints(*sides) if len(sides) == 2 else op.Shape(logits, start=2)
    sizes = op.Concat(op.Shape(given, start=0, end=1), op.ints(1), size, axis=0)
    return op.Resize(op.Unsqueeze(given, op.ints(1)), None, None, sizes, mode="linear")


def _a_row_each(given: Value, picture: Value, *, like: Value) -> Value:
    """What may be there once for all images, for each of them."""
    op = given.tape
    rows = op.Expand(given, op.Concat(op.Shape(picture, start=0, end=1), op.ints(1, 1, 1), axis=0))
    op.note_shape(rows, like)
    return rows


def _region_dims(shape: tuple[Dim, ...]) -> list[Dim]:
    """Symbols, so that the default of a single place is a valid one."""
    return [shape[0] if isinstance(shape[0], str) else None, "region_height", "region_width"]


def _seen(logits: Value, classes: int, *, is_sigmoid: bool) -> Value:
    """Where the net sees each class, (N, C, h, w): of several the largest logit, of one what is above the half."""
    op = logits.tape
    if classes == 1 or is_sigmoid:
        return logits > 0.0 if is_sigmoid else logits.equals(logits)
    best = op.ArgMax(logits, axis=1, keepdims=1)
    numbers = op.constant(np.arange(classes, dtype=np.int64).reshape(1, -1, 1, 1))
    return best.equals(numbers)


def _classified(logits: Value) -> tuple[Value, ...]:
    """What the last layer makes the logits of."""
    node = logits.producer
    while node is not None and node.op_type in STRETCHING and node.inputs[0] is not None:
        node = node.x.producer
    return (_before_dropout(node),) if node is not None and node.op_type in CLASSIFYING else ()


def _before_dropout(node: Node) -> Value:
    value = node.x
    while value.producer is not None and value.producer.op_type in ("Dropout", "Identity"):
        value = value.producer.x
    return value
