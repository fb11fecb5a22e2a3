"""What the command line says to bad input: one line on stderr, exit code 1, and nothing written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Command, bytes_at, colour_graph, photo, saved
from small_nets import cnn


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


COMMANDS = [
    # name,                    arguments,                                                    words
    ("not an ONNX file", "convert {photo} -o {out}/a.onnx", "is not an ONNX model"),
    ("truncated file", "convert {cut} -o {out}/a.onnx", "truncated"),
    ("no file", "explain gone.onnx {photo} -o {out}", "no model file 'gone.onnx'"),
    ("no picture", "explain {graph} gone.jpg -o {out}", "no picture at 'gone.jpg'"),
    ("folder without pictures", "explain {graph} {empty} -o {out}", "no picture at"),
    ("corrupt picture", "explain {graph} {corrupt} -o {out}", "is damaged"),
    ("unknown layer", "convert {model} --layer r22 -o {out}/a.onnx", "Did you mean 'r2'"),
    ("unknown method", "explain {model} {photo} --method gradcamm -o {out}", "Did you mean 'gradcam'"),
    ("unknown score", "convert {model} --score logits -o {out}/a.onnx", "'logits'"),
    ("unknown normalisation", "convert {model} --normalize kera -o {out}/a.onnx", "Did you mean 'keras'"),
    ("unknown preset", "explain {model} {photo} --preprocess cafe -o {out}", "Did you mean 'caffe'"),
    ("unknown colour map", "explain {graph} {photo} --colormap jett -o {out}", "Did you mean 'jet'"),
    ("target out of range", "explain {graph} {photo} --target 3 -o {out}", "target 3 is out of range"),
    ("too many ranks", "explain {graph} {photo} --top-k 4 -o {out}", "target -4 is out of range"),
    ("label not found", "explain {graph} {photo} --target gren -o {out}", "Did you mean 'green'"),
    ("labels' file is missing", "explain {graph} {photo} --labels gone.txt -o {out}", "gone.txt cannot be used"),
    ("provider not available", "explain {graph} {photo} --provider qnn -o {out}", "Available here"),
    ("a file in the folder's place", "explain {graph} {photo} -o {photo}", "cannot be written: a file has that name"),
    ("a file above the folder", "explain {graph} {photo} -o {photo}/a", "cannot be written: Not a directory"),
    ("no such package", "convert no_such.nets:build -o {out}/a.onnx", "No module named 'no_such'"),
    ("no such size", "convert {model} --input-size big -o {out}/a.onnx", "'big' is no size; write HEIGHT,WIDTH"),
    ("explain graph converted", "convert {graph} -o {out}/a.onnx", "is an explain graph already"),
    ("explain graph's layers", "layers {graph}", "is an explain graph already"),
    ("method for an explain graph", "explain {graph} {photo} --method cam -o {out}", "--method cannot change"),
    ("layer for an explain graph", "explain {graph} {photo} --layer r2 -o {out}", "--layer cannot change"),
    ("score for an explain graph", "explain {graph} {photo} --score logit -o {out}", "--score cannot change"),
    ("group for an explain graph", "explain {graph} {photo} --group a=1-2 -o {out}", "--group cannot change"),
    ("size for an explain graph", "explain {graph} {photo} --input-size 8,8 -o {out}", "--input-size cannot change"),
    ("module for an explain graph", "explain {graph} {photo} --keep-output a -o {out}", "--keep-output cannot change"),
    ("model overwritten", "convert {model} -o {model}", "would overwrite the model"),
]


def places(folder: Path) -> dict[str, Path]:
    """What the commands speak of."""
    (folder / "out").mkdir()
    (folder / "empty").mkdir()
    return {
        "out": folder / "out",
        "empty": folder / "empty",
        "graph": colour_graph(folder),
        "model": saved(cnn(), folder / "cnn.onnx"),
        "cut": bytes_at(folder / "cut.onnx", cnn().SerializeToString()[:900]),
        "photo": photo(folder / "photo.jpg"),
        "corrupt": bytes_at(folder / "corrupt.png", photo(folder / "whole.png").read_bytes()[:50]),
    }


@pytest.mark.parametrize(("name", "line", "words"), COMMANDS, ids=[row[0] for row in COMMANDS])
def test_the_command_says_it_in_one_line_and_writes_nothing(
    name: str, line: str, words: str, tmp_path: Path, command: Command
):
    given = places(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ran = command(*(part.format(**given) for part in line.split()))
    said = [text for text in ran.err if not text.startswith("note: ")]
    assert (ran.code, ran.out, len(said)) == (1, [], 1)
    assert said[0].startswith("error: ")
    assert words in said[0]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_target_that_does_not_exist_is_one_error_for_all_pictures(tmp_path: Path, command: Command):
    for name in ("a.png", "b.png", "c.png"):
        photo(tmp_path / "in" / name)
    ran = command("explain", colour_graph(tmp_path), tmp_path / "in", "-o", tmp_path / "out", "--target", "gren")
    assert (ran.code, len(ran.err)) == (1, 1)
    assert not (tmp_path / "out").exists()


def test_one_bad_picture_among_a_hundred_is_reported_and_the_others_are_done(tmp_path: Path, command: Command):
    for number in range(99):
        photo(tmp_path / "in" / f"{number:02}.png")
    bytes_at(tmp_path / "in" / "50b.png", (tmp_path / "in" / "50.png").read_bytes()[:50])
    ran = command("explain", colour_graph(tmp_path), tmp_path / "in", "-o", tmp_path / "out")
    assert (ran.code, len(ran.out)) == (1, 99)
    assert len(list((tmp_path / "out").iterdir())) == 99
    assert "50b.png' is damaged" in ran.err[0]
    assert ran.err[1] == "error: 1 of 100 pictures could not be explained, as said above; the other 99 were."


def test_a_real_process_ends_with_one_line_and_no_traceback(tmp_path: Path):
    given = places(tmp_path)
    broken = bytearray(given["photo"].with_name("whole.png").read_bytes())
    broken[41:60] = b"\xff" * 19
    path = bytes_at(tmp_path / "broken.png", bytes(broken))
    args = [sys.executable, "-m", "onnxcam", "explain", given["graph"], path, "-o", given["out"]]
    done = subprocess.run(args, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert "broken.png' is damaged" in done.stderr
