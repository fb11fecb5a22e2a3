"""Comparisons that end early, that have nothing to show, and what may be asked of all their methods at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import Command, Ran, saved
from numpy.typing import NDArray
from signal_nets import bumps
from small_nets import cnn

from onnxcam import convert, explain
from onnxcam.comparison import compare
from onnxcam.engine import Explainer
from onnxcam.errors import (
    Interrupted,
    InvalidGroup,
    NoHeatmaps,
    NotBegun,
    OnlyExplained,
    OnnxCamError,
    UnknownOption,
)
from onnxcam.explanation import INTERRUPTED, NOT_FOUND
from onnxcam.grid import CELL, Grid, Tile, drawn, text
from onnxcam.legend import broken

RISE = {"options": {"masks": 8}}
EMBEDDING = "y = Identity(flat)"


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(cnn(), tmp_path / "net.onnx")


@pytest.fixture
def photo(tmp_path: Path, picture: NDArray[np.uint8]) -> Path:
    assert cv2.imwrite(str(tmp_path / "photo.png"), picture)
    return tmp_path / "photo.png"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    return Command(monkeypatch, capsys)


def answering(monkeypatch: pytest.MonkeyPatch, method: str, answer: Callable[[Any], Any]) -> None:
    """Lets explainers of a method give something else than what they found."""
    call = Explainer.__call__

    def changed(self: Explainer, *args: Any, **options: Any) -> Any:
        found = call(self, *args, **options)
        return answer(found) if self.metadata.method == method else found

    monkeypatch.setattr(Explainer, "__call__", changed)


def cut_short(found: Any) -> Any:
    return [replace(found[0], status=INTERRUPTED)]


def stopped(found: Any) -> Any:
    raise Interrupted(found[:1], len(found))


@pytest.mark.parametrize("answer", [cut_short, stopped])
def test_what_is_done_of_a_row_is_kept_and_the_rest_is_not_begun(
    model: Path, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, answer: Callable[[Any], Any]
):
    answering(monkeypatch, "rise", answer)
    found = compare(model, picture, methods=["gradcam", "rise", "eigencam"], targets=[0, 1], **RISE)
    assert [cell.has_heatmap for cell in found.cells] == [True, True, True, False, False, False]
    assert all(isinstance(cell.error, NotBegun) for cell in found.cells[3:])
    assert found.interrupted


def test_the_command_writes_what_is_done_and_leaves_with_130(
    model: Path, photo: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    answering(monkeypatch, "rise", cut_short)
    given = ["--method", "gradcam", "--method", "rise", "--option", "masks=8", "--preprocess", "unit"]
    ran = command("compare", model, photo, "-o", tmp_path / "g.png", *given)
    assert (ran.code, ran.out) == (130, [f"{tmp_path / 'g.png'}  4 heatmaps  2 missing"])
    assert ran.err == ["interrupted: 3 of 6 heatmaps are whole, the others are cut short or missing"]
    assert (tmp_path / "g.png").is_file()


def test_a_comparison_stopped_before_its_first_heatmap_writes_nothing(
    model: Path, photo: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    def at_once(_: Any) -> Any:
        raise KeyboardInterrupt

    answering(monkeypatch, "gradcam", at_once)
    ran = command("compare", model, photo, "-o", tmp_path / "g.png", "--method", "gradcam", "--preprocess", "unit")
    assert (ran.code, ran.err) == (130, ["interrupted: no heatmap was done, and nothing is written"])
    assert not (tmp_path / "g.png").exists()


def test_a_comparison_of_errors_alone_is_an_error(tmp_path: Path, photo: Path, command: Command):
    model = saved(cnn(EMBEDDING, y="float[N,8] y"), tmp_path / "net.onnx")
    ran = command("compare", model, photo, "--score", "similarity", "--method", "gradcam", "--preprocess", "unit")
    assert ran.code == 1
    assert ran.err[-1].startswith("error: input 'reference' is missing")


def test_a_comparison_in_which_nothing_is_found_is_an_error(
    model: Path, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
):
    def nothing(found: Any) -> Any:
        return [replace(one, status=NOT_FOUND, reason="there is no such detection.") for one in found]

    answering(monkeypatch, "gradcam", nothing)
    with pytest.raises(NoHeatmaps, match="no such detection"):
        compare(model, picture, methods=["gradcam"])


def test_a_thing_that_is_not_found_is_no_heatmap(
    model: Path, photo: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    answering(monkeypatch, "gradcam", lambda found: [*found[:2], replace(found[2], status=NOT_FOUND, reason="none")])
    given = ["-o", tmp_path / "g.png", "--method", "gradcam", "--preprocess", "unit"]
    assert command("compare", model, photo, *given).out == [f"{tmp_path / 'g.png'}  2 heatmaps  1 missing"]


def test_an_option_goes_to_the_methods_that_have_it(model: Path, picture: NDArray[np.uint8]):
    found = compare(model, picture, methods=["gradcam", "rise"], targets=[2], **RISE)
    alone = explain(model, picture, 2, method="rise", **RISE)
    assert [cell.error for cell in found.cells] == [None, None]
    np.testing.assert_allclose(found.cells[1].explanation.heatmap, alone.heatmap, atol=1e-5)


def test_what_goes_around_the_methods_goes_around_all_of_one_pass(
    tmp_path: Path, photo: Path, model: Path, command: Command
):
    ways = ("--wrap", "tta", "--option", "flips=false", "--option", "brightness=1", "--json")
    same = command("compare", model, photo, "--method", "gradcam", "--target", 0, "-o", tmp_path / "a.png", *ways)
    assert json.loads(same.out[0])["cells"][0]["report"]["passes"] == 1
    mixed = command("compare", model, photo, "--method", "gradcam", "--method", "rise", "-o", tmp_path / "b.png", *ways)
    assert any("no rise: 'tta' goes around a method of one pass" in line for line in mixed.err)
    wrong = command("compare", model, photo, "--wrap", "tta", "--option", "flops=1", "-o", tmp_path / "c.png")
    assert (wrong.code, "flops" in wrong.err[-1]) == (1, True)


def test_an_option_that_no_method_has_is_an_error(model: Path, picture: NDArray[np.uint8]):
    with pytest.raises(UnknownOption, match="masks"):
        compare(model, picture, methods=["gradcam", "eigencam"], **RISE)


def test_one_name_may_stand_for_a_list(model: Path, picture: NDArray[np.uint8]):
    found = compare(model, picture, methods="gradcam", layers="r1", targets=2)
    assert [(cell.method, cell.layer, cell.target) for cell in found.cells] == [("gradcam", "r1", 2)]


def test_a_sum_of_classes_is_compared_as_a_group_of_them(model: Path, picture: NDArray[np.uint8]):
    found = compare(model, picture, methods=["gradcam", "hirescam"], targets=["1+3", 0])
    grouped = convert(model, method="gradcam", groups={"both": [1, 3]})
    alone = Explainer(grouped.to_bytes())(picture, "both")
    assert [cell.explanation.label for cell in found.cells] == ["1+3", None] * 2
    np.testing.assert_allclose(found.cells[0].explanation.heatmap, alone.heatmap, atol=1e-5)


def test_sums_within_targets_are_compared_as_groups(model: Path, picture: NDArray[np.uint8]):
    found = compare(model, picture, methods=["gradcam", "hirescam"], targets=["not:1+3", "0-1+3"])
    grouped = convert(model, method="gradcam", groups={"both": [1, 3]})
    for cell, target in zip(found.cells, ["not:both", "0-both"], strict=False):
        alone = Explainer(grouped.to_bytes())(picture, target)
        np.testing.assert_allclose(cell.explanation.heatmap, alone.heatmap, atol=1e-5)


def test_what_is_named_twice_is_drawn_once(
    model: Path, photo: Path, tmp_path: Path, picture: NDArray[np.uint8], command: Callable[..., Ran]
):
    found = compare(model, picture, methods=["hirescam", "HiResCAM"], layers=["r1", "r2", "r1"], targets=[2])
    assert [(cell.method, cell.layer) for cell in found.cells] == [("hirescam", "r1"), ("hirescam", "r2")]
    given = ["--method", "hirescam", "--target", 2, "--target", 2, "--preprocess", "unit", "-o", tmp_path / "c.png"]
    ran = command("compare", model, photo, *given, "--json")
    assert len(json.loads(ran.out[-1])["cells"]) == 1


def test_a_group_that_cannot_be_had_is_an_error_and_no_cell(model: Path, picture: NDArray[np.uint8]):
    with pytest.raises(InvalidGroup):
        compare(model, picture, methods=["gradcam"], groups={"all": [1, 99]})


def test_a_reference_goes_to_every_method(tmp_path: Path, photo: Path, picture: NDArray[np.uint8], command: Command):
    model = saved(cnn(EMBEDDING, y="float[N,8] y"), tmp_path / "net.onnx")
    found = compare(model, picture, score="similarity", methods=["gradcam", "eigencam"], reference=picture)
    assert [round(cell.explanation.target_score, 4) for cell in found.cells] == [1, 1], "like itself"
    given = ["--score", "similarity", "--method", "gradcam", "--preprocess", "unit", "--reference", photo, "--json"]
    (row,) = [json.loads(line) for line in command("compare", model, photo, "-o", tmp_path / "g.png", *given).out]
    assert row["cells"][0]["score"] == pytest.approx(1)


def test_signals_are_refused_with_the_way_to_explain_them(picture: NDArray[np.uint8]):
    with pytest.raises(OnlyExplained, match="onnxcam explain"):
        compare(bumps(80), picture, methods=["gradcam"])


# the picture


@pytest.mark.parametrize("shape", [(2, 3000), (3000, 2), (1, 1)])
def test_a_thin_picture_is_compared_too(model: Path, shape: tuple[int, int]):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert compare(model, pixels, methods=["gradcam", "eigencam"]).picture().array.shape[0] > 100


def test_a_remark_stands_below_its_picture_and_hides_nothing():
    image = np.full((CELL, CELL, 3), (200, 0, 0), np.uint8)
    shown = drawn(Tile(image, "all-zero"), (CELL, CELL))
    np.testing.assert_array_equal(shown[:CELL], image)
    assert (shown[CELL:] < 100).any()


def test_a_heading_that_is_cut_ends_in_dots(monkeypatch: pytest.MonkeyPatch):
    lines: list[str] = []
    monkeypatch.setattr(cv2, "putText", lambda _, line, *rest: lines.append(line))
    text(["a heading of many words that are too long for the little room that there is"], 100, 40)
    assert lines[-1].endswith(" ...")


def test_rows_are_as_high_as_their_headings():
    tile = Tile(np.zeros((10, 100, 3), np.uint8))
    heading = ["a", "b", "c", "d"]
    low, high = (Grid(tile.image, ["t"], [["c"]], [lines], [[tile]]).draw(100) for lines in (heading[:1], heading))
    assert high.shape[0] - low.shape[0] == 3 * 20


def test_many_classes_of_one_method_go_on_below(tmp_path: Path):
    model = saved(cnn(), tmp_path / "net.onnx")
    square = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    targets = [0, 1, 2, 3, 4, *(f"not:{index}" for index in range(5)), "0-1", "0-2", "0-3", "0-4"]
    height, width, _ = compare(model, square, methods=["gradcam"], targets=targets).picture().array.shape
    assert width > height


def test_a_name_is_broken_behind_a_mark_or_before_a_capital():
    pieces = broken("onnx::QuantizeLinear_1540", 130, 0.42)
    assert "".join(pieces) == "onnx::QuantizeLinear_1540"
    assert pieces[0][-1] in ":_" or pieces[1][0].isupper()


def test_what_python_is_asked_wrongly_is_an_error_of_ours(model: Path, picture: NDArray[np.uint8]):
    with pytest.raises(OnnxCamError, match="no method named"):
        compare(model, picture, methods="gradcan")
