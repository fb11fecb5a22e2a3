"""Methods, layers and classes side by side: which heatmaps there are, how often a model is converted, what is drawn."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import Command, saved
from numpy.typing import NDArray
from small_nets import cnn

from onnxcam import api, explain
from onnxcam.comparison import Comparison, compare
from onnxcam.engine import Explainer
from onnxcam.errors import LabelNotFound, NoLinearHead, UnknownChoice, UnknownLayer
from onnxcam.grid import Grid, Tile

LABELS = ["ant", "bee", "cat", "dog", "eel"]
CURVED = "h = Tanh(flat) y = Gemm(h, w3, b3)"  # CAM cannot be had: its head must be linear


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return saved(cnn(), tmp_path / "net.onnx")


def test_every_method_at_every_layer_has_a_heatmap_of_every_target(net: Path, picture: NDArray[np.uint8]):
    found = compare(net, picture, methods=["gradcam", "eigencam"], layers=["r2", "r1"], targets=[0, -1], labels=LABELS)
    assert [(cell.method, cell.layer, cell.target) for cell in found.cells] == [
        (method, layer, target) for method in ("gradcam", "eigencam") for layer in ("r2", "r1") for target in (0, -1)
    ]


def test_a_cell_is_what_the_method_gives_alone(net: Path, picture: NDArray[np.uint8]):
    found = compare(net, picture, methods=["gradcam++", "layercam"], layers=["r1", "r2"], targets=[1, 3])
    for cell in found.cells:
        alone = explain(net, picture, cell.target, method=cell.method, layer=cell.layer)
        assert cell.explanation is not None
        assert cell.explanation.target_index == cell.target
        np.testing.assert_allclose(cell.explanation.heatmap, alone.heatmap, atol=1e-5)


def test_without_a_wish_there_are_the_three_best_classes_and_methods_of_each_kind(
    net: Path, picture: NDArray[np.uint8]
):
    found = compare(net, picture)
    best = np.argsort(-explain(net, picture).scores)[:3]
    assert [cell.explanation.target_index for cell in found.rows[0].cells if cell.explanation] == list(best)
    assert {"gradcam", "layercam", "eigencam"} <= {row.method for row in found.rows}


def test_a_model_of_one_score_is_compared_for_that_one(tmp_path: Path, picture: NDArray[np.uint8]):
    net = saved(cnn("z = Gemm(flat, w4, b4) y = Sigmoid(z)", y="float[N,1] y"), tmp_path / "one.onnx")
    assert compare(net, picture, methods=["gradcam"]).targets == (-1,)


def test_each_method_and_layer_is_converted_once_and_all_targets_run_together(
    net: Path, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
):
    made: Counter[Any] = Counter()
    runs: Counter[Any] = Counter()
    convert, call = api.convert, Explainer.__call__

    def counted(*args: Any, **options: Any) -> Any:
        made[options["method"], options["layer"]] += 1
        return convert(*args, **options)

    def counted_call(self: Explainer, *args: Any, **options: Any) -> Any:
        runs[self.metadata.method, self.metadata.layers] += 1
        return call(self, *args, **options)

    monkeypatch.setattr(api, "convert", counted)
    monkeypatch.setattr(Explainer, "__call__", counted_call)
    compare(net, picture, methods=["gradcam", "hirescam"], layers=["r1", "r2"], targets=[0, 1, 2, 3])
    assert len(made) == 4
    assert set(made.values()) == {1}
    assert len(runs) == 4
    assert set(runs.values()) == {1}


def test_what_a_model_cannot_have_is_a_cell_with_the_error(tmp_path: Path, picture: NDArray[np.uint8]):
    net = saved(cnn(CURVED), tmp_path / "net.onnx")
    found = compare(net, picture, methods=["cam", "gradcam"], targets=[0, 1])
    assert [cell.explanation is None for cell in found.cells] == [True, True, False, False]
    assert isinstance(found.cells[0].error, NoLinearHead)
    assert found.cells[0].to_dict()["status"] == "failed"
    assert "Tanh" in found.cells[0].to_dict()["error"]


def test_if_nothing_can_be_had_the_error_is_raised(tmp_path: Path, picture: NDArray[np.uint8]):
    net = saved(cnn(CURVED), tmp_path / "net.onnx")
    with pytest.raises(NoLinearHead):
        compare(net, picture, methods=["cam"])


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"methods": ["gradcam", "gradcan"]}, UnknownChoice),
        ({"layers": ["r2", "r9"]}, UnknownLayer),
        ({"targets": ["unicorn"]}, LabelNotFound),
    ],
)
def test_a_name_that_does_not_exist_is_an_error_and_no_cell(
    net: Path, picture: NDArray[np.uint8], wish: dict[str, Any], error: type[Exception]
):
    with pytest.raises(error):
        compare(net, picture, **wish, labels=LABELS)


# the picture


def colours_of(*rows: str) -> list[list[Tile]]:
    known = {"r": (255, 0, 0), "g": (0, 255, 0), "b": (0, 0, 255)}
    return [[Tile(np.full((20, 30, 3), known[name], np.uint8)) for name in row] for row in rows]


def places(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """x, y, width and height of the areas of a colour, from left to right and top to bottom."""
    mask = (image == np.array(colour, np.uint8)).all(2).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return sorted((int(x), int(y), int(w), int(h)) for x, y, w, h, area in stats[1:] if area > 100)


def grid(columns: int, *rows: str) -> Grid:
    grey = np.full((20, 30, 3), 128, np.uint8)
    return Grid(
        grey,
        ["a"],
        [[f"column {n}"] for n in range(columns)],
        [[f"row {n}"] for n in range(len(rows))],
        colours_of(*rows),
    )


def test_pictures_stand_in_rows_and_columns_in_their_own_proportions():
    drawn = grid(2, "rg", "gr").draw(90)
    (x0, y0, w, h), (x1, y1, *_) = places(drawn, (255, 0, 0))
    assert (w, h) == (90, 60)
    assert x1 > x0 + 90
    assert y1 > y0 + 60
    assert [(x, y) for x, y, _, _ in places(drawn, (0, 255, 0))] == [(x0, y1), (x1, y0)]


def test_what_is_wider_than_a_screen_goes_on_below():
    drawn = grid(12, "r" * 11 + "b", "g" * 12).draw(200)
    assert drawn.shape[1] < 1700
    reds, (blue,) = places(drawn, (255, 0, 0)), places(drawn, (0, 0, 255))
    assert len({y for _, y, _, _ in reds}) == 2
    assert blue[1] > min(y for _, y, _, _ in places(drawn, (0, 255, 0))), "the last column lies in the second band"
    assert blue[0] == max(x for x, *_ in reds), "bands are of one width"


def test_headings_stand_above_and_beside_their_pictures():
    drawn = grid(2, "rg", "gr").draw(120)
    (x0, y0, *_), (_, y1, *_) = places(drawn, (255, 0, 0))
    dark = drawn.max(2) < 100
    assert dark[y0 - 24 : y0, x0 : x0 + 120].any()
    assert dark[y0 : y0 + 30, :x0].any()
    assert dark[y1 : y1 + 30, :x0].any()


def test_a_cell_without_a_heatmap_says_why_in_its_place():
    given = grid(2, "rg", "gr")
    tiles = [[given.tiles[0][0], Tile(None, "needs a linear head, and this one is not")], given.tiles[1]]
    with_reason = Grid(given.photo, given.title, given.columns, given.rows, tiles).draw(160)
    without = Grid(given.photo, given.title, given.columns, given.rows, [[tiles[0][0], Tile(None)], tiles[1]]).draw(160)
    changed = np.argwhere((with_reason != without).any(2))
    x, y, *_ = places(given.draw(160), (0, 255, 0))[1]
    assert len(changed) > 50
    assert (changed.min(0) >= (y, x)).all()
    assert (changed.max(0) < (y + 107, x + 160)).all()


def test_a_text_too_long_for_its_cell_is_cut_and_nothing_grows():
    short, long = (
        Grid(np.zeros((9, 9, 3), np.uint8), ["t"], [["c"]], [["r"]], [[Tile(None, words)]]).draw(100)
        for words in ("why", "because " * 200)
    )
    assert short.shape == long.shape


@pytest.mark.parametrize(("methods", "columns"), [(2, 3), (5, 5), (7, 3)])
def test_what_is_more_goes_across_if_it_is_not_too_much(
    net: Path, picture: NDArray[np.uint8], methods: int, columns: int
):
    names = "gradcam hirescam layercam xgradcam eigencam gradcam++ activation-mean".split()[:methods]
    drawn = compare(net, picture, methods=names, targets=[0, 1, 2]).picture(size=100).array
    names_and_margins = 36 + 110  # at least; 80 more at most
    assert (drawn.shape[1] - names_and_margins) // (100 + 8) == columns


def test_of_one_class_methods_go_across_and_layers_down(net: Path, picture: NDArray[np.uint8]):
    wide, tall = (
        compare(net, picture, methods=methods, layers=layers, targets=[0]).picture(size=100).array.shape
        for methods, layers in (
            (["gradcam", "hirescam", "layercam"], ["r2", "r1"]),
            (["gradcam", "eigencam"], ["r2", "c2", "r1"]),
        )
    )
    assert wide[1] - tall[1] == 108
    assert tall[0] > wide[0]


# the command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def photo(tmp_path: Path, picture: NDArray[np.uint8]) -> Path:
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    return tmp_path / "photo.png"


def test_the_command_writes_one_picture_and_says_so(net: Path, photo: Path, tmp_path: Path, command: Command):
    ran = command("compare", net, photo, "-o", tmp_path / "grid.png", "--method", "gradcam", "--preprocess", "unit")
    assert (ran.code, ran.err, ran.out) == (0, [], [f"{tmp_path / 'grid.png'}  3 heatmaps"])
    assert cv2.imread(str(tmp_path / "grid.png")).shape[0] > 224


def test_the_picture_has_a_name_that_folders_pass_over(
    net: Path, photo: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert command("compare", net, photo, "--method", "gradcam").code == 0
    assert (tmp_path / "photo.compare.cam.png").is_file()


def test_json_has_every_cell(net: Path, photo: Path, tmp_path: Path, command: Command):
    given = ["--method", "gradcam", "--method", "layercam", "--target", "1", "--target", "-2", "--preprocess", "unit"]
    ran = command("compare", net, photo, "-o", tmp_path / "g.png", *given, "--json")
    (row,) = [json.loads(line) for line in ran.out]
    assert row["output"] == str(tmp_path / "g.png")
    assert [(cell["method"], cell["target"]) for cell in row["cells"]] == [
        ("gradcam", 1), ("gradcam", -2), ("layercam", 1), ("layercam", -2),
    ]  # fmt: skip
    assert row["cells"][0]["target_index"] == 1


def test_what_cannot_be_had_is_told_on_stderr_and_the_rest_is_drawn(photo: Path, tmp_path: Path, command: Command):
    net = saved(cnn(CURVED), tmp_path / "net.onnx")
    given = ["--method", "cam", "--method", "gradcam", "--top-k", "2", "--preprocess", "unit"]
    ran = command("compare", net, photo, "-o", tmp_path / "g.png", *given)
    assert (ran.code, ran.out) == (0, [f"{tmp_path / 'g.png'}  2 heatmaps  2 missing"])
    assert len(ran.err) == 1
    assert ran.err[0].startswith("note: no cam: ")


def test_ctrl_c_leaves_a_picture_of_what_is_done(
    net: Path, photo: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    convert = api.convert

    def interrupted(*args: Any, **options: Any) -> Any:
        if options["method"] == "eigencam":
            raise KeyboardInterrupt
        return convert(*args, **options)

    monkeypatch.setattr(api, "convert", interrupted)
    given = ["--method", "gradcam", "--method", "eigencam", "--preprocess", "unit"]
    ran = command("compare", net, photo, "-o", tmp_path / "g.png", *given)
    assert (ran.code, ran.out) == (130, [f"{tmp_path / 'g.png'}  3 heatmaps  3 missing"])
    assert ran.err == ["interrupted: 3 of 6 heatmaps are whole, the others are cut short or missing"]


def test_a_comparison_becomes_a_page_too(net: Path, photo: Path, tmp_path: Path, command: Command):
    pytest.importorskip("jinja2")
    given = ["--method", "gradcam", "--method", "eigencam", "--report", tmp_path / "r.html"]
    assert command("compare", net, photo, "-o", tmp_path / "g.png", *given).code == 0
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count("data-row=") == 6
    assert "photo.png in net.onnx" in text


def test_an_explain_graph_is_refused_with_the_reason(net: Path, photo: Path, tmp_path: Path, command: Command):
    api.convert(net).save(tmp_path / "a.explain.onnx")
    ran = command("compare", tmp_path / "a.explain.onnx", photo)
    assert (ran.code, len(ran.err)) == (1, 1)


def test_its_repr_counts_what_is_missing(net: Path, picture: NDArray[np.uint8]):
    found = compare(net, picture, methods=["gradcam"])
    assert isinstance(found, Comparison)
    assert repr(found) == "Comparison(1 rows, 3 targets, 0 cells without a heatmap)"
