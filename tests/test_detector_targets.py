"""Boxes, suppression and the choice of a candidate in the graph, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from detector_truth import Floats, crowd, meant, overlap, suppressed
from onnx import parser

from onnxcam.errors import InvalidDetectorSetting
from onnxcam.graph import Tape, Value
from onnxcam.scores.detectors import boxes as geometry
from onnxcam.scores.detectors.choosing import select
from onnxcam.scores.detectors.detections import Detections
from onnxcam.scores.detectors.settings import Settings, parse
from onnxcam.scores.detectors.suppression import ranked
from onnxcam.scores.selection import Ask
from onnxcam.scores.table import Scores

CLASSES = 5


def tape_of(inputs: str) -> Tape:
    """A model of nothing but inputs."""
    names = [part.split()[-1] for part in inputs.split("; ")]
    head = '<ir_version: 8, opset_import: ["" : 18]>'
    graph = f"g ({inputs.replace('; ', ', ')}) => (float[n] unused) {{ unused = Identity({names[0]}) }}"
    tape = Tape(parser.parse_model(f"{head} {graph}"))
    del tape.model.graph.output[:]
    return tape


def run(tape: Tape, outputs: dict[str, Value], feeds: dict[str, Any]) -> dict[str, Floats]:
    for name, value in outputs.items():
        tape.add_output(value, name)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(tape.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(list(outputs), feeds), strict=True))


def computed(build: Any, **arrays: Floats) -> Floats:
    """What a function of values gives for arrays, each (N, ·, 4)."""
    tape = tape_of("; ".join(f"float[N,{name}_rows,4] {name}" for name in arrays))
    return run(tape, {"y": build(*(tape.value(name) for name in arrays))}, arrays)["y"]


def test_overlap_is_intersection_over_union():
    boxes, _ = crowd(0)
    mine = computed(geometry.overlaps, a=boxes[:, :7], b=boxes)
    np.testing.assert_allclose(mine, [overlap(own[:7], own) for own in boxes], atol=1e-6)


def test_boxes_without_extent_overlap_nothing():
    flat = np.array([[[4, 4, 4, 9], [9, 9, 3, 3]]], np.float32)
    mine = computed(geometry.overlaps, a=flat, b=np.concatenate([flat, [[[0, 0, 64, 64]]]], 1).astype(np.float32))
    assert not mine.any()


def test_centre_and_size_become_corners():
    xywh = np.random.default_rng(0).uniform(1, 9, (2, 6, 4)).astype(np.float32)
    wanted = np.concatenate([xywh[..., :2] - xywh[..., 2:] / 2, xywh[..., :2] + xywh[..., 2:] / 2], -1)
    np.testing.assert_allclose(computed(geometry.from_centre, a=xywh), wanted, rtol=1e-6)


def test_distances_reach_from_the_centre_to_each_side():
    tape = tape_of("float[N,4] d; float[N,2] c")
    mine = run(
        tape,
        {"y": geometry.from_distances(tape.value("c"), tape.value("d"))},
        {"c": np.array([[10, 20]], np.float32), "d": np.array([[1, 2, 3, 4]], np.float32)},
    )["y"]
    np.testing.assert_array_equal(mine, [[9, 18, 13, 24]])


def test_offsets_move_and_stretch_their_anchor():
    tape = tape_of("float[N,4] d; float[N,4] c")
    made = geometry.from_offsets(tape.value("d"), tape.value("c"))
    offsets, anchor = np.array([[0.5, -1, np.log(2), 0]], np.float32), np.array([[10, 20, 4, 6]], np.float32)
    np.testing.assert_allclose(run(tape, {"y": made}, {"d": offsets, "c": anchor})["y"], [[8, 11, 16, 17]], rtol=1e-6)


@pytest.mark.parametrize("form", ["corners", "centre", "rows-first"])
def test_how_boxes_are_written_shows_in_their_numbers_or_is_said(form):
    boxes, _ = crowd(1)
    centre = np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)
    written = {"corners": boxes, "centre": centre, "rows-first": boxes[..., [1, 0, 3, 2]]}[form]
    said = None if form != "rows-first" else form
    np.testing.assert_allclose(computed(lambda a: geometry.as_corners(a, said), a=written), boxes, atol=1e-5)


@pytest.mark.parametrize("unit", [None, "share", "pixels"])
def test_shares_of_the_sides_become_pixels(unit):
    boxes, _ = crowd(2)
    sides = np.array([64, 32, 64, 32], np.float32)
    given = boxes if unit == "pixels" else boxes / sides
    made = computed(lambda a: geometry.in_pixels(a, a.tape.constant(sides), unit), a=given)
    np.testing.assert_allclose(made, boxes, rtol=1e-5)


def test_pixels_stay_pixels_where_nobody_says_what_they_are():
    boxes, _ = crowd(2)
    sides = np.array([64, 32, 64, 32], np.float32)
    np.testing.assert_array_equal(
        computed(lambda a: geometry.in_pixels(a, a.tape.constant(sides), None), a=boxes), boxes
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("iou", "threshold"), [(0.5, 0.25), (0.2, 0.5), (0.9, 0.05)])
def test_what_suppression_leaves_is_what_numpy_leaves(seed, iou, threshold):
    boxes, shares = crowd(seed, images=3)
    tape = tape_of("float[N,B,4] boxes; float[N,B] best; int64[N,B] classes")
    made = ranked(*map(tape.value, ("boxes", "best", "classes")), iou=iou, threshold=threshold)
    feeds = {"boxes": boxes, "best": shares.max(2), "classes": shares.argmax(2)}
    found = run(tape, {"order": made.order, "confidence": made.confidence}, feeds)
    for own, order, confidence, share in zip(boxes, found["order"], found["confidence"], shares, strict=True):
        kept = suppressed(own, share, iou=iou, threshold=threshold)
        assert order[: len(kept)].tolist() == kept
        np.testing.assert_array_equal(confidence[: len(kept)], share.max(1)[kept])
        assert not confidence[len(kept) :].any()


def answered(
    shares: Floats, boxes: Floats, target: Floats, *, box: Floats | None = None, labels: Floats | None = None
) -> dict[str, Floats]:
    """What is selected, (N, K); scores are the shares themselves. `labels`: of a list, (N, B)."""
    inputs = "float[N,3,64,64] x; float[N,B,4] boxes; float[N,B,{width}] shares; int64[N,K] target"
    tape = tape_of(inputs.format(width=shares.shape[2]) + ("; int64[N,B] labels" if labels is not None else ""))
    found = Detections(
        "test", "", tape.value("boxes"), tape.value("shares"), tape.value("shares"), CLASSES, tape.value("boxes"),
        labels=None if labels is None else tape.value("labels"), is_final=labels is not None,
    )  # fmt: skip
    scores = Scores(None, tape.Flatten(tape.value("shares"), axis=1), "detector", CLASSES)
    ask = Ask(tape.value("target"), tape.value("x"), ["N", "K"])
    made = select(found, Settings(), scores, ask=ask)
    picture = np.zeros((len(boxes), 3, 64, 64), np.float32)
    feeds: dict[str, Any] = {"x": picture, "boxes": boxes, "shares": shares, "target": target}
    feeds |= {} if labels is None else {"labels": labels}
    feeds |= {} if box is None else {"box": box.astype(np.float32)}
    outputs = {"index": made.index, "score": made.score, **made.extras}
    return run(tape, outputs, feeds)


@pytest.mark.parametrize("seed", range(4))
def test_ranks_and_classes_are_the_candidates_that_numpy_names(seed):
    boxes, shares = crowd(seed)
    targets = [-1, -2, -3, -6, 0, 2, 4]
    found = answered(shares, boxes, np.array([targets] * 2))
    for image in range(2):
        for place, target in enumerate(targets):
            wanted = meant(boxes[image], shares[image], target)
            assert wanted is not None
            assert found["index"][image, place] == wanted[1]
            assert found["score"][image, place] == shares[image][wanted]
            np.testing.assert_array_equal(found["target_box"][image, place], boxes[image, wanted[0]])


@pytest.mark.parametrize("target", [-1, -4, 1])
def test_a_box_takes_the_candidate_that_overlaps_it_most_times_its_confidence(target):
    boxes, shares = crowd(3)
    box = boxes[:, 17:19] + np.array([1, -1, 2, 0])
    found = answered(shares, boxes, np.full((2, 2), target), box=box)
    for image in range(2):
        for place in range(2):
            wanted = meant(boxes[image], shares[image], target, box[image, place])
            assert wanted is not None
            assert found["index"][image, place] == wanted[1]
            np.testing.assert_array_equal(found["target_box"][image, place], boxes[image, wanted[0]])


def test_a_box_where_no_candidate_lies_finds_nothing():
    boxes, shares = crowd(3)
    found = answered(shares, boxes, np.array([[-1], [0]]), box=np.full((2, 1, 4), [500, 500, 510, 520]))
    assert found["index"].tolist() == [[-1], [-1]]
    assert found["score"].tolist() == [[0], [0]]


@pytest.mark.parametrize("target", [-1, 1])
@pytest.mark.parametrize(("shift", "is_there"), [(7, True), (9, False)])
def test_what_hardly_overlaps_the_box_is_not_at_it(target, shift, is_there):
    """Two squares of side 10 that are shifted by 7 and by 9 share 30 / 170 and 10 / 190 of their union."""
    boxes = np.array([[[20, 20, 30, 30]]], np.float32)
    shares = np.array([[[0.1, 0.9, 0.1, 0.1, 0.1]]], np.float32)
    found = answered(shares, boxes, np.array([[target]]), box=boxes + np.array([shift, 0, shift, 0]))
    assert found["index"].tolist() == [[1 if is_there else -1]]


@pytest.mark.parametrize(("target", "index"), [(-1, -1), (3, 3)])
def test_what_is_no_detection_is_at_a_box_only_where_its_class_is_named(target, index):
    boxes = np.array([[[20, 20, 30, 30]]], np.float32)
    shares = np.array([[[0.1, 0.1, 0.1, 0.2, 0.1]]], np.float32)
    assert answered(shares, boxes, np.array([[target]]), box=boxes)["index"].tolist() == [[index]]


def test_a_rank_beyond_the_detections_finds_nothing():
    boxes, shares = crowd(4)
    counts = [len(suppressed(own, share)) for own, share in zip(boxes, shares, strict=True)]
    found = answered(shares, boxes, np.array([[-n, -n - 1, -1000] for n in counts]))
    assert (found["index"][:, 0] >= 0).all()
    assert (found["index"][:, 1:] == -1).all()
    assert (found["target_box"][:, 1:] == -1).all()
    assert not found["score"][:, 1:].any()


def test_the_other_side_of_a_class_is_minus_its_score_in_the_same_box():
    boxes, shares = crowd(5)
    found = answered(shares, boxes, np.array([[2, CLASSES + 2]] * 2))
    assert found["index"].tolist() == [[2, CLASSES + 2]] * 2
    np.testing.assert_array_equal(found["score"][:, 1], -found["score"][:, 0])
    np.testing.assert_array_equal(found["target_box"][:, 1], found["target_box"][:, 0])


@pytest.mark.parametrize(("count", "expected"), [("60", 59), ("400", 299), ("B", None)])
def test_how_many_detections_there_may_be_is_a_constant_where_the_candidates_are_counted(count: str, expected: Any):
    """What comes of a Shape is computed on the CPU, and would have to be copied to the device in every run."""
    tape = tape_of(f"float[N,{count},4] boxes; float[N,{count}] confidence; int64[N,{count}] classes")
    boxes, confidence, classes = (tape.value(name) for name in ("boxes", "confidence", "classes"))
    last = ranked(boxes, confidence, classes, iou=0.5, threshold=0.25).last
    assert (last.constant is None) == (expected is None)
    assert expected is None or last.constant.tolist() == [expected]


def test_a_difference_of_classes_is_taken_where_the_first_is_best():
    boxes, shares = crowd(6)
    found = answered(shares, boxes, np.full((2, 1), 2 * CLASSES + 3 * CLASSES + 1))
    for image in range(2):
        best = shares[image, :, 3].argmax()
        np.testing.assert_allclose(found["score"][image, 0], shares[image, best, 3] - shares[image, best, 1])
        np.testing.assert_array_equal(found["target_box"][image, 0], boxes[image, best])


def test_of_a_list_each_entry_has_its_own_class():
    boxes, shares = crowd(7)
    labels, best = shares.argmax(2), shares.max(2)
    own = np.where(np.arange(CLASSES) == labels[..., None], shares, 0)
    found = answered(best[..., None], boxes, np.array([[-1, -2, 0, 3]] * 2), labels=labels)
    for image in range(2):
        order = np.argsort(-best[image])
        assert found["index"][image, :2].tolist() == labels[image, order[:2]].tolist()
        for place, target in ((2, 0), (3, 3)):
            wanted = own[image, :, target].argmax()
            assert found["index"][image, place] == target
            np.testing.assert_array_equal(found["target_box"][image, place], boxes[image, wanted])


def test_a_class_that_no_entry_of_a_list_has_finds_nothing():
    boxes, shares = crowd(7)
    found = answered(shares.max(2)[..., None], boxes, np.full((2, 1), 4), labels=np.zeros(shares.shape[:2], np.int64))
    assert found["index"].tolist() == [[-1], [-1]]


def test_settings_stand_behind_the_kind():
    assert parse("yolov5, iou=0.6,classes=3,unit=share") == Settings("yolov5", iou=0.6, classes=3, unit="share")
    assert parse("") == Settings()
    assert parse("threshold=0") == Settings(threshold=0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("iou=2", "a number from 0 to 1"),
        ("iou=x", "a number from 0 to 1"),
        ("classes=0", "above 0"),
        ("overlap=-1", "a number from 0 to 1"),
        ("background=middle", "none, first, last"),
        ("colour=red", "no such key"),
        ("yolov5,yolox", "only the first entry"),
    ],
)
def test_a_setting_that_makes_no_sense_says_what_would(text, said):
    with pytest.raises(InvalidDetectorSetting, match=said):
        parse(text)
