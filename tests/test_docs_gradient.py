"""docs/gradient.md is true: its code runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from onnxcam import errors
from onnxcam.autodiff import RULES
from onnxcam.demo import MODEL

PAGE = (Path(__file__).parent.parent / "docs" / "gradient.md").read_text()


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    shutil.copy(MODEL, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    try:
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(block, "gradient.md", "exec"), names)
        assert capsys.readouterr().out == re.search(r"print\(.*\)  # (.*)\n", PAGE)[1] + "\n"  # type: ignore[index]
        assert "acme.Cube" in RULES
    finally:
        RULES.pop("acme.Cube", None)


def test_every_error_that_it_names_exists():
    section = PAGE[PAGE.index("| error | when |") : PAGE.index("All are")]
    named = re.findall(r"`([A-Z]\w+)`", section)
    assert len(named) >= 8
    assert all(issubclass(getattr(errors, name), errors.OnnxCamError) for name in named)
