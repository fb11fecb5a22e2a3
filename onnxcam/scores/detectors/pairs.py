"""Boxes and class scores as two outputs: DETR and its kin, SSD, RetinaNet, YOLOv4, YOLO-NAS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onnxcam.errors import RawBoxes
from onnxcam.graph import Tape, Value
from onnxcam.scores.detectors.anchored import given_anchors
from onnxcam.scores.detectors.boxes import as_corners, columns, float32, from_offsets, in_pixels
from onnxcam.scores.detectors.detections import Detections
from onnxcam.scores.detectors.grids import size_of
from onnxcam.scores.detectors.plumbing import SQUASHING, is_learnt, origin
from onnxcam.scores.detectors.settings import Settings
from onnxcam.scores.detectors.squashing import Pair, scores_in, softmax_input
from onnxcam.scores.detectors.tables import FEWEST_ROWS, is_float

NAMES = ("detr", "rtdetr", "deim", "dfine", "ssd", "retinanet", "anchored", "yolov4", "yolonas")
# The published DETR models name "no object" as a last class: 91 classes of COCO, 250 of its panoptic set.
WITH_NO_OBJECT = (92, 251)


@dataclass(frozen=True, slots=True)
class BoxesAndScores:
    """(N, B, 4) and (N, B, C), the raw numbers of which the model makes its detections.

    Attributes:
        family: the kind of head, where the way to them shows it.
    """

    boxes: Value
    scores: Value
    family: str | None = None


def find_pair(tape: Tape, picture: Value, *, settings: Settings) -> Detections | None:
    """The two outputs as detections.

    Raises:
        RawBoxes: if the boxes are offsets from anchors that nobody gives.
    """
    if settings.family not in (None, *NAMES):
        return None
    found = sorted(_pairs(tape), key=_likeness)
    # With other numbers of rows they are the scales of one head.
    is_one = len({(pair.boxes.shape or (None, None))[1] for pair in found}) == 1
    return read(found[0], picture, settings=settings) if is_one else None


def _likeness(pair: BoxesAndScores) -> tuple[bool, bool]:
    """The least for what is most likely a pair: scores of four classes have the shape of boxes."""
    return softmax_input(pair.boxes) is not None, "box" not in pair.boxes.name.lower()


def _pairs(tape: Tape) -> Iterator[BoxesAndScores]:
    for boxes in tape.outputs:
        four = _as_boxes(boxes)
        for scores in tape.outputs if four is not None else ():
            shape = scores.shape or ()
            if four is None or scores == boxes or len(shape) != 3 or not is_float(scores):
                continue
            rows = (four.shape or ())[1]
            if isinstance(rows, int) and rows < FEWEST_ROWS:
                continue
            if shape[1] == rows and isinstance(shape[2], int):
                yield BoxesAndScores(four, scores)
            elif shape[2] == rows and isinstance(shape[1], int):
                yield BoxesAndScores(four, tape.Transpose(scores, perm=[0, 2, 1]))


def _as_boxes(output: Value) -> Value | None:
    """(N, B, 4), or (N, B, 1, 4) with its empty axis taken out."""
    shape = output.shape or ()
    if not is_float(output) or shape[-1:] != (4,) or len(shape) not in (3, 4):
        return None
    if len(shape) == 3:
        return output
    return output.tape.Squeeze(output, output.tape.ints(2)) if shape[2] == 1 else None


def read(found: BoxesAndScores, picture: Value, *, settings: Settings) -> Detections:
    """Boxes as corners in pixels; scores without the class that means nothing is there."""
    pair, background = _scores(found.scores, settings)
    total = (found.scores.shape or (0,))[-1]
    assert isinstance(total, int)  # noqa: S101 - whoever made it has seen to it
    start, stop = (1, total) if background == "first" else (0, total - 1) if background == "last" else (0, total)
    count = stop - start
    if count < total:
        pair = Pair(columns(pair.logits, start, stop), columns(pair.shares, start, stop))
    reason = f"boxes and {count} class scores a candidate, {background if background != 'none' else 'no'} background"
    boxes = _boxes(found, picture, settings=settings)
    family = settings.family or found.family or ("detr" if _is_squashed(found.boxes) else "boxes and scores")
    return Detections(family, reason, boxes, pair.logits, pair.shares, count, found.boxes)


def _scores(table: Value, settings: Settings) -> tuple[Pair, str]:
    """Logits and probabilities of all classes, and which class is the background."""
    op, total = table.tape, (table.shape or (0,))[-1]
    before = softmax_input(table)
    if before is not None and total != 1:
        return Pair(float32(before), float32(table)), settings.background or "first"
    assert isinstance(total, int)  # noqa: S101 - whoever made it has seen to it
    pair = scores_in(table, 0, stop=total)
    background = settings.background or ("last" if total in WITH_NO_OBJECT and is_learnt(table) else "none")
    if background != "none" and is_learnt(table):
        return Pair(pair.logits, op.Softmax(pair.logits, axis=-1)), background
    return pair, background


def _boxes(found: BoxesAndScores, picture: Value, *, settings: Settings) -> Value:
    given = float32(found.boxes)
    if _is_squashed(found.boxes):
        return in_pixels(as_corners(given, settings.boxes or "centre"), size_of(picture), settings.unit or "share")
    if is_learnt(found.boxes):
        if settings.anchors is None:
            raise RawBoxes(found.boxes.name, found.boxes.shape)
        anchors = given_anchors(settings.anchors, (found.boxes.shape or (None, None))[1])
        return from_offsets(given, given.tape.constant(anchors))
    return in_pixels(as_corners(given, settings.boxes), size_of(picture), settings.unit)


def _is_squashed(boxes: Value) -> bool:
    node = origin(boxes).producer
    return node is not None and node.op_type in SQUASHING
