"""docs/gathered-gradients.md is true: its code runs, and its names and defaults are those of the table."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from onnxcam.demo import MODEL, SCENE
from onnxcam.drivers import BLANKS, DRIVERS
from onnxcam.drivers.quadrature import RULES
from onnxcam.drivers.reduction import REDUCTIONS

PAGE = (Path(__file__).parent.parent / "docs" / "gathered-gradients.md").read_text()
ROWS = re.findall(r"^\| `([\w+-]+)` \| .* \| (gradient|a layer) \| `(\w+)`, (\d+)", PAGE, re.MULTILINE)


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(MODEL, tmp_path / "model.onnx")
    shutil.copy(SCENE, tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "gathered-gradients.md", "exec"), names)
    assert (tmp_path / "where.png").exists()
    assert set(names["e"].report) == {"passes", "score", "baseline_score", "gap"}  # type: ignore[attr-defined]


def test_its_rows_are_those_of_the_table():
    assert len(ROWS) == 10
    for name, needs, option, default in ROWS:
        assert DRIVERS[name].needs == ("both" if needs == "a layer" else needs)
        assert DRIVERS[name].options[option].default == int(default)


def test_every_baseline_rule_and_reduction_is_named():
    for name in (*BLANKS, *RULES, *REDUCTIONS):
        assert f"`{name}`" in PAGE
