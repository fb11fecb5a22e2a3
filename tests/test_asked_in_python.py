"""What Python callers ask for in a wrong or short form: targets, groups, score functions, regions, references."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import Command, Ran, photo, saved
from numpy.typing import NDArray
from signal_nets import bumps
from small_nets import cnn, net

from onnxcam import convert, explain
from onnxcam.api import explainer_of
from onnxcam.errors import (
    ArrayNoImage,
    InvalidGroup,
    InvalidReference,
    InvalidRegion,
    NotATensor,
    OnlyExplained,
    UnknownChoice,
)
from onnxcam.factorization import factorize
from onnxcam.jobs import find_jobs

LABELS = ["ant", "bee", "cat, kitten", "dog", "eel"]
MAPS = "h = Conv<pads=[1,1,1,1]>(x, w1, b1) y = Conv<pads=[1,1,1,1]>(h, w2, b2)"


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    return Command(monkeypatch, capsys)


def test_a_list_of_targets_for_one_picture_gives_one_explanation_each(picture: NDArray[np.uint8]):
    found = explain(cnn(), picture, [3, 1, "1+3"])
    assert isinstance(found, list)
    assert [one.target_index for one in found] == [3, 1, 5]
    alone = explain(cnn(), picture, 1)
    np.testing.assert_allclose(found[1].heatmap, alone.heatmap, atol=1e-6)


def test_a_list_of_targets_for_as_many_pictures_is_one_each(picture: NDArray[np.uint8]):
    assert [one.target_index for one in explain(cnn(), [picture, picture], [3, 1])] == [3, 1]


def test_a_sum_of_labels_becomes_a_group(picture: NDArray[np.uint8]):
    found = explain(cnn(), picture, "kitten+dog", labels=LABELS)
    scores = explain(cnn(), picture, "dog", labels=LABELS).scores
    assert found.label == "kitten+dog"
    assert found.target_score == pytest.approx(scores[2] + scores[3], rel=1e-4)


def test_sums_of_labels_within_targets_become_groups(picture: NDArray[np.uint8]):
    opposite, ahead = explain(cnn(), picture, ["not:kitten+dog", "kitten + dog-ant"], labels=LABELS)
    scores = opposite.scores
    assert (opposite.label, ahead.label) == ("not:kitten+dog", "kitten + dog - ant")
    assert opposite.target_score == pytest.approx(-scores[2] - scores[3], rel=1e-4)
    assert ahead.target_score == pytest.approx(scores[2] + scores[3] - scores[0], rel=1e-4)


@pytest.mark.parametrize("name", ["281", "-1", " 3 ", "not:ant", "", "dog", "DOG"])
def test_a_group_that_could_not_be_asked_for_is_refused(name: str):
    with pytest.raises(InvalidGroup):
        convert(cnn(), groups={name: [0, 1]}, labels=LABELS)


def test_a_group_goes_before_a_part_of_a_label(picture: NDArray[np.uint8]):
    explainer = explainer_of(convert(cnn(), groups={"cat": [2, 3]}, labels=LABELS))
    assert explainer(picture, "cat").target_index == 5


@pytest.mark.parametrize("classes", [["cat"], "cat", [1.5]])
def test_a_group_of_anything_but_indices_is_refused(classes: Any):
    with pytest.raises(InvalidGroup, match="class indices"):
        convert(cnn(), groups={"some": classes}, labels=LABELS)


def test_a_group_of_numpy_indices_is_taken():
    assert convert(cnn(), groups={"some": np.array([1, 2])}).metadata.groups == ("some",)


def test_a_score_function_that_gives_a_number_is_refused():
    with pytest.raises(NotATensor, match=r"float 0\.5"):
        convert(cnn(), score=lambda outputs: 0.5)


def test_a_score_function_that_asks_for_an_unknown_output_is_refused():
    with pytest.raises(UnknownChoice, match="There are: y"):
        convert(cnn(), score=lambda outputs: outputs["logits"])


def test_a_region_may_be_a_file_or_levels_of_grey(tmp_path: Path, picture: NDArray[np.uint8]):
    explainer = explainer_of(convert(net(MAPS, y="float[N,8,16,16] y"), score="segmentation"))
    mask = np.zeros((16, 16), bool)
    mask[2:9, 3:12] = True
    cv2.imwrite(str(tmp_path / "mask.png"), mask.astype(np.uint8) * 255)
    np.save(tmp_path / "mask.npy", mask)
    ways = [mask * np.uint8(255), mask.astype(np.uint8), tmp_path / "mask.png", str(tmp_path / "mask.npy")]
    wanted = explainer(picture, 2, region=mask).target_score
    for region in ways:
        assert explainer(picture, 2, region=region).target_score == pytest.approx(wanted, rel=1e-5)


def test_a_region_beyond_one_is_refused(picture: NDArray[np.uint8]):
    explainer = explainer_of(convert(net(MAPS, y="float[N,8,16,16] y"), score="segmentation"))
    with pytest.raises(InvalidRegion, match="above 1"):
        explainer(picture, 2, region=np.full((16, 16), 3.0))


def test_more_references_than_pictures_are_refused(picture: NDArray[np.uint8]):
    graph = convert(cnn("y = Identity(flat)", y="float[N,8] y"), score="similarity")
    with pytest.raises(InvalidReference, match="is 2 vectors for 1 picture"):
        explainer_of(graph)(picture, reference=np.ones((2, 8), np.float32))


@pytest.mark.parametrize("name", ["compare", "evaluate", "factorize"])
def test_an_array_in_place_of_a_picture_is_called_so(tmp_path: Path, command: Callable[..., Ran], name: str):
    np.save(tmp_path / "a.npy", np.zeros((2, 80), np.float32))
    ran = command(name, saved(cnn(), tmp_path / "net.onnx"), tmp_path / "a.npy", "--preprocess", "unit")
    assert ran.code == 1
    assert "holds an array, and here a picture is wanted" in ran.err[-1]


def test_an_array_is_no_picture(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ArrayNoImage):
        explain(cnn(), tmp_path / "a.npy")


def test_signals_are_not_factorised(tmp_path: Path):
    with pytest.raises(OnlyExplained, match="factorisation"):
        factorize(bumps(80), [np.zeros((2, 80), np.float32)])


def test_ctrl_c_in_a_factorisation_says_what_is_kept(
    tmp_path: Path, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
):
    from onnxcam.factorization import Factorizer

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Factorizer, "look", interrupted)
    image = photo(tmp_path / "a.png")
    ran = command("factorize", saved(cnn(), tmp_path / "net.onnx"), image, "-o", tmp_path, "--preprocess", "unit")
    assert (ran.code, ran.out) == (130, [])
    assert ran.err[-1].startswith("interrupted: nothing is written")


@pytest.mark.parametrize("flag", ["--group", "--option"])
def test_a_name_that_is_said_twice_is_refused(tmp_path: Path, command: Callable[..., Ran], flag: str):
    image = photo(tmp_path / "a.png")
    given = [flag, "dog=1", flag, "dog=2"]
    ran = command("explain", saved(cnn(), tmp_path / "net.onnx"), image, "-o", tmp_path, *given)
    assert ran.code == 1
    assert f"{flag} dog=… is there twice" in ran.err[-1]


def test_hidden_files_are_passed_over_in_folders(tmp_path: Path):
    for name in (".hidden.png", ".cache/a.png", "seen.png"):
        photo(tmp_path / name)
    assert [job.image.name for job in find_jobs([str(tmp_path)], Path("out"))] == ["seen.png"]
    assert len(find_jobs([str(tmp_path / ".hidden.png")], Path("out"))) == 1
