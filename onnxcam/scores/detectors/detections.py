"""What is known of a detector once its head has been found."""

from __future__ import annotations

from dataclasses import dataclass

from onnxcam.graph import Value
from onnxcam.scores.detectors.grids import Pyramid


@dataclass(frozen=True, slots=True)
class Detections:
    """The candidates of a detector: B boxes an image, and what speaks for each of C classes in them.

    Attributes:
        family: the kind of head.
        reason: what showed it.
        boxes: float32 (N, B, 4), x0 y0 x1 y1 in pixels of the model's input.
        logits: float32 (N, B, C): what is explained, before sigmoid or softmax; objectness, where there is one, added.
            Of a list, (N, B, 1): the logit of each entry's own class.
        confidence: the same shape, in [0, 1]: what detections are ranked and thresholded by.
        count: C.
        labels: int64 (N, B), of a list the class of each entry; None where every candidate has a score for each class.
        is_final: nothing is to be suppressed any more.
        objectness: (N, B, 1), in [0, 1], of a head that has a column for it.
        pyramid: the scales that the candidates come from, one behind the other; None where they are no cells.
        source: the tensor that the candidates' boxes are computed from by the model itself.
    """

    family: str
    reason: str
    boxes: Value
    logits: Value
    confidence: Value
    count: int
    source: Value
    labels: Value | None = None
    is_final: bool = False
    pyramid: Pyramid | None = None
    objectness: Value | None = None
