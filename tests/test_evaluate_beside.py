"""Evaluations of what needs more than a picture: a region, something to compare with, other inputs; and --wrap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import Command, Ran, saved
from numpy.typing import NDArray
from small_nets import CNN, cnn, net, run
from test_score_kinds import segmenter

import onnxcam
from onnxcam.api import explainer_of
from onnxcam.appraisal import evaluate
from onnxcam.errors import InvalidReference, InvalidRegion, NotGuided, UnknownChoice, UnknownOption
from onnxcam.evaluation.sample import Sample
from onnxcam.evaluation.subject import Subject

UNIT = {"preprocess": {"preset": "unit", "resize": "stretch", "size": [16, 16]}}
RNG = np.random.default_rng(0)
PHOTOS = [RNG.integers(0, 256, (16, 16, 3), np.uint8) for _ in range(2)]
LEFT, RIGHT = (np.repeat([[side] * 8 + [not side] * 8], 16, axis=0) for side in (True, False))
SIMILAR = {**UNIT, "score": "similarity"}
PLAIN = "activation-mean"  # whose map is never zero


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "photos" / name for name in ("a.png", "b.png")]
    paths[0].parent.mkdir()
    for path, photo in zip(paths, PHOTOS, strict=True):
        assert cv2.imwrite(str(path), photo[..., ::-1])
    return paths


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    return Command(monkeypatch, capsys)


def whole(found: Any) -> list[float]:
    """The scores of the pictures as they are, by which deletion begins."""
    return [float(row.curves["deletion"].scores[0]) for row in found.rows]


def with_input(declared: str, ending: str) -> Any:
    return net(CNN + ending, x=f"float[N,3,16,16] x, {declared}")


def shares(scores: NDArray[Any]) -> NDArray[np.float64]:
    grown = np.exp(scores.astype(np.float64))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def prepared(photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.moveaxis(photo.astype(np.float32) / 255, 2, 0)[None]


# a region


@pytest.mark.parametrize("masks", [[LEFT, RIGHT], [RIGHT, LEFT]])
def test_each_picture_may_have_a_region_over_which_its_score_is_asked(masks: list[NDArray[np.bool_]]):
    found = evaluate(segmenter(), PHOTOS, metrics=["deletion"], methods=PLAIN, target=0, region=masks, build=UNIT)
    explainer = explainer_of(onnxcam.convert(segmenter(), **UNIT))
    expected = [explainer(photo, 0, region=mask).target_score for photo, mask in zip(PHOTOS, masks, strict=True)]
    assert whole(found) == pytest.approx(expected, rel=1e-4)
    assert len({round(score, 3) for score in expected}) == 2


def test_one_region_holds_for_all_pictures():
    one, each = (
        evaluate(segmenter(), PHOTOS, metrics=["deletion"], methods=PLAIN, target=0, region=region, build=UNIT)
        for region in (LEFT, [LEFT, LEFT])
    )
    assert whole(one) == whole(each)


@pytest.mark.parametrize("wrap", [None, "tta"])
def test_maps_of_altered_pictures_are_of_the_region_too(wrap: str | None):
    subject = Subject(explainer_of(onnxcam.convert(segmenter(), **UNIT, wrap=wrap)))
    sample = Sample(PHOTOS[0], "a", asking={"region": LEFT.astype(np.float32)})
    ((_, case),) = subject.cases(sample, 0, seed=0)
    assert case.explain is not None
    (shown,) = case.explain(case.x[None])
    assert shown[:, 12:].max() == 0
    assert shown[:, :8].max() > 0.4


def test_a_region_of_another_size_is_refused_before_any_work_with_the_picture(files: list[Path]):
    with pytest.raises(InvalidRegion, match=r"\(3, 3\), but the picture .*a\.png is \(16, 16\)"):
        evaluate("there is no such model", files, region=np.ones((3, 3), bool))


def test_as_many_regions_as_pictures_are_needed():
    with pytest.raises(InvalidRegion, match="3 masks for 2"):
        evaluate(segmenter(), PHOTOS, region=[LEFT] * 3)


def test_a_region_for_a_classifier_is_refused():
    with pytest.raises(NotGuided, match="segmentation"):
        evaluate(cnn(), PHOTOS, metrics=["sparseness"], region=LEFT, build=UNIT)


# something to compare with


def test_pictures_are_compared_with_a_picture_also_while_they_are_altered():
    names = ["deletion", "coherency", "cascading-randomization"]
    found = evaluate(cnn(), PHOTOS, metrics=names, methods=PLAIN, reference=PHOTOS[0], build=SIMILAR)
    same, other = whole(found)
    assert same == pytest.approx(1, abs=1e-5)  # the cosine of a picture to itself
    embedded = [run(cnn(), {"x": prepared(photo)})["y"][0].astype(np.float64) for photo in PHOTOS]
    cosine = embedded[0] @ embedded[1] / np.prod([np.linalg.norm(each) for each in embedded])
    assert other == pytest.approx(cosine, rel=1e-4)
    assert all(np.isfinite(value) for row in found.rows for value in row.values.values())


@pytest.mark.parametrize("references", [PHOTOS, PHOTOS[::-1]])
def test_each_picture_may_have_a_reference(references: list[NDArray[np.uint8]]):
    found = evaluate(cnn(), PHOTOS, metrics=["deletion"], methods=PLAIN, reference=references, build=SIMILAR)
    is_own = [np.array_equal(photo, other) for photo, other in zip(PHOTOS, references, strict=True)]
    assert [score > 0.99999 for score in whole(found)] == is_own


def test_a_vector_may_stand_for_all_pictures_or_one_for_each():
    vectors = np.eye(5, dtype=np.float32)[:2]
    each = evaluate(cnn(), PHOTOS, metrics=["deletion"], reference=vectors, build=SIMILAR)
    one = evaluate(cnn(), PHOTOS, metrics=["deletion"], reference=vectors[0], build=SIMILAR)
    assert whole(each)[0] == whole(one)[0]
    assert whole(each)[1] != whole(one)[1]


def test_as_many_references_as_pictures_are_needed():
    with pytest.raises(InvalidReference, match="3 references for 2"):
        evaluate(cnn(), PHOTOS, reference=np.eye(3), build=SIMILAR)


# other inputs

LOGITS = "z = Gemm(flat, w3, b3)"


def test_other_inputs_have_a_row_for_each_picture_or_one_for_all():
    model = with_input("float[N,5] shift", f"{LOGITS} y = Add(z, shift)")
    rows = RNG.normal(size=(2, 5)).astype(np.float32)
    for given in (rows, rows[:1]):
        found = evaluate(
            model, PHOTOS, metrics=["deletion"], methods=PLAIN, target=1, inputs={"shift": given}, build=UNIT
        )
        own = given if len(given) == 2 else np.repeat(given, 2, axis=0)
        feeds = {"x": np.concatenate([prepared(photo) for photo in PHOTOS]), "shift": own}
        assert whole(found) == pytest.approx(shares(run(model, feeds)["y"])[:, 1], rel=1e-4)


def test_an_input_that_has_no_rows_goes_into_every_run_as_it_is():
    model = with_input("float[1] factor", f"{LOGITS} y = Mul(z, factor)")
    factor = np.array([2], np.float32)
    found = evaluate(model, PHOTOS[:1], metrics=["deletion"], target=1, inputs={"factor": factor}, build=UNIT)
    scores = run(model, {"x": prepared(PHOTOS[0]), "factor": factor})["y"]
    assert whole(found) == pytest.approx(shares(scores)[:, 1], rel=1e-4)


def test_an_input_that_the_model_does_not_have_is_refused():
    with pytest.raises(UnknownChoice, match="shift"):
        evaluate(cnn(), PHOTOS, metrics=["sparseness"], inputs={"shift": np.zeros((1, 5))}, build=UNIT)


# something around the methods


def test_what_goes_around_a_method_is_in_its_name_and_gets_its_options():
    build = {**UNIT, "wrap": "tta", "options": {"flips": "false", "tta.brightness": "1"}}
    found = evaluate(cnn(), PHOTOS, metrics=["sparseness"], methods=["gradcam", "layercam"], target=1, build=build)
    plain = evaluate(cnn(), PHOTOS, metrics=["sparseness"], methods="gradcam", target=1, build=UNIT)
    assert list(found.groups()) == [("tta of gradcam", "r2"), ("tta of layercam", "r2")]
    for row, other in zip(found.rows, plain.rows, strict=False):
        assert row.values["sparseness"] == pytest.approx(other.values["sparseness"], rel=1e-4)


def test_a_method_of_many_passes_has_nothing_around_it():
    build = {**UNIT, "wrap": "tta"}
    found = evaluate(cnn(), PHOTOS, metrics=["sparseness"], methods=["gradcam", "rise"], target=1, build=build)
    assert {row.method for row in found.rows} == {"tta of gradcam"}
    assert "rise" in found.failures


def test_an_option_that_neither_method_nor_wrap_has_is_refused():
    with pytest.raises(UnknownOption, match="flops"):
        evaluate(cnn(), PHOTOS, methods=["gradcam"], build={"wrap": "tta", "options": {"flops": True}})


# the command


def test_the_command_takes_them_all(tmp_path: Path, files: list[Path], command: Callable[..., Ran]):
    assert cv2.imwrite(str(tmp_path / "mask.png"), LEFT.astype(np.uint8) * 255)
    np.save(tmp_path / "shift.npy", np.zeros((1, 5), np.float32))
    asked: list[tuple[Any, list[object]]] = [
        (segmenter(), ["--region", tmp_path / "mask.png", "--target", 0]),
        (cnn(), ["--score", "similarity", "--reference", files[0], "--method", PLAIN]),
        (with_input("float[N,5] shift", f"{LOGITS} y = Add(z, shift)"), ["--input", f"shift={tmp_path / 'shift.npy'}"]),
        (cnn(), ["--wrap", "tta", "--option", "flips=false", "--method", "gradcam"]),
    ]
    for model, given in asked:
        path = saved(model, tmp_path / "net.onnx")
        ran = command("evaluate", path, files[0].parent, "--metric", "deletion", "--preprocess", "unit", *given)
        assert ran.code == 0, ran.err
        assert "(2)" in "\n".join(ran.out)


def test_what_the_command_names_for_a_missing_reference_it_takes(files: list[Path], command: Callable[..., Ran]):
    path = saved(cnn(), files[0].parent.parent / "net.onnx")
    ran = command("evaluate", path, files[0], "--metric", "deletion", "--score", "similarity", "--preprocess", "unit")
    assert ran.code == 1
    assert "--reference FILE" in ran.err[-1]
    assert command("evaluate", path, files[0], "--metric", "deletion", "--score", "similarity", "--reference",
                   files[1], "--preprocess", "unit").code == 0  # fmt: skip
