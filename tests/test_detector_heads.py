"""The heads of detectors, found in exported graphs: their boxes, logits and confidences against torch's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from detector_nets import (
    CLASSES,
    SIDE,
    STRIDES,
    Anchored,
    Decoupled,
    Distributed,
    Faces,
    Focal,
    Queries,
    exported,
)
from detector_reading import close, corners, found_in, logit, numbers

from onnxcam.layouts import find_picture
from onnxcam.scores.detectors.levels import backbone_levels

YUNET = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
WITH_OBJECTNESS = [
    # family,  decoded by torch,                         what is exported,                             settings
    ("yolov5", (Anchored, "decoded"),                    (Anchored, "decoded"),                        ""),
    ("yolov5", (Anchored, "decoded"),                    (Anchored, "flat"),                           "yolov5"),
    ("yolov5", (Anchored, "decoded"),                    (Anchored, "parted"),                         "yolov5"),
    ("yolov3", (Anchored, "exponential"),                (Anchored, "flat"),                           "yolov3"),
    ("yolov5", (Anchored, "exponential"),                (Anchored, "exponential"),                    ""),
    ("yolox",  (Decoupled, "decoded"),                   (Decoupled, "raw"),                           ""),
    ("yolox",  (Decoupled, "decoded"),                   (Decoupled, "decoded"),                       ""),
]  # fmt: skip


@pytest.mark.parametrize(("family", "reference", "given", "settings"), WITH_OBJECTNESS)
def test_heads_with_objectness_are_read_as_torch_decodes_them(family, reference, given, settings):
    table = exported(*reference).outputs()[0]
    found, mine = numbers(exported(*given), settings)
    assert (found.family, found.count) == (family, CLASSES)
    close(mine["boxes"], corners(table))
    close(mine["logits"], logit(table[..., 5:]) + logit(table[..., 4:5]))
    close(mine["confidence"], table[..., 5:] * table[..., 4:5])
    close(mine["candidates"], np.concatenate([corners(table), table[..., 4:5], mine["confidence"]], -1))


WITHOUT_OBJECTNESS = [
    ("decoded", "yolov8"),
    ("maps", "yolov8"),
    ("pairs", "yolov8"),
]


@pytest.mark.parametrize(("form", "family"), WITHOUT_OBJECTNESS)
def test_heads_of_yolov8_are_read_as_torch_decodes_them(form, family):
    table = exported(Distributed, "decoded").outputs()[0].transpose(0, 2, 1)
    found, mine = numbers(exported(Distributed, form))
    assert (found.family, found.count) == (family, CLASSES)
    close(mine["boxes"], corners(table))
    close(mine["logits"], logit(table[..., 4:]))
    close(mine["confidence"], table[..., 4:])
    largest = table[..., 4:].max(-1, keepdims=True)  # it has no objectness
    close(mine["candidates"], np.concatenate([corners(table), largest, table[..., 4:]], -1))


def test_the_ones_that_yolov6_writes_for_objectness_are_no_class():
    net = exported(Decoupled, "ones")
    table = net.outputs()[0]
    found, mine = numbers(net)
    assert (found.family, found.count) == ("yolov6", CLASSES)
    close(mine["boxes"], corners(table))
    close(mine["logits"], logit(table[..., 5:]))


@pytest.mark.parametrize(("kind", "form", "family"), [(Anchored, "decoded", "yolov5"), (Decoupled, "raw", "yolox")])
def test_one_class_with_objectness_is_no_list_of_finished_detections(kind, form, family):
    _, found = found_in(exported(kind, form, classes=1).model)
    assert found is not None
    assert (found.family, found.count, found.is_final) == (family, 1, False)


def test_a_yolov8_of_one_class_has_no_objectness():
    net = exported(Distributed, "decoded", classes=1)
    found, mine = numbers(net)
    assert found.count == 1
    close(mine["confidence"], net.outputs()[0].transpose(0, 2, 1)[..., 4:])


@pytest.mark.parametrize(("form", "family"), [("table", "nanodet"), ("pairs", "picodet")])
def test_distances_of_focal_heads_are_the_means_of_their_bins(form, family):
    net = exported(Focal, form)
    table = exported(Focal, "table").outputs()[0]
    found, mine = numbers(net)
    assert (found.family, found.count) == (family, CLASSES)
    bins = table[..., CLASSES:].reshape(2, -1, 4, 8).astype(np.float64)
    shares = np.exp(bins) / np.exp(bins).sum(-1, keepdims=True)
    distances = shares @ np.arange(8)
    centre, length = grid()
    close(mine["boxes"], np.concatenate([centre - distances[..., :2], centre + distances[..., 2:]], -1) * length)
    close(mine["confidence"], table[..., :CLASSES])


def grid(shift: float = 0.5) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Centres of the cells in cells, and their lengths in pixels."""
    sides = [SIDE // stride for stride in STRIDES]
    centre = [np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2) + shift for n in sides]
    return np.concatenate(centre), np.concatenate([np.full((n * n, 1), s) for n, s in zip(sides, STRIDES, strict=True)])


