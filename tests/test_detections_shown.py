"""What is told and drawn of a detection: its box and confidence, in Python, on pictures, in JSON and in the report."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Command
from samples import IMAGES, model_path, needs_samples

import onnxcam
from onnxcam import errors
from onnxcam.api import explainer_of
from onnxcam.engine import Explainer
from onnxcam.images import read
from onnxcam.regions import GREEN, with_detection

pytestmark = needs_samples
HORSES = str(IMAGES / "horses.jpg")  # two of them
BOTH = str(IMAGES / "both.png")  # a dog and a cat
NOTHING = str(IMAGES / "rocket.jpg")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@cache
def net(*, multi_target: bool = False, method: str | None = None) -> Explainer:
    return explainer_of(onnxcam.convert(model_path("yolox_nano"), multi_target=multi_target, method=method), threads=1)


def explained(command: Command, *options: object) -> list[dict[str, Any]]:
    ran = command("explain", model_path("yolox_nano"), *options, "--json")
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out]


def is_green(picture: Any) -> Any:
    return (np.asarray(picture).astype(int) == GREEN).all(axis=2)


def test_an_explanation_has_the_confidence_that_the_model_gives():
    explainer = net()
    found = explainer(HORSES, -2)
    x, _ = onnxcam.preprocessing.prepare(read(HORSES), explainer.preprocessing)
    (candidates,) = explainer.run(x[None], outputs=["output"]).values()
    products = candidates[0, :, 4] * candidates[0, :, 5 + found.target_index]
    assert np.abs(products - found.confidence).min() < 1e-6
    assert found.confidence < explainer(HORSES, -1).confidence


def test_the_overlay_shows_the_detection_unless_it_is_left_out():
    found = net()(HORSES, -2)
    drawn = is_green(found.overlay().array)
    rows, columns = np.nonzero(drawn)
    edges = [columns.min(), rows.min(), columns.max(), rows.max()]
    np.testing.assert_allclose(edges, found.box, atol=2)
    assert not is_green(found.overlay(detection=False).array).any()


def test_a_detection_on_the_edge_is_drawn_inside():
    drawn = is_green(with_detection(np.zeros((40, 60, 3), np.uint8), (0, 0, 60, 40)))
    assert drawn[:3].any()
    assert drawn[-3:].any()
    assert drawn[:, :3].any()
    assert drawn[:, -3:].any()


def test_the_legend_tells_how_sure_the_model_is():
    found = net()(HORSES)
    assert f"confidence {found.confidence:.2f}" in found.told[0]


def test_json_has_box_and_confidence(tmp_path: Path, command: Command):
    (row,) = explained(command, HORSES, "-o", tmp_path)
    found = net()(HORSES)
    assert row["box"] == pytest.approx(found.box)
    assert row["confidence"] == pytest.approx(found.confidence)


def test_json_is_null_for_what_is_no_number(tmp_path: Path, command: Command):
    (row,) = explained(command, BOTH, "-o", tmp_path, "--score", "log(output[:, 1203, 5] - 2)")
    assert (row["score"], row["status"]) == (None, "not-finite")


def test_ranks_that_do_not_exist_are_told_and_not_drawn(tmp_path: Path, command: Command):
    rows = explained(command, HORSES, "-o", tmp_path / "out", "--top-k", 3)
    assert [row["status"] for row in rows] == ["ok", "ok", "not-found"]
    assert rows[2]["output"] is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["horses.17-2.cam.png", "horses.17.cam.png"]


def test_a_picture_without_any_detection_has_one_overlay(tmp_path: Path, command: Command):
    rows = explained(command, NOTHING, "-o", tmp_path / "out", "--top-k", 3)
    assert [row["output"] is None for row in rows].count(False) == 1
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_the_report_tells_two_objects_of_a_class_apart(tmp_path: Path, command: Command):
    explained(command, HORSES, "-o", tmp_path, "--top-k", 2, "--report", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    told = re.findall(r"confidence (0\.\d\d)</span><span class=\"minor\">box ([^<]+)<", page)
    assert len(set(told)) == 2


@pytest.mark.parametrize("method", ["eigencam", "layercam"])
@pytest.mark.parametrize("multi", [False, True])
def test_where_nothing_is_detected_the_map_is_zero_with_any_method(method: str, multi: bool):
    found = net(method=method, multi_target=multi)(NOTHING, [-1] if multi else -1)
    one = found[0] if multi else found
    assert one.status == "not-found"
    assert not one.map.any()


def test_where_something_is_detected_a_method_without_gradient_has_a_map():
    assert net(method="eigencam")(HORSES).map.max() > 0.5


@pytest.mark.parametrize("target", [None, 72])
def test_a_corner_where_nothing_lies_is_not_found(target: int | None):
    assert net()(BOTH, target, box=(0, 0, 2, 2)).status == "not-found"


def test_each_target_has_a_box_of_its_own_or_none():
    single, several = net(), net(multi_target=True)
    boxes = [single(HORSES, rank).box for rank in (-1, -2)]
    first, second, free = several(HORSES, [17, 17, -1], box=[boxes[0], boxes[1], None])
    for found, wanted in ((first, boxes[0]), (second, boxes[1]), (free, boxes[0])):
        np.testing.assert_allclose(found.box, wanted, atol=0.5)


def test_each_photo_has_a_box_or_none():
    found = net()([HORSES, BOTH], [17, "dog"] if net().classes.labels else [17, 16], box=[net()(HORSES, -2).box, None])
    np.testing.assert_allclose(found[0].box, net()(HORSES, -2).box, atol=0.5)
    np.testing.assert_allclose(found[1].box, net()(BOTH, 16).box, atol=0.5)


@pytest.mark.parametrize(
    ("box", "target", "kind", "words"),
    [
        ([[0, 0, 9, 9]] * 3, [17, 16], errors.InvalidBox, "3 boxes for 2 targets"),
        ([0, 0, 9, 9], [-2], errors.InvalidTarget, "rank -2 at a box"),
    ],
)
def test_boxes_that_do_not_fit_the_targets_are_refused(box: Any, target: Any, kind: type[Exception], words: str):
    with pytest.raises(kind, match=words):
        net(multi_target=True)(HORSES, target, box=box)


@pytest.mark.parametrize("score", ["output[:, 1203, 5]", "detector"])
def test_pixels_become_input_in_one_way_whatever_is_explained(score: str):
    metadata = onnxcam.convert(model_path("yolox_nano"), score=score).metadata
    spec = metadata.preprocessing or {}
    assert (spec["resize"], spec["channels"], spec["scale"]) == ("letterbox", "BGR", 1.0)
    assert sum("unless said otherwise" in note for note in metadata.notes) == 1
