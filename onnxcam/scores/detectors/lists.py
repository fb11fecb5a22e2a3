"""Graphs that end in finished detections: YOLOv10's (N, 300, 6), a NonMaxSuppression, a TopK over all scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from onnxcam.errors import UnknownClassCount
from onnxcam.graph import Node, Tape, Value
from onnxcam.layouts import find_picture
from onnxcam.layouts.reach import below
from onnxcam.scores.detectors.boxes import as_corners, columns, float32, in_pixels
from onnxcam.scores.detectors.detections import Detections
from onnxcam.scores.detectors.grids import pyramid_of, size_of
from onnxcam.scores.detectors.pairs import BoxesAndScores, read
from onnxcam.scores.detectors.plumbing import MOVING, SQUASHING, STORING, parts
from onnxcam.scores.detectors.settings import Settings
from onnxcam.scores.detectors.squashing import log_odds
from onnxcam.scores.detectors.tables import is_float
from onnxcam.scores.detectors.walking import first_above, without_sizes

MOST_LISTED = 1000
NAMES = ("list", "yolov10", "yolo26")
# Exporters from TensorFlow and Keras write y first, as ONNX's NonMaxSuppression has it; those from PyTorch x.
ROWS_FIRST = ("tf", "keras")


@dataclass(frozen=True, slots=True)
class Listed:
    """The finished detections of a model: boxes (N, B, 4), scores (N, B) and labels (N, B), or without the batch.

    Attributes:
        is_sure: the labels are whole numbers, so it can be nothing else.
    """

    boxes: Value
    scores: Value
    labels: Value
    is_sure: bool = True


def find_list(tape: Tape, picture: Value, *, settings: Settings) -> Detections | None:
    """The candidates from which the model picks its detections, or where these cannot be had, the detections.

    Raises:
        UnknownClassCount: if there are detections, but nothing shows how many classes.
    """
    listed = _six_columns(tape) or _three_outputs(tape)
    if settings.family is None:
        whole = _before_topk(listed) or _before_suppression(tape)
        if whole is not None:
            return read(whole, picture, settings=_written(tape, whole, settings=settings))
    if listed is None or settings.family not in (None, *NAMES):
        return None
    return _as_list(listed, picture, settings=settings)


def _six_columns(tape: Tape) -> Listed | None:
    """(N, B, 6): corners, score and label of at most a thousand detections."""
    for output in tape.outputs:
        shape = output.shape or ()
        if len(shape) != 3 or shape[2] != 6 or not is_float(output):
            continue
        if _is_list(output):
            op, last = tape, tape.ints(2)
            scores, labels = (op.Squeeze(columns(output, at, at + 1), last) for at in (4, 5))
            return Listed(columns(output, 0, 4), scores, op.Cast(labels, to=7), _ends_in_labels(output))
    return None


def _is_list(output: Value) -> bool:
    """Whether its last column counts classes, or, where that does not show, its rows are few and no cells."""
    found, rows, picture = parts(output, -1), (output.shape or (None, None))[1], find_picture(output.tape)
    if _ends_in_labels(output):
        return True
    if not isinstance(rows, int) or picture is None or any(part.is_squashed or part.is_learnt for part in found):
        return False
    return rows <= MOST_LISTED and pyramid_of(rows, picture) is None


def _ends_in_labels(output: Value) -> bool:
    """Whether the last column is made of whole numbers."""
    found = parts(output, -1)
    return bool(found) and found[-1].source.dtype is not None and found[-1].source.dtype.kind in "iu"


def _three_outputs(tape: Tape) -> Listed | None:
    """(…, B, 4), (…, B) float and (…, B) of whole numbers, or float and called labels or classes."""
    for boxes in tape.outputs:
        shape = boxes.shape or ()
        if not is_float(boxes) or len(shape) not in (2, 3) or shape[-1] != 4 or _counts_images(boxes):
            continue
        others = [x for x in tape.outputs if x != boxes and x.shape is not None and len(x.shape) == len(shape) - 1]
        labels = next((x for x in others if _names_classes(x)), None)
        scores = next((x for x in others if is_float(x) and x != labels), None)
        if labels is not None and scores is not None:
            whole = labels if labels.dtype == np.int64 else tape.Cast(labels, to=7)
            return _with_batch(Listed(boxes, scores, whole))
    return None


def _counts_images(boxes: Value) -> bool:
    """Whether (·, 4) is a row for each image: four numbers of a classifier."""
    picture = find_picture(boxes.tape)
    return len(boxes.shape or ()) == 2 and picture is not None and (boxes.shape or ())[0] == (picture.shape or ())[0]


def _names_classes(value: Value) -> bool:
    is_whole = value.dtype is not None and value.dtype.kind in "iu"
    return is_whole or any(word in value.name.lower() for word in ("label", "class", "cls"))


def _with_batch(listed: Listed) -> Listed:
    op = listed.boxes.tape
    if len(listed.boxes.shape or ()) == 3:
        return listed
    boxes, scores, labels = (op.Unsqueeze(x, op.ints(0)) for x in (listed.boxes, listed.scores, listed.labels))
    return Listed(boxes, scores, labels)


def _before_topk(listed: Listed | None) -> BoxesAndScores | None:
    """What a TopK over every candidate's every class picks from: all boxes, (N, Q, 4), and all scores, (N, Q, C)."""
    top = None if listed is None else first_above(listed.scores, "TopK", through=MOVING | {"Sigmoid"})
    gather = None if listed is None else first_above(listed.boxes, "GatherElements", through=STORING)
    if top is None or gather is None:
        return None
    scores = without_sizes(top.x)
    boxes, shape = gather.x, scores.shape or ()
    is_all = len(shape) == 3 and isinstance(shape[2], int) and len(boxes.shape or ()) == 3
    return BoxesAndScores(_as_shares(boxes), scores, "detr") if is_all else None


