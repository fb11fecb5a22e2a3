"""Detectors measured: what is said of each detection, and the confidence that faithfulness follows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from command_line import Command, Ran
from detector_samples import PREPROCESS, explainer
from samples import IMAGES, model_path, needs_samples

from onnxcam.appraisal import evaluate
from onnxcam.evaluation.probability import is_probable, probability
from onnxcam.evaluation.sample import Sample
from onnxcam.evaluation.subject import Subject
from onnxcam.images import read
from onnxcam.metadata import Metadata
from onnxcam.preprocessing import prepare
from onnxcam.targets import Classes

PHOTO = IMAGES / "both.png"  # a dog and a cat, and to a face detector a face
DOG = 16
FACTS = Metadata(method="layercam", layers=("a",), input="x", score="detector", classes=3)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    return Command(monkeypatch, capsys)


@needs_samples
@pytest.mark.parametrize("name", PREPROCESS)
def test_every_sample_detector_is_measured_by_its_confidence(name: str):
    ready = explainer(name)
    found = evaluate(ready, [PHOTO], metrics=["sparseness", "deletion", "average-drop", "adcc"])
    (row,) = found.rows
    best = ready(PHOTO)
    assert (row.box, row.confidence, row.measured) == (best.box, best.confidence, "probability")
    scores = row.curves["deletion"].scores
    assert scores[0] == pytest.approx(best.confidence, rel=1e-4)
    assert 0 <= scores.min() < scores.max() <= 1
    assert 0 <= row.values["average-drop"] <= 1
    assert 0 < row.values["adcc"] < 1


@needs_samples
def test_the_confidence_is_the_one_that_the_models_own_output_has():
    ready = explainer("yolox_nano")
    ((_, case),) = Subject(ready).cases(Sample(PHOTO, "a"), "dog", seed=0)
    batch = np.stack([case.x, case.x[:, ::-1], case.x * 0.5])
    session = onnxruntime.InferenceSession(str(model_path("yolox_nano")), providers=["CPUExecutionProvider"])
    (rows,) = zip(*(session.run(None, {session.get_inputs()[0].name: x[None]}) for x in batch), strict=True)
    expected = [float((row[0, :, 4] * row[0, :, 5 + DOG]).max()) for row in rows]  # objectness times class
    np.testing.assert_allclose(case.scores(batch), expected, rtol=1e-4)


@needs_samples
def test_the_files_and_the_command_say_which_detection_it_was(tmp_path: Path, command: Callable[..., Ran]):
    preprocess = json.dumps(PREPROCESS["yolox_nano"])
    given = ["--preprocess", preprocess, "--metric", "deletion", "-o", tmp_path]
    ran = command("evaluate", model_path("yolox_nano"), PHOTO, *given)
    assert ran.code == 0, ran.err
    assert not any("no probability" in line for line in ran.err)
    (row,) = json.loads((tmp_path / "metrics.json").read_text())["rows"]
    (line,) = csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines())
    assert row["label"] == "dog"
    assert 0.25 < row["confidence"] <= 1
    assert row["box"] == pytest.approx([77, 14, 165, 148], abs=4)  # as boxes.json has it
    assert float(line["confidence"]) == row["confidence"]


@needs_samples
def test_a_picture_without_a_detection_misses_and_has_no_measure():
    blank = np.full((64, 64, 3), 90, np.uint8)
    found = evaluate(explainer("yunet_2023mar"), [blank], boxes=[[[0, 0, 9, 9]]], metrics=["deletion", "pointing-game"])
    (row,) = found.rows
    assert (row.status, row.box, row.confidence) == ("not-found", None, 0)
    assert row.values["pointing-game"] == 0
    assert np.isnan(row.values["deletion"])


@needs_samples
def test_a_thing_is_meant_by_the_detection_of_its_name():
    (row,) = evaluate(explainer("yolox_nano"), [PHOTO], boxes=IMAGES / "boxes.json", metrics=["pointing-game"]).rows
    assert (row.label, row.values["pointing-game"]) == ("dog", 1)


def test_of_a_detection_s_other_side_the_rest_is_measured_and_of_a_difference_the_score():
    found = {
        "target_confidence": np.array([0.75, 0.0], np.float32),
        "target_score": np.array([1.1, 0.0], np.float32),
        "target_index": np.array([1, -1]),  # in the second picture there is nothing
    }
    classes = Classes(3)
    difference = 2 * 3 + 1 * 3 + 2
    np.testing.assert_allclose(probability(found, 1, FACTS, classes), [0.75, 0])
    np.testing.assert_allclose(probability(found, 1 + 3, FACTS, classes), [0.25, 1])
    np.testing.assert_allclose(probability(found, difference, FACTS, classes), [1.1, 0], rtol=1e-6)
    assert [is_probable(target, FACTS, classes) for target in (-1, 1, 1 + 3, difference)] == [False, True, True, False]


@needs_samples
def test_altered_pictures_are_read_as_the_model_takes_them():
    ready = explainer("yunet_2023mar")
    x, _ = prepare(read(PHOTO), ready.preprocessing)
    assert Subject(ready).probabilities(x[None], 0)[0] == pytest.approx(ready(PHOTO).confidence, rel=1e-4)
