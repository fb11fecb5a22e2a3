"""Evaluations: boxes that do not fit, measures of what is no probability, options, sums, broken pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import Command, Ran, bytes_at, saved
from signal_nets import bumps
from small_nets import cnn

from onnxcam import convert, layers
from onnxcam.appraisal import evaluate
from onnxcam.commands.evaluate import number
from onnxcam.engine import Explainer
from onnxcam.errors import InvalidBoxes, OnlyExplained, UnknownOption
from onnxcam.evaluation import Mean
from onnxcam.evaluation.results import mean_of

LABELS = ["ant", "bee", "cat", "dog", "eel"]
PLAIN = "activation-mean"  # whose map is never zero
UNIT = {"preprocess": "unit", "labels": LABELS}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(cnn(), tmp_path / "net.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate("ab"):
        pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
        assert cv2.imwrite(str(folder / f"{name}.png"), pixels)
    return folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    return Command(monkeypatch, capsys)


def boxes_of(folder: Path, **thing: Any) -> Path:
    path = folder / "boxes.json"
    path.write_text(json.dumps({"a.png": {"objects": [{"label": "cat", "box": [2, 3, 20, 25]} | thing]}}))
    return path


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        ({"box": [20, 3, 2, 25]}, "turned around"),
        ({"box": [2, 3, 2, 25]}, "empty"),
        ({"box": [40, 3, 60, 25]}, r"outside of the picture .*a\.png, which is 40 x 30"),
        ({"box": [-9, -9, 0, 5]}, "outside of the picture"),
        ({"classes": [5]}, "5 classes, and class 5 is none of them"),
        ({"classes": [[3, 2]]}, "no classes"),
    ],
)
def test_a_box_that_does_not_fit_is_an_error_with_file_and_entry(
    model: Path, photos: Path, tmp_path: Path, thing: dict[str, Any], reason: str
):
    with pytest.raises(InvalidBoxes, match=rf"boxes\.json, object 1 of 'a\.png' .*{reason}"):
        evaluate(model, photos, boxes=boxes_of(tmp_path, **thing), metrics=["pointing-game"], build=UNIT)


def test_boxes_partly_outside_of_the_picture_are_taken(model: Path, photos: Path, tmp_path: Path):
    boxes = boxes_of(tmp_path, box=[-5, -5, 100, 100])
    found = evaluate(model, photos, boxes=boxes, metrics="relevance-mass", methods=PLAIN, target="cat", build=UNIT)
    assert found.rows[0].values["relevance-mass"] == pytest.approx(1)


def test_boxes_of_other_pictures_are_an_error(model: Path, photos: Path, tmp_path: Path):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"c.png": {"objects": []}}))
    with pytest.raises(InvalidBoxes, match=r"for any of the 2 pictures: it has 'c\.png'"):
        evaluate(model, photos, boxes=path, metrics=["pointing-game"], build=UNIT)


def test_a_coco_box_without_width_is_an_error_that_names_the_annotation(photos: Path, model: Path, tmp_path: Path):
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [4, 4, 0, 9]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(coco))
    with pytest.raises(InvalidBoxes, match=r"coco\.json, annotation 7 of 'a\.png'"):
        evaluate(model, photos, boxes=path, metrics=["pointing-game"], build=UNIT)


def test_boxes_that_nothing_means_are_told(model: Path, photos: Path, tmp_path: Path, command: Callable[..., Ran]):
    boxes = boxes_of(tmp_path, label="unicorn")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    given = ["--boxes", boxes, "--metric", "pointing-game", "--preprocess", "unit"]
    ran = command("evaluate", model, photos, *given, "--labels", tmp_path / "labels.txt")
    assert ran.code == 0
    assert any(line.startswith("note: no box was used") for line in ran.err)


def test_a_broken_picture_among_others_is_told_with_exit_code_1(
    model: Path, photos: Path, tmp_path: Path, command: Callable[..., Ran]
):
    bytes_at(photos / "c.png", b"\x89PNG and nothing else")
    ran = command("evaluate", model, photos, "--metric", "sparseness", "--preprocess", "unit", "-o", tmp_path / "out")
    assert ran.code == 1
    assert ran.err[-1] == "error: 1 of 3 pictures could not be explained, as said above; the other 2 were."
    assert (tmp_path / "out" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("target", "measured"),
    [("cat", "probability"), ("not:cat", "probability"), ("cat-dog", "score"), ("cat+dog", "score")],
)
def test_what_is_measured_is_said_of_every_explanation(model: Path, photos: Path, target: str, measured: str):
    found = evaluate(model, photos, metrics=["deletion"], methods=PLAIN, target=target, build=UNIT)
    assert {row.to_dict()["measured"] for row in found.rows} == {measured}
    values = [score for row in found.rows for score in row.curves["deletion"].scores]
    assert (min(values) >= 0 and max(values) <= 1) == (measured == "probability")


def test_the_command_says_when_curves_are_of_no_probability(model: Path, photos: Path, command: Callable[..., Ran]):
    given = ["evaluate", model, photos, "--metric", "deletion", "--metric", "infidelity", "--preprocess", "unit"]
    assert not any("no probability" in line for line in command(*given, "--target", "2").err)
    (told,) = [line for line in command(*given, "--target", "2-3").err if "no probability" in line]
    assert told.startswith("note: deletion follow")
    assert "infidelity" not in told


def test_a_sum_of_classes_is_measured_as_a_group_of_them(model: Path, photos: Path):
    found = evaluate(model, photos, metrics=["deletion"], methods=[PLAIN, "eigencam"], target="1+3")
    graph = Explainer(convert(model, method=PLAIN, groups={"both": [1, 3]}).to_bytes())
    alone = evaluate(graph, photos, metrics=["deletion"], target="both")
    assert [row.label for row in found.rows] == ["1+3"] * 4
    for row, other in zip(found.rows, alone.rows, strict=False):
        assert row.values["deletion"] == pytest.approx(other.values["deletion"], rel=1e-4)


def test_options_go_to_the_methods_that_have_them(model: Path, photos: Path, command: Callable[..., Ran]):
    given = ["evaluate", model, photos, "--metric", "sparseness", "--method", "gradcam", "--preprocess", "unit"]
    assert command(*given, "--method", "rise", "--option", "masks=8", "--limit", "1").code == 0
    with pytest.raises(UnknownOption, match="masks"):
        evaluate(model, photos, metrics=["sparseness"], methods="gradcam", build={"options": {"masks": 8}})


def test_signals_are_refused_with_the_way_to_explain_them(photos: Path):
    with pytest.raises(OnlyExplained, match="onnxcam explain"):
        evaluate(bumps(80), photos, metrics=["sparseness"])


def test_what_adding_up_leaves_is_no_error(model: Path, photos: Path):
    (row, _) = evaluate(model, photos, metrics=["sparseness"], build=UNIT).rows
    value = 0.1 + 0.2
    same = [type(row)(**{name: getattr(row, name) for name in row.__slots__} | {"values": {"sparseness": each}})
            for each in (value, 0.3, value)]  # fmt: skip
    assert mean_of("gradcam", "r2", "sparseness", rows=same).error == 0


@pytest.mark.parametrize(
    ("mean", "error", "shown"),
    [
        (0.314159, 0.0021, "0.3142 ± 0.0021"),
        (12.3456, 3.21, "12.3 ± 3.2"),
        (1234.5, 25.0, "1234 ± 25"),
        (1.0, 0.0, "1 ± 0"),
        (0.5, float("nan"), "0.5"),
    ],
)
def test_a_mean_is_as_fine_as_its_error(mean: float, error: float, shown: str):
    assert number(Mean("gradcam", "r2", "deletion", mean, error, 3, 0, "lower")) == shown


def test_the_layers_of_the_model_are_those_that_are_measured(model: Path, photos: Path):
    names = [layer.name for layer in layers(model)][:2]
    found = evaluate(model, photos, metrics=["sparseness"], layers=names, target="1+2")
    assert {row.layer for row in found.rows} == set(names)
