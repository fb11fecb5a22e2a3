"""RISE for detections: a mask weighs how much of a detection is found again in what it leaves over."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.moving import BOX, overlap
from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.rise import Draw, Found, averaged
from onnxcam.drivers.scorecam import Fill
from onnxcam.drivers.table import driver
from onnxcam.errors import OnlyDetections
from onnxcam.ranges import Count, Probability, Seed

CANDIDATES: Final = "candidates"
OBJECTNESS, CLASSES = 4, slice(5, None)  # columns behind the box's four


@driver("drise", source="Petsiuk et al. 2021, arXiv:2006.03204", needs=CANDIDATES, score="probability", of_boxes=True)
def drise(
    probe: Probe,
    *,
    masks: Count = 5000,
    cells: Count = 16,
    probability: Probability = 0.5,
    fill: Fill = "zero",
    seed: Seed = 0,
) -> Floats:
    """RISE for a detection: a mask weighs how like it the likest is of all that the net finds in what it shows.

    Two are alike by the overlap of their boxes, times the cosine between their confidences in all classes, times the
    objectness of the one that is found. A head without objectness has its largest confidence in its place: the paper
    leaves the term out, and whatever points at the class faintly would be as good as the thing itself.
    """
    box = probe.guides.get(BOX)
    if box is None:
        raise OnlyDetections(probe.method)
    ((_, found),) = probe.answers([probe.x], lambda x: x, CANDIDATES)
    classes = at_box(found[CANDIDATES], box, probe.kind)

    def score(found: Found) -> float:
        return likeness(found[CANDIDATES], box, classes)

    return averaged(probe, Draw(masks, cells, probability, fill, seed), (CANDIDATES,), score)


def at_box(candidates: NDArray[np.float32], box: Floats, kind: int | None) -> Floats:
    """Confidences in all classes, (C,), of the candidate at the box that is surest of the class, or of any."""
    confidences = candidates[:, CLASSES]
    of_kind = confidences.max(axis=1) if kind is None else confidences[:, kind]
    return np.asarray(confidences[np.argmax(overlap(candidates, box) * of_kind)])


def likeness(candidates: NDArray[np.float32], box: Floats, classes: Floats) -> float:
    """How like a detection the likest candidate is, from 0 to 1.

    Args:
        candidates: (B, 5 + C), a box, objectness and confidences each.
        box: the detection's, (4,).
        classes: its confidences, (C,).
    """
    confidences = candidates[:, CLASSES]
    lengths = np.linalg.norm(confidences, axis=1) * np.linalg.norm(classes)
    cosines = np.einsum("bc,c->b", confidences, classes) / np.where(lengths > 0, lengths, 1)
    return float((overlap(candidates, box) * cosines * candidates[:, OBJECTNESS]).max(initial=0))
