"""How the columns of a head's table are to be read: where the classes begin, and how boxes are written."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from onnxcam.errors import DetectorUnclear
from onnxcam.graph import Value
from onnxcam.scores.detectors.boxes import as_corners, columns, float32, from_centre, from_distances, in_pixels, joined
from onnxcam.scores.detectors.detections import Detections
from onnxcam.scores.detectors.grids import grid, size_of
from onnxcam.scores.detectors.settings import Settings
from onnxcam.scores.detectors.squashing import Pair, scores_in
from onnxcam.scores.detectors.tables import Table

WITH_OBJECTNESS = ("yolov3", "yolov4", "yolov5", "yolov6", "yolov7", "yolox", "yunet")
WITHOUT_OBJECTNESS = ("yolov8", "yolov9", "yolov10", "yolo11", "yolov11", "yolo12", "yolov12", "detr", "scrfd")
ANCHOR_FIRST = ("yolov3", "yolov4", "yolov5", "yolov7")
DISTRIBUTED = ("nanodet", "picodet", "gfl")
FAMILIES = (*WITH_OBJECTNESS, *WITHOUT_OBJECTNESS, *DISTRIBUTED)
# NanoDet-Plus has a fourth scale, and takes a cell's corner for its centre; PicoDet and YOLOv8 do not.
CORNER_STRIDES = (8, 16, 32, 64)
# Columns of four distributions: 4 bins of 5 at the least, of 33 at the most.
FEWEST_BINS, MOST_BINS = 20, 132
YOLO_BINS = 16


def read(table: Table, picture: Value, *, settings: Settings) -> Detections | None:
    """What the table holds; None if it is no detector's.

    Raises:
        DetectorUnclear: if it is one, but its columns can be read in several ways.
    """
    if settings.family is not None and settings.family not in FAMILIES:
        return None
    if settings.family is None and _is_of_tokens(table):
        return None
    distribution = _distribution(table, settings)
    if distribution is not None:
        return _distributed(table, picture, settings=settings, columns_of=distribution)
    has_objectness = _has_objectness(table, settings)
    if has_objectness is None:
        if table.pyramid is None:
            return None
        reason = f"{table.width} columns may be a box with {table.width - 4} classes, or with objectness and one less"
        raise DetectorUnclear(table.name, table.output.shape, ("yolov5", "yolov8", "yolox"), reason=reason)
    return _boxed(table, picture, settings=settings, has_objectness=has_objectness)


def _is_of_tokens(table: Table) -> bool:
    """Whether nothing but the number of its rows, that of one scale's cells, speaks for a detector."""
    return len(table.parts) == 1 and table.pyramid is not None and len(table.pyramid.strides) == 1


def _has_objectness(table: Table, settings: Settings) -> bool | None:
    """Whether column 4 tells if there is an object at all; None where that does not show."""
    if settings.family in FAMILIES:
        return settings.family in WITH_OBJECTNESS
    if settings.classes is not None:
        return table.width - settings.classes >= 5
    if table.width == 5:
        return False
    if {4, 5} <= table.bounds and table.part_at(4).op_type == table.part_at(5).op_type:
        return True
    if 5 in table.bounds and table.part_at(4).is_constant:
        return True
    if table.pyramid is None:
        return _has_objectness_by_columns(table)
    if table.pyramid.anchors == 3:
        return True
    is_raw = table.part_at(0).is_learnt and 4 in table.bounds
    return False if table.is_columns_first or is_raw else None


def _has_objectness_by_columns(table: Table) -> bool | None:
    """The same where rows cannot be counted.

    Heads with anchors decode centre and size apart, and those before YOLOv8 give a row for each candidate.
    """
    if 4 not in table.bounds:
        return None
    if table.part_at(0).is_squashed:
        return False
    if 2 in table.bounds and not table.is_columns_first:
        return True
    return False if table.is_columns_first and table.part_at(4).is_squashed else None


def _boxed(table: Table, picture: Value, *, settings: Settings, has_objectness: bool) -> Detections:
    start = 5 if has_objectness else 4
    stop = _stop(table, start, settings=settings)
    found = scores_in(table.value, start, stop=stop)
    family = settings.family or _family(table, has_objectness=has_objectness)
    is_told = has_objectness and not table.part_at(4).is_constant
    objectness = scores_in(table.value, 4, stop=5) if is_told else None
    if objectness is not None:
        found = _together(found, objectness, is_root=family == "yunet")
    boxes = _boxes(table, picture, settings=settings, family=family)
    reason = f"{table.width} columns of {table.name!r}: a box, {'objectness, ' * has_objectness}{stop - start} classes"
    pyramid = table.pyramid and replace(table.pyramid, is_cell_first=family not in ANCHOR_FIRST)
    return Detections(
        family,
        reason,
        boxes,
        found.logits,
        found.shares,
        stop - start,
        table.value,
        pyramid=pyramid,
        objectness=None if objectness is None else objectness.shares,
    )


