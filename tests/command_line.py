"""The command line run inside the test's own process, and small things to run it on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from explain_graphs import colours
from onnx import ModelProto

from onnxcam import cli

OFF = 2  # levels that the halves of a photo are off its colour


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: list[str]
    err: list[str]


@dataclass(frozen=True)
class Command:
    """`onnxcam`, as the shell would run it."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *args: object) -> Ran:
        self.monkeypatch.setattr(sys, "argv", ["onnxcam", *map(str, args)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = self.capsys.readouterr()
        return Ran(int(left.value.code or 0), printed.out.splitlines(), printed.err.splitlines())


def saved(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def colour_graph(folder: Path, **options: object) -> Path:
    """The explain graph whose classes are red, green and blue."""
    return saved(colours(**options), folder / "colours.explain.onnx")


def photo(path: Path, bgr: tuple[int, int, int] = (30, 60, 200), size: tuple[int, int] = (10, 12)) -> Path:
    """A picture of that colour on average, of that height and width: darker on the left, brighter on the right.

    Of one colour alone the graphs of colours have a map that is the same everywhere, and say so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    off = np.where(np.arange(size[1]) < size[1] / 2, -OFF, OFF)[None, :, None] * np.sign(bgr)
    assert cv2.imwrite(str(path), np.clip(np.full((*size, 3), bgr) + off, 0, 255).astype(np.uint8))
    return path


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def bytes_at(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
