"""All that a head offers, as one table: for methods that look for a detection again in an altered picture."""

from __future__ import annotations

import numpy as np

from onnxcam.graph import Value
from onnxcam.scores.detectors.detections import Detections


def candidates(found: Detections) -> Value:
    """float32 (N, B, 5 + C): x0 y0 x1 y1 in pixels of the input, objectness, and the confidence in each class.

    Of a head without objectness the largest confidence stands in its place. In a list an entry has that of its own
    class alone.
    """
    op, confidences = found.boxes.tape, _confidences(found)
    objectness = found.objectness or op.ReduceMax(confidences, op.ints(2), keepdims=1)
    return op.Concat(found.boxes, objectness, confidences, axis=2)


def _confidences(found: Detections) -> Value:
    """(N, B, C)."""
    op = found.confidence.tape
    if found.labels is None:
        return found.confidence
    numbers = op.constant(np.arange(found.count, dtype=np.int64).reshape(1, 1, -1))
    is_own = op.Equal(op.Unsqueeze(found.labels, op.ints(2)), numbers)
    return op.Where(is_own, found.confidence, op.number(0.0, found.confidence))