def _as_shares(boxes: Value) -> Value:
    """Boxes that the model stretches to a size that another input names, as they are before."""
    node = boxes.producer
    if node is None or node.op_type != "Mul":
        return boxes
    for index in (0, 1):
        inputs = [x for x in below([node.input(index)]) if x in boxes.tape.inputs]
        if len(inputs) == 1 and (inputs[0].shape or ())[1:] == (2,):
            return node.input(1 - index)
    return boxes


def _before_suppression(tape: Tape) -> BoxesAndScores | None:
    """What a NonMaxSuppression takes: boxes (N, B, 4) and scores (N, C, B), where each class has scores of its own."""
    node = next((node for node in tape.nodes if node.op_type == "NonMaxSuppression"), None)
    if node is None:
        return None
    boxes, scores = node.x, node.input(1)
    shape = scores.shape or ()
    if len(shape) != 3 or not isinstance(shape[1], int):
        return None
    is_single = shape[1] == 1 and first_above(scores, "ReduceMax", through=MOVING) is not None
    picked = below([scores]) & {x for other in tape.nodes if other.op_type == "NonZero" for x in other.outputs}
    if is_single or picked:
        return None
    return BoxesAndScores(boxes, tape.Transpose(scores, perm=[0, 2, 1]), "nms")


def _written(tape: Tape, whole: BoxesAndScores, *, settings: Settings) -> Settings:
    """The settings with what a NonMaxSuppression says of its boxes."""
    node = next((x for x in tape.nodes if x.op_type == "NonMaxSuppression" and x.x == whole.boxes), None)
    if node is None or settings.boxes is not None:
        return settings
    producer = tape.model.producer_name.lower()
    corners = "rows-first" if any(word in producer for word in ROWS_FIRST) else "corners"
    return replace(settings, boxes="centre" if node.attributes.get("center_point_box", 0) else corners)


def _as_list(listed: Listed, picture: Value, *, settings: Settings) -> Detections | None:
    op, scores = picture.tape, float32(listed.scores)
    count = settings.classes or _count(listed)
    if count is None and settings.family is None and not listed.is_sure:
        return None
    if count is None:
        raise UnknownClassCount(listed.scores.name)
    given = as_corners(float32(listed.boxes), settings.boxes or "corners")
    boxes = in_pixels(given, size_of(picture), settings.unit)
    confidence = op.Unsqueeze(scores, op.ints(2))
    return Detections(
        settings.family or "list",
        "a list of finished detections: boxes, scores and labels",
        boxes,
        log_odds(confidence),
        confidence,
        count,
        listed.boxes,
        labels=listed.labels,
        is_final=True,
    )


def _count(listed: Listed) -> int | None:
    """How many classes the labels count: what they are the remainder of, or what the scores' squashing spans.

    A background that a softmax knows is counted by the labels, too.
    """
    for value in below([listed.labels]):
        node = value.producer
        if node is None or not _parts_class_from_place(node):
            continue
        divisor = node.input(1).constant
        if divisor is not None and divisor.dtype.kind in "iu" and divisor.size == 1 and divisor.item() > 1:
            return int(divisor.item())
    for value in sorted(below([listed.scores]), key=_order(listed.scores.tape), reverse=True):
        node, shape = value.producer, value.shape or ()
        if node is None or node.op_type not in SQUASHING | {"Softmax"} or len(shape) < 2:
            continue
        size = shape[-1]
        if isinstance(size, int) and size > 1:
            return size
    return None


def _parts_class_from_place(node: Node) -> bool:
    """Whether it takes apart the place that a TopK found among all candidates' classes."""
    return node.op_type in ("Mod", "Div") and first_above(node.x, "TopK", through=MOVING) is not None


def _order(tape: Tape) -> Callable[[Value], int]:
    """When a tensor is computed."""
    places = {value: at for at, node in enumerate(tape.nodes) for value in node.outputs}
    return lambda value: places.get(value, -1)
