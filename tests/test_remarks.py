"""What a method reports beside its map: in words, as JSON, and on the command line and the page."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from command_line import Command, photo, saved
from small_nets import cnn

import onnxcam
from onnxcam.remarks import plain, remarks

GRADIENTS = {"passes": 52, "score": 3.0, "baseline_score": 1.0, "gap": -0.006}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return saved(cnn(), tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({}, []),
        (GRADIENTS, ["gap 0.30 %", "52 passes"]),
        ({"score": 1.0, "baseline_score": 1.0, "gap": 0.25}, ["gap 0.25"]),
        ({"passes": 1}, ["1 pass"]),
        ({"passes": 50, "samples": 49}, ["50 passes, 49 samples"]),
        ({"explained": 0.876, "passes": 9}, ["explained 87.6 %", "9 passes"]),
        ({"inputs": "hint: all zeros"}, []),
    ],
)
def test_a_report_in_words(report: dict[str, float | int | str], said: list[str]):
    assert remarks(report) == said


def test_json_has_no_infinity():
    assert plain({"gap": math.inf, "score": math.nan, "passes": 3}) == {"gap": None, "score": None, "passes": 3}


def explained(command: Command, net: Path, folder: Path, *options: object) -> list[str]:
    path = photo(folder / "a.png")
    ran = command("explain", net, path, "-o", folder / "out", "--preprocess", "unit", "--target", 2, *options)
    assert ran.code == 0
    return ran.out


def test_the_json_line_holds_the_report_of_the_method(command: Command, net: Path, tmp_path: Path):
    given = ("--method", "integrated-gradients", "--option", "steps=7", "--json")
    (line,) = explained(command, net, tmp_path, *given)
    explainer = onnxcam.Explainer(
        onnxcam.convert(net, method="integrated-gradients", options={"steps": 7}, preprocess="unit").to_bytes()
    )
    report = explainer(tmp_path / "a.png", 2).report
    assert set(report) == {"passes", "score", "baseline_score", "gap"}
    assert json.loads(line)["report"] == pytest.approx(dict(report), rel=1e-3, abs=1e-4)


def test_a_method_of_one_pass_has_an_empty_report(command: Command, net: Path, tmp_path: Path):
    (line,) = explained(command, net, tmp_path, "--json")
    assert json.loads(line)["report"] == {}


def test_the_line_for_people_ends_with_the_gap(command: Command, net: Path, tmp_path: Path):
    (line,) = explained(command, net, tmp_path, "--method", "integrated-gradients", "--option", "steps=7")
    *_, last = line.split("  ")
    assert last.startswith("gap ")
    assert last.endswith(" %, 9 passes")


def test_the_page_tells_it_beside_the_method(command: Command, net: Path, tmp_path: Path):
    pytest.importorskip("jinja2")
    given = ("--method", "lime", "--option", "samples=40", "--option", "segments=9", "--report", tmp_path / "r.html")
    explained(command, net, tmp_path, *given)
    text = (tmp_path / "r.html").read_text()
    assert '<span>lime</span><span class="minor">explained ' in text
    assert "passes</span>" in text
