"""Options of methods, groups, regions, references, other inputs and films on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import Command, photo, saved
from small_nets import CNN, cnn, net
from test_score_kinds import segmenter
from test_video import made

import onnxcam
from onnxcam.api import explainer_of
from onnxcam.video import frames


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(cnn(), tmp_path / "cnn.onnx")


def rows(ran: Any) -> list[dict[str, Any]]:
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out]


def heatmaps(command: Command, model: Path, tmp_path: Path, *options: object) -> list[np.ndarray]:
    found = command(
        "explain", model, photo(tmp_path / "a.png"), "-o", tmp_path / "out", "--save-heatmap", "--json", *options
    )
    return [np.load(row["heatmap"]) for row in rows(found)]


def test_an_option_of_the_method_is_the_same_on_the_command_line_and_in_python(
    tmp_path: Path, command: Command, model: Path
):
    options = ["--method", "occlusion", "--option", "window=4", "--option", "stride=2", "--target", "1"]
    (found,) = heatmaps(command, model, tmp_path, *options)
    graph = onnxcam.convert(model, method="occlusion", options={"window": 4, "stride": 2})
    expected = explainer_of(graph)(str(tmp_path / "a.png"), 1).heatmap
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_explain_graph_takes_options_of_its_method_of_many_passes(tmp_path: Path, command: Command, model: Path):
    graph = tmp_path / "occlusion.explain.onnx"
    assert command("convert", model, "-o", graph, "--method", "occlusion", "--option", "window=8").code == 0
    coarse, fine = (heatmaps(command, graph, tmp_path, *more) for more in ([], ["--option", "window=2"]))
    assert np.abs(coarse[0] - fine[0]).max() > 0.05


def test_an_explain_graph_is_run_by_another_method_of_many_passes(tmp_path: Path, command: Command, model: Path):
    graph, page = tmp_path / "plain.explain.onnx", tmp_path / "page.html"
    assert command("convert", model, "-o", graph).code == 0
    given = ["explain", graph, photo(tmp_path / "a.png"), "-o", tmp_path / "o", "--json", "--save-heatmap"]
    (row, _) = rows(command(*given, "--method", "Occlusion", "--option", "window=8", "--report", page))
    assert (row["method"], row["layer"]) == ("occlusion", "x")
    expected = onnxcam.Explainer(graph)(str(tmp_path / "a.png"), driver="occlusion", options={"window": 8}).heatmap
    np.testing.assert_allclose(np.load(row["heatmap"]), expected, atol=1e-6)
    assert "occlusion" in page.read_text()
    assert "gradcam" not in page.read_text()
    (around,) = rows(command(*given, "--wrap", "tta", "--option", "tta.flips=false"))
    assert around["method"] == "tta of gradcam"


def test_an_explain_graph_keeps_its_method_of_one_pass(tmp_path: Path, command: Command, model: Path):
    graph = tmp_path / "plain.explain.onnx"
    assert command("convert", model, "-o", graph).code == 0
    given = ["explain", graph, photo(tmp_path / "a.png"), "-o", tmp_path / "o"]
    assert "--method cannot change" in command(*given, "--method", "layercam").err[-1]
    ran = command(*given, "--option", "masks=8")
    assert "(on the command line: --method rise)" in ran.err[-1]
    assert command(*given, "--option", "masks=8", "--method", "rise").code == 0


def test_frames_are_skipped_in_films_alone(tmp_path: Path, command: Command, model: Path):
    ran = command("explain", model, photo(tmp_path / "a.png"), "-o", tmp_path / "o", "--every", "2")
    assert ran.code == 2
    assert "it is for films, and there is none" in " ".join(ran.err)


def test_a_layer_named_twice_is_explained_once(tmp_path: Path, command: Command, model: Path):
    given = ["explain", model, photo(tmp_path / "a.png"), "-o", tmp_path / "o", "--json", "--layer", "r1"]
    (row,) = rows(command(*given, "--layer", "r1"))
    assert row["layer"] == "r1"
    (row,) = rows(command(*given, "--layer", "r1", "--method", "ablationcam"))
    assert row["layer"] == "r1"


def test_a_target_said_twice_is_written_once(tmp_path: Path, command: Command, model: Path):
    given = ["explain", model, photo(tmp_path / "a.png"), "-o", tmp_path / "o", "--json"]
    (best,) = rows(command(*given))
    index = best["target_index"]
    found = rows(command(*given, "--target", index, "--target", "-1", "--target", f"not:{index}"))
    assert [row["target_index"] for row in found] == [index, index + 5]
    (row,) = rows(command(*given, "--target", "1", "--target", "1"))
    assert Path(row["output"]).name == "a.cam.png"


def test_a_sum_of_classes_is_converted_for(tmp_path: Path, command: Command, model: Path):
    ran = command("explain", model, photo(tmp_path / "a.png"), "-o", tmp_path, "--target", "1+3", "--json")
    (row,) = rows(ran)
    assert (row["label"], row["target_index"]) == ("1+3", 5)
    singles = rows(
        command("explain", model, tmp_path / "a.png", "-o", tmp_path, "--target", "1", "--target", "3", "--json")
    )
    assert row["score"] == pytest.approx(sum(single["score"] for single in singles), rel=1e-5)


@pytest.mark.parametrize(
    ("target", "label", "signs"),
    [
        ("not:1+3", "not:1+3", {1: -1, 3: -1}),
        ("1+3-2", "1+3 - 2", {1: 1, 3: 1, 2: -1}),
        ("2-1+3", "2 - 1+3", {2: 1, 1: -1, 3: -1}),
    ],
)
def test_a_sum_within_a_target_is_converted_for(
    tmp_path: Path, command: Command, model: Path, target: str, label: str, signs: dict[int, int]
):
    given = ["explain", model, photo(tmp_path / "a.png"), "-o", tmp_path, "--json"]
    (row,) = rows(command(*given, "--target", target))
    assert row["label"] == label
    singles = rows(command(*given, *(word for index in signs for word in ("--target", index))))
    expected = sum(signs[single["target_index"]] * single["score"] for single in singles)
    assert row["score"] == pytest.approx(expected, rel=1e-4)


def test_a_sum_that_an_explain_graph_lacks_is_told_with_its_group(tmp_path: Path, command: Command, model: Path):
    graph = tmp_path / "plain.explain.onnx"
    assert command("convert", model, "-o", graph).code == 0
    ran = command("explain", graph, photo(tmp_path / "a.png"), "-o", tmp_path, "--target", "0-1+3")
    assert "--group '1+3=1,3'" in ran.err[-1]
    assert command("convert", model, "-o", graph, "--group", "1+3=1,3").code == 0
    assert command("explain", graph, photo(tmp_path / "a.png"), "-o", tmp_path, "--target", "0-1+3").code == 0


def test_a_sum_of_a_group_is_of_its_members(tmp_path: Path, command: Command, model: Path):
    given = ["explain", model, photo(tmp_path / "a.png"), "-o", tmp_path, "--json", "--group", "few=0,2"]
    (row,) = rows(command(*given, "--target", "few+1"))
    (plain,) = rows(command(*given, "--target", "0+1+2"))
    assert row["score"] == pytest.approx(plain["score"], rel=1e-5)


def test_a_group_has_a_name(tmp_path: Path, command: Command, model: Path):
    graph = tmp_path / "groups.explain.onnx"
    assert command("convert", model, "-o", graph, "--group", "few=0-1,4", "--group", "rest=2,3").code == 0
    ran = command("explain", graph, photo(tmp_path / "a.png"), "-o", tmp_path, "--target", "few-rest", "--json")
    assert rows(ran)[0]["label"] == "few - rest"


def test_another_librarys_numbers_are_asked_for_by_its_name(tmp_path: Path, command: Command, model: Path):
    options = ["--layer", "r2", "--method", "gradcam++", "--target", "1"]
    own, theirs = (heatmaps(command, model, tmp_path, *options, *more)[0] for more in ([], ["--like", "torchcam"]))
    assert np.abs(own - theirs).max() > 1e-4


def test_a_region_is_a_mask_of_the_photo(tmp_path: Path, command: Command):
    model = saved(segmenter(), tmp_path / "segmenter.onnx")
    mask = np.zeros((10, 12), np.uint8)
    mask[:, :6] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    (found,) = heatmaps(command, model, tmp_path, "--target", "0", "--region", tmp_path / "mask.png")
    assert found[:, 8:].max() == 0


def test_a_reference_is_a_picture_or_a_vector(tmp_path: Path, command: Command, model: Path):
    same = photo(tmp_path / "a.png")
    np.save(tmp_path / "vector.npy", np.ones(5, np.float32))
    ran = [
        command("explain", model, same, "-o", tmp_path, "--score", "similarity", "--reference", given, "--json")
        for given in (same, tmp_path / "vector.npy")
    ]
    assert rows(ran[0])[0]["score"] == pytest.approx(1, abs=1e-5)
    assert abs(rows(ran[1])[0]["score"]) < 1


def test_another_input_comes_from_a_file(tmp_path: Path, command: Command):
    body = CNN + "both = Add(flat, extra)  y = Gemm(both, w3, b3)"
    model = saved(net(body, x="float[N,3,16,16] x, float[N,8] extra"), tmp_path / "two.onnx")
    np.save(tmp_path / "extra.npy", np.full((1, 8), 9, np.float32))
    scores = [
        rows(command("explain", model, photo(tmp_path / "a.png"), "-o", tmp_path, "--target", "0", "--json", *more))[0]
        for more in ([], ["--input", f"extra={tmp_path / 'extra.npy'}"])
    ]
    assert abs(scores[0]["score"] - scores[1]["score"]) > 1


def test_a_film_becomes_a_film(tmp_path: Path, command: Command, model: Path):
    film = made(tmp_path / "clip.avi", count=6)
    ran = command(
        "explain", model, film, "-o", tmp_path / "out", "--every", "2", "--target", "0", "--target", "1", "--json"
    )
    written = rows(ran)
    assert [row["target_index"] for row in written] == [0, 1]
    for row in written:
        shown = [frame for _, frame in frames(row["output"])]
        assert len(shown) == 3
        assert shown[0].shape == (48, 64, 3)


def test_films_and_pictures_go_together_and_a_bad_film_leaves_the_others_alone(
    tmp_path: Path, command: Command, model: Path
):
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    film = made(tmp_path / "clip.avi", count=2)
    ran = command("explain", model, photo(tmp_path / "a.png"), tmp_path / "bad.mp4", film, "-o", tmp_path / "out")
    assert ran.code == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.cam.png", "clip.cam.webm"}
    assert any("bad.mp4" in line for line in ran.err)


BAD = [
    (["--option", "window"], "--option takes NAME=VALUE, not 'window'"),
    (["--method", "occlusion", "--option", "windw=3"], "no option 'windw'. Did you mean 'window'"),
    (["--method", "occlusion", "--option", "window=x"], "window"),
    (["--group", "dog=1-x"], "'1-x' is neither a class index nor a range"),
    (["--group", "dog=9"], "no class 9"),
    (["--like", "pytorchgradcam"], "Did you mean 'pytorch-grad-cam'"),
    (["--wrap", "ttaa"], "Did you mean 'tta'"),
    (["--wrap", "tta", "--method", "occlusion"], "'occlusion' takes many passes itself"),
    (["--wrap", "tta", "--option", "britness=1"], "Did you mean 'brightness'"),
    (["--method", "drise"], "Use rise"),
    (["--region", "missing.png"], "missing.png"),
    (["--target-box", "1,2,3,4"], "takes none"),
    (["--input", "z=missing.npy"], "cannot be read"),
    (["--score", "y[:, 77]"], "none at 77"),
    (["--target", "0+x"], "no class"),
    (["--target", "0-9"], "target 9 is out of range"),
]


@pytest.mark.parametrize(("options", "words"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_what_makes_no_sense_is_one_line(tmp_path: Path, command: Command, model: Path, options: list[str], words: str):
    ran = command("explain", model, photo(tmp_path / "a.png"), "-o", tmp_path / "out", *options)
    assert ran.code == 1
    errors = [line for line in ran.err if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]


@pytest.mark.parametrize("method", ["saliency", "rise"])
def test_channels_of_a_method_that_looks_at_no_layer_are_refused(
    tmp_path: Path, command: Command, model: Path, method: str
):
    ran = command("explain", model, photo(tmp_path / "a.png"), "-o", tmp_path, "--method", method, "--channels", 3)
    assert ran.code == 1
    assert "looks at the picture itself" in ran.err[-1]


@pytest.mark.parametrize("option", [["--channels", 3], ["--save-heatmap"]])
def test_what_films_cannot_have_is_refused(tmp_path: Path, command: Command, model: Path, option: list[object]):
    film = made(tmp_path / "clip.avi", count=2)
    ran = command("explain", model, film, "-o", tmp_path / "out", *option)
    assert ran.code != 0
    assert any(str(option[0]) in line and "film" in line for line in ran.err)


def test_the_methods_tell_their_options(command: Command):
    listed = {row["name"]: row for row in rows(command("methods", "--json"))}
    assert listed["rise"]["options"]["masks"] > 0
    assert (listed["rise"]["passes"], listed["gradcam"]["passes"]) == ("many", "one")