def test_yunets_twelve_outputs_are_one_table():
    net = exported(Faces, "yunet", names=YUNET)
    cls, obj, box = (np.concatenate(net.outputs()[at : at + 3], 1) for at in (0, 3, 6))
    found, mine = numbers(net)
    assert (found.family, found.count) == ("yunet", 1)
    centre, length = grid(0.0)
    xywh = np.concatenate([box[..., :2] + centre, np.exp(box[..., 2:])], -1) * length
    close(mine["boxes"], corners(xywh))
    close(mine["confidence"], np.sqrt(cls * obj))
    close(mine["logits"], logit(cls) + logit(obj))


def test_scrfd_has_two_anchors_a_cell_and_writes_distances():
    net = exported(Faces, "scrfd")
    scores, box = (np.concatenate(net.outputs()[at : at + 3], 1) for at in (0, 3))
    found, mine = numbers(net)
    assert (found.family, found.count) == ("scrfd", 1)
    centre, length = (np.repeat(array, 2, axis=0) for array in grid(0.0))
    close(mine["boxes"], np.concatenate([centre - box[..., :2], centre + box[..., 2:]], -1) * length)
    close(mine["confidence"], scores)


@pytest.mark.parametrize("form", ["logits", "table", "picked"])
def test_queries_are_found_before_the_model_picks_of_them(form):
    logits, boxes = exported(Queries, "logits").outputs()
    found, mine = numbers(exported(Queries, form))
    assert (found.family, found.count, found.is_final) == ("detr", CLASSES, False)
    close(mine["boxes"], corners(boxes * SIDE))
    close(mine["logits"], logits)


def test_the_first_class_of_a_softmax_is_the_background():
    logits, _ = exported(Queries, "logits").outputs()
    shares, _ = exported(Queries, "softmax").outputs()
    found, mine = numbers(exported(Queries, "softmax"))
    assert found.count == CLASSES - 1
    close(mine["logits"], logits[..., 1:])
    close(mine["confidence"], shares[..., 1:])


@pytest.mark.parametrize(("background", "kept"), [("last", slice(0, -1)), ("none", slice(None))])
def test_the_background_is_where_the_settings_say(background, kept):
    logits, _ = exported(Queries, "logits").outputs()
    found, mine = numbers(exported(Queries, "logits"), f"detr,background={background}")
    assert found.count == logits[..., kept].shape[-1]
    close(mine["logits"], logits[..., kept])


def test_a_list_of_six_columns_is_taken_as_it_is():
    net = exported(Queries, "six")
    table = net.outputs()[0]
    found, mine = numbers(net)
    assert (found.family, found.count, found.is_final) == ("list", CLASSES, True)
    close(mine["boxes"], table[..., :4])
    close(mine["logits"], logit(table[..., 4:5]), tolerance=1e-2)


LEVELS = [(8, 12, 12), (8, 6, 6), (8, 3, 3)]


@pytest.mark.parametrize(
    ("kind", "form", "settings", "sizes"),
    [
        (Anchored, "decoded", "", LEVELS),
        (Anchored, "flat", "yolov5", LEVELS),
        (Distributed, "decoded", "", LEVELS),
        (Decoupled, "raw", "", LEVELS),
        (Focal, "pairs", "", LEVELS),
        (Queries, "picked", "", LEVELS[2:]),
    ],
)
def test_layers_are_what_the_backbone_hands_over(kind, form, settings, sizes):
    tape, found = found_in(exported(kind, form).model, settings)
    assert found is not None
    picture = find_picture(tape)
    levels = backbone_levels(tape, picture, [found.logits, found.source])
    assert [value.shape[1:] for value in levels] == sizes
    # before the neck: the SiLU behind each of the strided convolutions
    assert [value.producer.op_type for value in levels] == ["Mul"] * len(levels)
