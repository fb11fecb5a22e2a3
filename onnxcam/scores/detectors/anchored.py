"""Heads with anchors whose raw numbers leave the model: YOLOv3 to v7 cut at their last convolutions, SSD, RetinaNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import DetectorUnclear, InvalidDetectorSetting
from onnxcam.graph import Tape, Value
from onnxcam.scores.detectors.boxes import columns, float32, from_centre, joined
from onnxcam.scores.detectors.detections import Detections
from onnxcam.scores.detectors.grids import Pyramid, places, sides
from onnxcam.scores.detectors.plumbing import parts
from onnxcam.scores.detectors.settings import Settings
from onnxcam.scores.detectors.tables import STRIDES, is_float

Floats = NDArray[np.float32]
YOLO_V3 = "10x13 16x30 33x23 30x61 62x45 59x119 116x90 156x198 373x326"
YOLO_V4 = "12x16 19x36 40x28 36x75 76x55 72x146 142x110 192x243 459x401"
TINY = "10x14 23x27 37x58 81x82 135x169 344x319"
# Width x height in pixels, the finest scale first, as published with the weights for COCO.
COCO_ANCHORS = {"yolov3": YOLO_V3, "yolov4": YOLO_V4, "yolov5": YOLO_V3, "yolov7": YOLO_V4}
# Whose sizes are (2σ)² of the anchor's and not its exponential.
SQUARED = ("yolov5", "yolov7")


@dataclass(frozen=True, slots=True)
class RawScale:
    """One raw output as (N, A, h·w, 5 + C), its cell size, rows and columns."""

    stride: int
    value: Value
    rows: int
    columns: int
    output: Value


def find_raw(tape: Tape, picture: Value, *, settings: Settings) -> Detections | None:
    """The raw outputs of a YOLO head with anchors, decoded.

    Raises:
        DetectorUnclear: if they are one, and nobody says which: v3 and v4 write boxes in another way than v5 and v7.
        InvalidDetectorSetting: if the anchors do not fit.
    """
    if settings.family not in (None, *COCO_ANCHORS):
        return None
    anchors = 3 if settings.anchors is None else max(1, len(settings.anchors.split()) // _scales(tape, picture))
    scales = [raw for output in tape.outputs if (raw := _raw_scale(output, picture, anchors=anchors))]
    if not scales or len({raw.stride for raw in scales}) != len(scales):
        return None
    if settings.family is None:
        reason = f"{anchors} anchors a cell are written in two ways, with several sets of anchors"
        raise DetectorUnclear(scales[0].output.name, scales[0].output.shape, tuple(COCO_ANCHORS), reason=reason)
    ordered = sorted(scales, key=lambda raw: raw.stride)
    sizes = _anchors(settings.anchors or _published(settings.family, len(ordered)), len(ordered))
    return _decoded(ordered, sizes, settings=settings)


def _scales(tape: Tape, picture: Value) -> int:
    return max(1, len([output for output in tape.outputs if _raw_scale(output, picture, anchors=1)]))


def _raw_scale(output: Value, picture: Value, *, anchors: int) -> RawScale | None:
    """The output as (N, A, h·w, 5 + C), if it is (N, A(5 + C), h, w), (N, h, w, A(5 + C)) or (N, A, h, w, 5 + C)."""
    op, shape, (height, width) = output.tape, output.shape or (), sides(picture)
    if not isinstance(height, int) or not isinstance(width, int) or not is_float(output):
        return None
    for stride in STRIDES:
        h, w = -(-height // stride), -(-width // stride)
        if len(shape) == 5 and shape[1] == anchors and shape[2:4] == (h, w) and isinstance(shape[4], int):
            return RawScale(stride, op.Reshape(output, op.ints(0, anchors, h * w, -1)), h, w, output)
        for axis, plane in ((1, shape[2:]), (3, shape[1:3])):
            total = shape[axis] if len(shape) == 4 else None
            if plane != (h, w) or not isinstance(total, int) or total % anchors or total < 6 * anchors:
                continue
            found = parts(output, axis)
            if len(found) != 1 or not found[0].is_learnt:
                return None
            first = output if axis == 1 else op.Transpose(output, perm=[0, 3, 1, 2])
            parted = op.Reshape(first, op.ints(0, anchors, total // anchors, h * w))
            return RawScale(stride, op.Transpose(parted, perm=[0, 1, 3, 2]), h, w, output)
    return None


def _published(family: str, scales: int) -> str:
    return TINY if scales == 2 else COCO_ANCHORS[family]


def _anchors(text: str, scales: int) -> list[Floats]:
    """Widths and heights of each scale's anchors, (A, 2)."""
    try:
        sizes = [[float(side) for side in entry.split("x")] for entry in text.split()]
        array = np.array(sizes, np.float32).reshape(-1, 2)
    except ValueError as error:
        raise InvalidDetectorSetting("anchors", text, 'they are written "10x13 16x30 …"') from error
    if not len(array) or len(array) % scales:
        raise InvalidDetectorSetting("anchors", text, f"{len(array)} anchors cannot be dealt out over {scales} scales")
    return list(array.reshape(scales, -1, 2))


