"""The README is true: its code runs, its tables are those of the registries."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import onnxcam
from onnxcam.demo import MODEL, SCENE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README speaks of."""
    shutil.copy(MODEL, tmp_path / "model.onnx")
    shutil.copy(SCENE, tmp_path / "photo.jpg")
    (tmp_path / "classes.txt").write_text("\n".join(f"digit {n}" for n in range(10)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_tables_are_those_of_the_registries():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "tables.py", "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


def test_the_python_code_runs(folder: Path):
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert (folder / "cam.png").stat().st_size > 0


def test_the_commands_run(folder: Path):
    lines = [line.partition("#")[0].split() for block in blocks("sh") for line in block.splitlines()]
    commands = [line[1:] for line in lines if line and line[0] == "onnxcam"]
    assert commands
    for arguments in commands:
        done = subprocess.run(
            [sys.executable, "-m", "onnxcam", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert len(list((folder / "out").glob("photo.*.cam.png"))) == 3
    assert len(list((folder / "onnxcam-demo").glob("*.png"))) == 4


def test_every_command_is_listed():
    from typer.main import get_command

    from onnxcam.cli import app

    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"`onnxcam {name}" in README


def test_every_file_of_the_code_map_exists():
    section = README[README.index("| where | what |") :]
    named = re.findall(r"`([\w/]+(?:\.py|/))`", section)
    homes = ("", "onnxcam/", "onnxcam/autodiff/")
    assert len(named) > 20
    for name in named:
        assert any((ROOT / home / name).exists() for home in homes), name


def test_the_version_has_an_entry_in_the_changelog():
    assert f"## {onnxcam.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / link).exists(), link
