"""Detectors: the score of a class in a box, and the target that names it by class, rank or box.

`score="detector"` finds the head by itself; "detector:KIND,key=value,…" says what does not show (see `Settings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from onnxcam.errors import OnnxCamError
from onnxcam.graph import Tape, Value
from onnxcam.layouts import find_picture, is_plane
from onnxcam.scores.detectors.candidates import candidates
from onnxcam.scores.detectors.choosing import select
from onnxcam.scores.detectors.detections import Detections
from onnxcam.scores.detectors.finding import FAMILIES, find_detections
from onnxcam.scores.detectors.habits import usual_preprocessing
from onnxcam.scores.detectors.levels import backbone_levels
from onnxcam.scores.detectors.maps import class_maps
from onnxcam.scores.detectors.settings import Settings, parse
from onnxcam.scores.detectors.suppression import MOST_DETECTIONS
from onnxcam.scores.selection import Ask, Selection
from onnxcam.scores.table import Scores, score_kind

__all__ = [
    "DETECTOR", "FAMILIES", "Detections", "Habit", "Settings", "as_of_detections", "detector", "find_detections",
    "habit",
]  # fmt: skip

DETECTOR, METHOD, JOINED = "detector", "layercam", "summed"
COCO, COCO_CLASSES = "coco-80", 80


@score_kind(DETECTOR, automatic=True, more=True)
def detector(tape: Tape, detail: str = "") -> Scores | None:
    """The class of one detection: its logit, with that of the objectness; "detector:KIND,iou=…,threshold=…"."""
    picture = find_picture(tape)
    settings = parse(detail)
    found = None if picture is None or not is_plane(picture) else find_detections(tape, picture, settings)
    if found is None or picture is None:
        return None
    usual = usual_preprocessing(found, picture)
    notes = [f"detector of kind {found.family}: {found.reason}"]
    notes += [_told(found, usual)] if usual else []
    return Scores(
        None,
        tape.Flatten(found.logits, axis=1),
        DETECTOR,
        found.count,
        ranked=MOST_DETECTIONS,
        select=partial(_select, found, settings),
        method=METHOD,
        layers=backbone_levels(tape, picture, _ends(found)),
        normalize=JOINED,
        label_list=COCO if found.count == COCO_CLASSES else None,
        preprocess=usual,
        maps=class_maps(found, picture),
        candidates=partial(candidates, found),
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class Habit:
    """What is usual with a detector, whichever of its numbers are explained.

    Attributes:
        preprocess: how pixels become its input; None: nothing is known.
        note: what a user is told of that.
    """

    preprocess: Mapping[str, Any] | None
    note: str


def habit(tape: Tape, picture: Value) -> Habit | None:
    """What is usual with the detector that the model is; None if it is none.

    For scores of other kinds: what is explained of a model does not change what it takes.
    """
    try:
        found = find_detections(tape, picture) if is_plane(picture) else None
    except OnnxCamError:  # a detector that cannot be read, which is nobody's concern here
        found = None
    if found is None:
        return None
    usual = usual_preprocessing(found, picture)
    return Habit(usual, "" if usual is None else _told(found, usual))


def as_of_detections(scores: Scores, tape: Tape, picture: Value) -> Scores:
    """An expression over a detector's numbers, explained as its detections are: at what its backbone hands over."""
    levels = backbone_levels(tape, picture, [scores.values])
    return replace(scores, method=METHOD, layers=levels, normalize=JOINED) if levels else scores


def _told(found: Detections, usual: Mapping[str, Any]) -> str:
    return f"unless said otherwise, pixels are prepared as {found.family} has them: {usual}"


def _ends(found: Detections) -> list[Value]:
    return [found.logits, found.source]


def _select(found: Detections, settings: Settings, scores: Scores, ask: Ask) -> Selection:
    return select(found, settings, scores, ask=ask)
