"""Which candidates are detections: class-aware non-maximum suppression in the graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxcam.graph import Value
from onnxcam.scores.detectors.boxes import joined

MOST_DETECTIONS = 300


@dataclass(frozen=True, slots=True)
class Ranking:
    """The detections of each image, the most confident first.

    Attributes:
        order: int64 (N, R), the candidates.
        confidence: float32 (N, R), 0 where there are no more.
        last: R − 1, int64 [1]; a constant where the candidates are counted, so that nothing goes between devices.
    """

    order: Value
    confidence: Value
    last: Value


def ranked(boxes: Value, confidence: Value, classes: Value, *, iou: float, threshold: float) -> Ranking:
    """The candidates that are left when of those of one class that overlap only the most confident stays.

    Args:
        boxes: corners, float32 (N, B, 4).
        confidence: of each candidate's best class, float32 (N, B).
        classes: that class, int64 (N, B).
        iou: what overlaps more is suppressed.
        threshold: the least confidence.
    """
    op = boxes.tape
    # What is far below the threshold may have any size, and would cost the others' corners their precision.
    likely = op.Where(op.Unsqueeze(confidence, op.ints(2)) > threshold, boxes, op.number(0.0, boxes))
    picked = op.NonMaxSuppression(
        apart(likely, classes),
        op.Unsqueeze(confidence, op.ints(1)),
        op.ints(MOST_DETECTIONS),
        op.constant(np.array([iou], np.float32)),
        op.constant(np.array([threshold], np.float32)),
    )
    place = op.Gather(picked, op.ints(0, 2), axis=1)
    left = op.ScatterND(confidence * 0.0, place, op.GatherND(confidence, place))
    return first(left)


def apart(boxes: Value, classes: Value) -> Value:
    """The boxes with each class's moved off to where no other's are, so that only boxes of one class overlap."""
    op = boxes.tape
    corners = op.ReduceMax(boxes, op.ints(1, 2), keepdims=1) - op.ReduceMin(boxes, op.ints(1, 2), keepdims=1)
    return boxes + op.Unsqueeze(op.Cast(classes, to=1), op.ints(2)) * (corners + 1.0)


def first(confidence: Value) -> Ranking:
    """The candidates by confidence, (N, B) → (N, R), R at most `MOST_DETECTIONS`."""
    op, known = confidence.tape, (confidence.shape or (None, None))[1]
    if isinstance(known, int):
        count, last = (op.ints(min(known, MOST_DETECTIONS) - less) for less in (0, 1))
    else:
        count = op.Min(op.Shape(confidence, start=1, end=2), op.ints(MOST_DETECTIONS))
        last = count - 1
    values, order = op.emit("TopK", [confidence, count], {"axis": 1}, outputs=2)
    return Ranking(order, values, last)


def taken(values: Value, index: Value) -> Value:
    """Entries of rows: (N, B) or (N, B, 4) at `index` (N, K) → (N, K) or (N, K, 4)."""
    op = values.tape
    if len(values.shape or ()) == 2:
        return op.GatherElements(values, index, axis=1)
    width = (values.shape or (4,))[-1]
    assert isinstance(width, int)  # noqa: S101 - boxes have four numbers
    deep = op.Unsqueeze(index, op.ints(2))
    return op.GatherElements(values, joined([deep] * width), axis=1)