def _stop(table: Table, start: int, *, settings: Settings) -> int:
    """The end of the classes: masks and key points behind them come from elsewhere."""
    if settings.classes is not None:
        return start + settings.classes
    at, first = 0, table.part_at(start)
    for part in table.parts:
        if at >= start and (part.is_squashed, part.is_learnt) != (first.is_squashed, first.is_learnt):
            return at
        at += part.size
    return table.width


def _together(classes: Pair, objectness: Pair, *, is_root: bool) -> Pair:
    """Class and objectness: logits added, shares multiplied; of YuNet the root of the product."""
    shares = classes.shares * objectness.shares
    return Pair(classes.logits + objectness.logits, shares.tape.Sqrt(shares) if is_root else shares)


def _family(table: Table, *, has_objectness: bool) -> str:
    first = table.part_at(0)
    if not has_objectness:
        is_yolo = table.pyramid is not None or not first.is_squashed
        return "scrfd" if first.is_learnt else "yolov8" if is_yolo else "detr"
    if table.part_at(4).is_constant:
        return "yolov6"
    if 5 not in table.bounds:
        return "yolov5"
    is_face = table.width == 6 and table.output.name.startswith(("cls", "obj", "bbox", "loc", "conf"))
    return "yunet" if is_face else "yolox"


def _boxes(table: Table, picture: Value, *, settings: Settings, family: str) -> Value:
    """Corners in pixels."""
    given, first = float32(columns(table.value, 0, 4)), table.part_at(0)
    if first.is_learnt and table.pyramid is not None:
        cell, length = grid(picture, table.pyramid)
        if family in WITHOUT_OBJECTNESS:
            return from_distances(cell * length, given * length)
        op = given.tape
        size = op.Exp(columns(given, 2, 4))
        return from_centre(joined([columns(given, 0, 2) + cell, size]) * length)
    unit = settings.unit or ("share" if first.is_squashed else None)
    return in_pixels(as_corners(given, settings.boxes or "centre"), size_of(picture), unit)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Columns of a table: `width` from `start` are distributions over distances, classes are those up to `stop`."""

    start: int
    width: int
    classes: int
    stop: int


def _distribution(table: Table, settings: Settings) -> Distribution | None:
    """Where the distributions over distances lie; None where the table has none."""
    if table.pyramid is None or table.width < FEWEST_BINS:
        return None
    first, last = table.parts[0], table.parts[-1]
    if len(table.parts) == 2 and _is_distribution(first.size) and first.is_learnt and not last.is_constant:
        return Distribution(0, first.size, first.size, table.width)
    if len(table.parts) == 2 and _is_distribution(last.size) and last.is_learnt and first.size != 4:
        return Distribution(first.size, last.size, 0, first.size)
    if settings.family in DISTRIBUTED:
        classes = table.width - 32 if settings.classes is None else settings.classes
        return Distribution(classes, table.width - classes, 0, classes)
    return None


def _is_distribution(width: int) -> bool:
    return width % 4 == 0 and FEWEST_BINS <= width <= MOST_BINS


def _distributed(table: Table, picture: Value, *, settings: Settings, columns_of: Distribution) -> Detections:
    """Boxes whose distances to the cell's centre are the means of distributions (Li et al. 2020, arXiv:2006.04388)."""
    op, start, bins = table.value.tape, columns_of.start, columns_of.width // 4
    assert table.pyramid is not None  # noqa: S101 - it has no distributions else
    cell, length = grid(picture, table.pyramid)
    is_corner = table.pyramid.strides == CORNER_STRIDES and start > 0
    centre = cell if is_corner else cell + 0.5
    sorts = op.Reshape(float32(columns(table.value, start, start + columns_of.width)), op.ints(0, -1, 4, bins))
    steps = op.constant(np.arange(bins, dtype=np.float32).reshape(bins, 1))
    distances = op.Squeeze(op.MatMul(op.Softmax(sorts, axis=-1), steps), op.ints(3))
    boxes = from_distances(centre * length, distances * length)
    found = scores_in(table.value, columns_of.classes, stop=columns_of.stop)
    count = columns_of.stop - columns_of.classes
    family = settings.family or ("nanodet" if start else "yolov8" if bins == YOLO_BINS else "picodet")
    reason = f"{columns_of.width} columns of {table.name!r} are distributions over 4 distances, {count} are classes"
    return Detections(family, reason, boxes, found.logits, found.shares, count, table.value, pyramid=table.pyramid)