def _decoded(scales: Sequence[RawScale], sizes: Sequence[Floats], *, settings: Settings) -> Detections:
    op, boxes, scores, count = scales[0].value.tape, [], [], 0
    for raw, anchors in zip(scales, sizes, strict=True):
        value = float32(raw.value)
        boxes.append(op.Reshape(_boxes(raw, value, anchors=anchors, settings=settings), op.ints(0, -1, 4)))
        width = (raw.value.shape or (0,))[-1]
        count = width - 5 if isinstance(width, int) else 0
        scores.append(op.Reshape(columns(value, 4, 5 + count), op.ints(0, -1, 1 + count)))
    both = op.Concat(*scores, axis=1) if len(scores) > 1 else scores[0]
    objectness, classes = columns(both, 0, 1), columns(both, 1, 1 + count)
    reason = f"{len(scales)} raw outputs with {len(sizes[0])} anchors a cell"
    return Detections(
        settings.family or "",
        reason,
        op.Concat(*boxes, axis=1) if len(boxes) > 1 else boxes[0],
        classes + objectness,
        op.Sigmoid(classes) * op.Sigmoid(objectness),
        count,
        both,
        pyramid=Pyramid(tuple(raw.stride for raw in scales), len(sizes[0]), is_cell_first=False),
        objectness=op.Sigmoid(objectness),
    )


def _boxes(raw: RawScale, value: Value, *, anchors: Floats, settings: Settings) -> Value:
    """Corners in pixels, (N, A, h·w, 4): σ and exp of the raw numbers, or from v5 on twice σ."""
    op = value.tape
    rows, columns_ = (op.constant(np.array(n, np.int64)) for n in (raw.rows, raw.columns))
    cell, size = places(rows, columns_), op.constant(anchors[:, None, :])
    centre, given = op.Sigmoid(columns(value, 0, 2)), columns(value, 2, 4)
    if settings.family in SQUARED:
        twice = op.Sigmoid(given) * 2.0
        return from_centre(joined([(centre * 2.0 - 0.5 + cell) * float(raw.stride), twice * twice * size]))
    return from_centre(joined([(centre + cell) * float(raw.stride), op.Exp(given) * size]))


def given_anchors(path: str, count: object) -> Floats:
    """Anchors (B, 4), centre, width and height in pixels, from a .npy file.

    Raises:
        InvalidDetectorSetting: if there is no such array in it.
    """
    try:
        array = np.asarray(np.load(Path(path), allow_pickle=False), np.float32)
    except (OSError, ValueError) as error:
        raise InvalidDetectorSetting("anchors", path, f"no array can be read from it ({error})") from error
    if array.ndim != 2 or array.shape[1] != 4 or (isinstance(count, int) and len(array) != count):
        raise InvalidDetectorSetting("anchors", path, f"its shape is {array.shape}, but ({count}, 4) is needed")
    return array
