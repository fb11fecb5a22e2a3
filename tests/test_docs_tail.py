"""docs/tail-and-attention.md is true: its code runs, its methods have those options and no others."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from onnxcam import errors
from onnxcam.demo import MODEL
from onnxcam.methods import METHODS

PAGE = (Path(__file__).parent.parent / "docs" / "tail-and-attention.md").read_text()


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    shutil.copy(MODEL, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "tail-and-attention.md", "exec"), {})
    assert capsys.readouterr().out == re.search(r"print\(.*\)  # (.*)\n", PAGE)[1] + "\n"  # type: ignore[index]


def test_the_options_are_those_of_the_methods():
    rows = re.findall(r"^\| `(.*?)` \|.*\| (.*?) ?\|$", PAGE, re.MULTILINE)
    assert {name for name, _ in rows} == {"rollout", "gradient-rollout", "legrad"}
    for name, options in rows:
        assert set(re.findall(r"`(\w+)`", options)) == set(METHODS[name].options)


def test_the_error_that_it_names_exists():
    assert issubclass(errors.NoAttention, errors.OnnxCamError)
