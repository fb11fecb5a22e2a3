"""Scores of a segmentation net: for each class the sum of its logits over a region."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from onnxcam.errors import UnknownChoice
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
LOGITS = "logits"
LOWEST = -1e4  # below every logit, also in float16
# The convention that enlarges a map as the net enlarges its logits, where that is not by half-pixel centres.
PLACED = {"align_corners": "align-corners", "asymmetric": "asymmetric"}


@score_kind("segmentation", automatic=True, more=True, peers=LOGITS)
def segmentation(tape: Tape, detail: str = "") -> Scores | None:
    """By how much the class wins wherever the net sees it, added up; over a given region (input `region`) its logits.

    Over its own region a class is judged as the net judges it, against the best other one: its logit alone rises
    beside the mask too, and what it has in common with all classes drowns the map of a small one. "segmentation:logits"
    adds up the logits there too, as Seg-Grad-CAM does (Vinogradova et al. 2020, arXiv:2002.11434).

    Raises:
        UnknownChoice: if the detail is another one.
    """
    if detail not in ("", LOGITS):
        raise UnknownChoice("score of a segmentation net", detail, [LOGITS])
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
                seen = _seen(logits, classes, is_sigmoid=is_sigmoid)
                is_alone = classes == 1 or is_sigmoid or detail == LOGITS
                values = _over_region(logits, seen, picture, second=None if is_alone else _second(logits, seen))
                return Scores(
                    output,
                    values,
                    f"segmentation:{detail}" if detail else "segmentation",
                    classes,
                    ranked=classes,
                    method=METHOD,
                    layers=_classified(value),
                    normalize=_placed_as(value),
                )
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


def _over_region(logits: Value, seen: Value, picture: Value, *, second: Value | None) -> Value:
    """Σ region · logits, (N, C); adds input `region` (N, H, W), of any resolution, which may be left out.

    Args:
        logits: (N, C, h, w).
        seen: where the net sees each class, bool: the region where none is given.
        picture: the model's input.
        second: (N, 1, h, w), taken from the logits where no region is given.
    """
    op, shape = logits.tape, logits.shape or (None,) * 4
    given = op.add_input(REGION, np.float32, _region_dims(shape), default=np.full((1, 1, 1), WHOLE))
    own = op.Cast(seen, to=1)
    region = _a_row_each(_fitted(given, shape, logits), picture, like=op.Slice(own, op.ints(0), op.ints(1), op.ints(1)))
    is_own = region < 0.0
    weights = op.Where(is_own, own, region)
    weights = weights if logits.dtype == np.float32 else op.CastLike(weights, logits)
    total = op.ReduceSum(logits * weights, op.ints(2, 3), keepdims=0)
    if second is None:
        return total
    lost = weights * op.Where(is_own, second, op.number(0.0, logits))
    return total - op.ReduceSum(lost, op.ints(2, 3), keepdims=0)


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


def _second(logits: Value, seen: Value) -> Value:
    """The largest logit but that of the class that is seen, (N, 1, h, w)."""
    op = logits.tape
    others = op.Where(seen, op.number(LOWEST, logits), logits)
    return op.GatherElements(logits, op.ArgMax(others, axis=1, keepdims=1), axis=1)


def _classified(logits: Value) -> tuple[Value, ...]:
    """What the last layer makes the logits of."""
    return tuple(_before_dropout(node) for node in _back_from(logits) if node.op_type in CLASSIFYING)


def _placed_as(logits: Value) -> str | None:
    """The convention that puts a map's places where the net puts those of its logits; None: the usual one does."""
    modes = {
        str(node.attributes.get("coordinate_transformation_mode", "half_pixel"))
        for node in _back_from(logits)
        if node.op_type == "Resize" and node.attributes.get("mode", "nearest") != "nearest"
    }
    return PLACED.get(modes.pop()) if len(modes) == 1 else None


def _back_from(logits: Value) -> Iterator[Node]:
    """What stretches and moves the logits, from the last on, and then what computes them."""
    node = logits.producer
    while node is not None and node.op_type in STRETCHING and node.inputs[0] is not None:
        yield node
        node = node.x.producer
    if node is not None:
        yield node


def _before_dropout(node: Node) -> Value:
    value = node.x
    while value.producer is not None and value.producer.op_type in ("Dropout", "Identity"):
        value = value.producer.x
    return value
