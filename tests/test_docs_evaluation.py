"""The page on evaluation: its code runs, its boxes are read, its command is one, and no metric is missing."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer
from command_line import photo, saved
from small_nets import cnn
from typer.testing import CliRunner

from onnxcam.commands.evaluate import evaluate
from onnxcam.evaluation import METRICS
from onnxcam.evaluation.boxes import read_boxes

PAGE = (Path(__file__).parent.parent / "docs" / "evaluation.md").read_text()
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(evaluate)


def block(kind: str) -> str:
    """The first block of code of that kind."""
    found = re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page names."""
    many = f"five = Gemm(flat, w3, b3) y = Concat<axis=1>({', '.join(['five'] * 60)})"  # classes, for the boxes' own
    saved(cnn(many, y="float[N,300] y"), tmp_path / "squeezenet.onnx")
    photo(tmp_path / "photos" / "both.png", size=(224, 224))
    (tmp_path / "boxes.json").write_text(block("json"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_code_of_the_page_runs(stage: Path, capsys: pytest.CaptureFixture[str]):
    (stage / "out").mkdir()
    exec(compile(block("python"), "evaluation.md", "exec"), {})
    assert "gradcam deletion" in capsys.readouterr().out


def test_the_command_of_the_page_runs(stage: Path):
    line = block("").strip().removeprefix("onnxcam evaluate ")
    ran = CliRunner().invoke(app, shlex.split(line))
    assert ran.exit_code == 0, ran.output
    assert sorted(path.name for path in (stage / "out").iterdir()) == ["metrics.csv", "metrics.json", "metrics.svg"]


def test_the_boxes_of_the_page_are_read(stage: Path):
    dog, cat = read_boxes(stage / "boxes.json")["both.png"]
    assert dog.is_meant_by(200, "", 1000)
    assert cat.is_meant_by(283, "", 80)
    assert json.loads(block("json"))["both.png"]["objects"][0]["box"] == list(dog.boxes[0])


def test_the_page_lists_every_metric_and_what_it_measures():
    assert all(f"| `{row.name}` |" in PAGE and row.summary in PAGE for row in METRICS.values())
