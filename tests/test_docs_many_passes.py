"""docs/many-passes.md is true: its code runs, and its table is that of the drivers."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from onnxcam.demo import MODEL, SCENE
from onnxcam.drivers import BLANKS, DRIVERS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "many-passes.md").read_text()


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(MODEL, tmp_path / "model.onnx")
    shutil.copy(SCENE, tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    known = dict(DRIVERS)
    try:
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(block, "many-passes.md", "exec"), names)
    finally:
        DRIVERS.clear()
        DRIVERS.update(known)
    assert (tmp_path / "where.png").exists()
    assert (tmp_path / "half.png").exists()
    assert names["e"].report == {"passes": 300}  # type: ignore[attr-defined]


def test_what_the_page_says_of_methods_is_so(tmp_path: Path):
    from onnxcam import Explainer, convert

    explainer = Explainer(convert(MODEL).to_bytes())
    said = re.findall(r"^explainer\((.*)\)\.method  # \"(.*)\"$", PAGE, re.MULTILINE)
    assert len(said) == 3
    for call, method in said:
        found = eval(f"explainer({call})", {"explainer": lambda photo, **given: explainer(SCENE, **given)})
        assert found.method == method


def test_the_table_is_that_of_the_drivers():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "scripts" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    assert tables.drivers() in PAGE, "python scripts/tables.py"


def test_every_blank_is_named():
    for name in BLANKS:
        assert f"`{name}`" in PAGE
