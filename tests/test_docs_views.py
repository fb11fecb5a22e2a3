"""docs/report.md, docs/compare.md and docs/concepts.md are true: their code and their commands run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import cv2
import pytest
from command_line import Command

from onnxcam.demo import MODEL, SCENE

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {"report": "jinja2", "compare": "cv2", "concepts": "sklearn"}


@pytest.fixture(params=list(PAGES))
def page(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page's text, in a folder with the files that it speaks of."""
    pytest.importorskip("jinja2")
    pytest.importorskip(PAGES[request.param])
    shutil.copy(MODEL, tmp_path / "model.onnx")
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "other.jpg", "photos/a.jpg"):
        cv2.imwrite(str(tmp_path / name), cv2.imread(str(SCENE)))
    monkeypatch.chdir(tmp_path)
    return (DOCS / f"{request.param}.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found
    return found


def test_the_commands_run(page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    command = Command(monkeypatch, capsys)
    for line in [line for block in blocks(page, "sh") for line in block.splitlines()]:
        name, *arguments = shlex.split(line)
        assert name == "onnxcam"
        ran = command(*arguments)
        assert ran.code == 0, (line, ran.err)


def test_the_python_code_runs(page: str, tmp_path: Path):
    for block in blocks(page, "python"):
        exec(compile(block, "docs", "exec"), {})
    assert [path for path in tmp_path.iterdir() if path.suffix in (".html", ".png")]


def test_its_pictures_are_there_and_light(page: str):
    names = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert names
    assert all(0 < (DOCS / name).stat().st_size < 150_000 for name in names)
