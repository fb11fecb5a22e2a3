"""docs/detectors.md is true: its code and its command run, and its kinds, keys and defaults are those of the table."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import samples
from command_line import Command

from onnxcam.scores.detectors import FAMILIES
from onnxcam.scores.detectors.settings import Settings

PAGE = (Path(__file__).parent.parent / "docs" / "detectors.md").read_text()
SETTINGS = PAGE.partition("## Saying it")[2].partition("## Where to look")[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in (samples.model_path("yolox_nano"), samples.IMAGES / "both.png"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@samples.needs_samples
@pytest.mark.usefixtures("folder")
def test_the_code_runs():
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "detectors.md", "exec"), names)
    found = [names[name] for name in ("best", "second", "cat", "same")]
    assert [one.label for one in found] == ["dog", "cat", "cat", "cat"]  # type: ignore[attr-defined]


@samples.needs_samples
def test_the_command_runs(folder, monkeypatch, capsys):
    command = next(line for line in PAGE.splitlines() if line.startswith("onnxcam explain"))
    ran = Command(monkeypatch, capsys)(*shlex.split(command)[1:])
    assert ran.code == 0
    assert not [line for line in ran.err if not line.startswith("note: ")]
    assert len(list((folder / "viz").glob("*.cam.png"))) == 2  # the second detection is the cat


def test_every_setting_is_in_the_table_with_its_default():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", SETTINGS, re.MULTILINE))
    assert set(rows) == {field.name for field in fields(Settings)} - {"family"}
    assert (float(rows["iou"]), float(rows["threshold"])) == (Settings().iou, Settings().threshold)


def test_every_kind_of_the_table_can_be_named():
    table = PAGE.partition("## Which heads are found")[2].partition("What was found")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert len(named) > 10
    assert set(named) - set(FAMILIES) <= {"nms"}


@samples.needs_samples
def test_two_objects_of_a_class_have_files_of_their_own(folder, monkeypatch, capsys):
    shutil.copy(samples.IMAGES / "horses.jpg", folder)
    command = "explain yolox_nano.onnx horses.jpg -o viz --target -1 --target -2"
    assert Command(monkeypatch, capsys)(*shlex.split(command)).code == 0
    assert sorted(path.name for path in (folder / "viz").glob("*.png")) == ["horses.17-2.cam.png", "horses.17.cam.png"]
