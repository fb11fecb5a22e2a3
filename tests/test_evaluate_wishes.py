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

from onnxcam import console, convert, layers, sources
from onnxcam.appraisal import evaluate
from onnxcam.check import Check
from onnxcam.commands.evaluate import number
from onnxcam.engine import Explainer
from onnxcam.errors import (
    InvalidBoxes,
    InvalidOption,
    MetricNotMeasured,
    NamelessClasses,
    OnlyExplained,
    UnknownChoice,
    UnknownOption,
)
from onnxcam.evaluation import Mean
from onnxcam.evaluation.results import mean_of
from onnxcam.sources import Opened

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


@pytest.mark.parametrize("target", [None, 0, "1+2"])
def test_boxes_that_go_by_labels_are_refused_where_the_classes_have_none(
    model: Path, photos: Path, tmp_path: Path, target: Any
):
    with pytest.raises(NamelessClasses, match=r"boxes are of 'cat', .*--labels .*\"classes\""):
        evaluate(model, photos, boxes=boxes_of(tmp_path), metrics=["pointing-game"], methods=PLAIN, target=target)


def test_a_group_may_bear_the_label_of_a_thing(model: Path, photos: Path, tmp_path: Path):
    named = {"groups": {"cat": [1, 2]}}
    found = evaluate(model, photos, boxes=boxes_of(tmp_path), metrics="relevance-mass", methods=PLAIN, target="cat",
                     build=named)  # fmt: skip
    assert np.isfinite(found.rows[0].values["relevance-mass"])


def test_classes_without_names_leave_out_the_things_that_go_by_labels(model: Path, photos: Path, tmp_path: Path):
    things = [{"label": "cat", "box": [0, 0, 40, 30]}, {"label": "dog", "box": [0, 0, 10, 30], "classes": [3]}]
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"a.png": {"objects": things}}))
    given = {"boxes": path, "metrics": "relevance-mass", "methods": PLAIN, "limit": 1}
    (of_dog,) = evaluate(model, photos, **given, target=3).rows
    (of_cat,) = evaluate(model, photos, **given, target=2).rows
    assert 0 < of_dog.values["relevance-mass"] < 1  # the cat's box would be the whole picture
    assert np.isnan(of_cat.values["relevance-mass"])


def test_a_group_does_not_shift_imagenets_classes(photos: Path, tmp_path: Path):
    many = f"five = Gemm(flat, w3, b3) y = Concat<axis=1>({', '.join(['five'] * 200)})"
    path = boxes_of(tmp_path, imagenet_ranges=[[7, 7]])
    found = evaluate(
        cnn(many, y="float[N,1000] y"), photos, boxes=path, metrics="relevance-mass", methods=PLAIN, limit=1,
        target=7, build={"groups": {"few": [1, 2]}},
    )  # fmt: skip
    assert np.isfinite(found.rows[0].values["relevance-mass"])


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


@pytest.mark.parametrize(
    ("target", "grouped", "label"),
    [("1+3", "both", "1+3"), ("not:1+3", "not:both", "not:1+3"), ("1+3-0", "both-0", "1+3 - 0")],
)
def test_a_sum_of_classes_is_measured_as_a_group_of_them(
    model: Path, photos: Path, target: str, grouped: str, label: str
):
    found = evaluate(model, photos, metrics=["deletion"], methods=[PLAIN, "eigencam"], target=target)
    graph = Explainer(convert(model, method=PLAIN, groups={"both": [1, 3]}).to_bytes())
    alone = evaluate(graph, photos, metrics=["deletion"], target=grouped)
    assert [row.label for row in found.rows] == [label] * 4
    for row, other in zip(found.rows, alone.rows, strict=False):
        assert row.values["deletion"] == pytest.approx(other.values["deletion"], rel=1e-4)


def test_options_go_to_the_methods_that_have_them(model: Path, photos: Path, command: Callable[..., Ran]):
    given = ["evaluate", model, photos, "--metric", "sparseness", "--method", "gradcam", "--preprocess", "unit"]
    assert command(*given, "--method", "rise", "--option", "masks=8", "--limit", "1").code == 0
    with pytest.raises(UnknownOption, match="masks"):
        evaluate(model, photos, metrics=["sparseness"], methods="gradcam", build={"options": {"masks": 8}})


def test_a_method_or_layer_that_is_named_twice_is_measured_once(model: Path, photos: Path):
    found = evaluate(model, photos, metrics=["sparseness"], methods=["gradcam", "GradCAM", "gradcam"], target=1)
    assert [row.method for row in found.rows] == ["gradcam"] * 2
    found = evaluate(model, photos, metrics=["sparseness"], methods=PLAIN, layers=["r2", "r2"], target=1)
    assert [row.layer for row in found.rows] == ["r2"] * 2


def test_the_command_measures_a_method_once(model: Path, photos: Path, command: Callable[..., Ran]):
    given = ["--metric", "sparseness", "--preprocess", "unit", "--method", PLAIN]
    once, twice = (command("evaluate", model, photos, *given, *more) for more in ([], ["--method", PLAIN]))
    assert once.out == twice.out


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"raod": {"x": 1}}, UnknownChoice, "Did you mean 'road'"),
        ({"road": {}}, MetricNotMeasured, r"'road', which is not measured: the metrics are deletion, sparseness\."),
        ({"deletion": {"stops": 5}}, UnknownOption, "Did you mean 'steps'"),
        ({"deletion": {"steps": "many"}}, InvalidOption, "steps"),
        ({"steps": 5}, UnknownChoice, "steps"),
        ({"deletion": 5}, InvalidOption, "by name"),
    ],
)
def test_options_that_no_metric_takes_are_refused_before_any_work(
    photos: Path, options: dict[str, Any], kind: type[Exception], words: str
):
    with pytest.raises(kind, match=words):
        evaluate("there is no such model", photos, metrics=["deletion", "sparseness"], options=options)


def test_the_source_is_opened_with_the_options_of_convert(model: Path, photos: Path, command: Callable[..., Ran]):
    assert evaluate(model, photos, metrics=["sparseness"], build={"check": False, "keep_outputs": ["y"]}).rows
    ran = command("evaluate", model, photos, "--metric", "sparseness", "--no-check", "--keep-output", "y")
    assert ran.code == 0, ran.err


def test_what_is_known_of_the_conversion_is_told_once(
    model: Path, photos: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
):
    check = Check("torch", relative_error=0.2, agreement=0.5, samples=8).to_dict()
    monkeypatch.setattr(sources, "open_once", lambda _, options: (Opened(str(model), {"check": check}), options))
    given = ["--metric", "sparseness", "--method", "gradcam", "--method", PLAIN, "--preprocess", "unit"]
    ran = command("evaluate", "net.pt2", photos, *given)
    (told,) = [line for line in ran.err if "DIFFERS" in line]
    assert "against torch" in told


def test_stopped_while_the_model_is_opened_it_says_so(
    model: Path, photos: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
):
    def stopped(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "open_once", stopped)
    ran = command("evaluate", model, photos, "--metric", "sparseness")
    assert (ran.code, ran.err) == (console.INTERRUPTED, ["interrupted: nothing was measured yet"])


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
