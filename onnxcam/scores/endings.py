"""What a segmentation net does with its logits before it hands them out: decides, squashes, stretches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onnxcam.graph import Node, Value
from onnxcam.scores.classes import PLUMBING, SQUASHING

THRESHOLDS = frozenset(("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Round"))
CHOICES = frozenset(("ArgMax",)) | THRESHOLDS
# What moves, stretches, cuts or scales the places of all classes alike.
STRETCHING = PLUMBING | frozenset("Resize Upsample Transpose Add Sub Mul Div Slice Pad Clip".split())
MOVING = PLUMBING | frozenset(("Resize", "Upsample", "Transpose", "Slice"))
CLASSIFYING = frozenset(("Conv", "ConvTranspose", "MatMul", "Gemm"))
# Of these either operand may be the one that is computed.
OF_TWO = frozenset(("Add", "Sub", "Mul", "Div")) | THRESHOLDS
# The convention that enlarges a map as the net enlarges its logits, where that is not by half-pixel centres.
PLACED = {"align_corners": "align-corners", "asymmetric": "asymmetric"}


@dataclass(frozen=True, slots=True)
class Ending:
    """How an output comes of logits.

    Attributes:
        logits: before the softmax, sigmoid, threshold or argmax that the net ends in; the output itself without such.
        is_sigmoid: each class is decided for itself.
        layer: what the last layer makes the logits of; None where nothing of the kind is near.
        normalize: the convention that puts a map's places where the net puts those of its logits; None: the usual one.
    """

    logits: Value
    is_sigmoid: bool
    layer: Value | None
    normalize: str | None


def ending_of(output: Value) -> Ending:
    """Follows the output back to the layer that tells the classes apart."""
    logits, is_sigmoid = _undecided(output)
    passed = list(_back_from(output))
    last = passed[-1] if passed else None
    layer = _before_dropout(last.x) if last is not None and last.op_type in CLASSIFYING else None
    return Ending(logits, is_sigmoid, layer, _placed_as(passed))


def _undecided(output: Value) -> tuple[Value, bool]:
    """The logits, and whether a sigmoid stands behind them."""
    value, at, is_sigmoid = output, output, False
    while (node := at.producer) is not None and node.op_type in SQUASHING | CHOICES | MOVING:
        source = _data(node)
        if source is None:
            break
        at = source
        if node.op_type in SQUASHING | CHOICES:
            value, is_sigmoid = at, is_sigmoid or node.op_type == "Sigmoid"
    return value, is_sigmoid


def _back_from(output: Value) -> Iterator[Node]:
    """What decides, squashes and stretches the logits, from the last on, and then what computes them."""
    node = output.producer
    while node is not None and node.op_type in STRETCHING | SQUASHING | CHOICES and (source := _data(node)) is not None:
        yield node
        node = source.producer
    if node is not None:
        yield node


def _data(node: Node) -> Value | None:
    """What the node works on; None where it joins two tensors, other than a sum, which goes on with its first."""
    if node.op_type not in OF_TWO:
        return node.inputs[0]
    computed = [value for value in node.inputs if value is not None and value.constant is None]
    return computed[0] if len(computed) == 1 or (computed and node.op_type == "Add") else None


def _placed_as(passed: list[Node]) -> str | None:
    """By the enlargement next to the logits' own grid, whose places are the largest."""
    for node in reversed(passed):
        if node.op_type == "Resize" and node.attributes.get("mode", "nearest") != "nearest":
            return PLACED.get(str(node.attributes.get("coordinate_transformation_mode", "half_pixel")))
    return None


def _before_dropout(value: Value) -> Value:
    while value.producer is not None and value.producer.op_type in ("Dropout", "Identity"):
        value = value.producer.x
    return value
