"""What the commands print, write and return, as a user and a script see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from command_line import Command, bytes_of, colour_graph, photo, saved
from explain_graphs import DARK_IS_NAN, colours
from small_nets import cnn

import onnxcam
from onnxcam import console, diagnosis
from onnxcam.engine import Explainer
from onnxcam.errors import NotRepeatable
from onnxcam.methods import METHODS

EXPLAIN_KEYS = "image output heatmap target_index label score method layer status ms report".split()
LAYER_KEYS = "name tensor shape layout grid prefix default reason".split()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return saved(cnn(), tmp_path / "cnn.onnx")


def any_size(folder: Path) -> Path:
    """The small classifier for pictures of any height and width."""
    return saved(cnn(x="float[N,3,H,W] x"), folder / "any.onnx")


# explain


def test_a_picture_becomes_one_line_and_one_overlay(tmp_path: Path, command: Command):
    ran = command("explain", colour_graph(tmp_path), photo(tmp_path / "a.png"), "-o", tmp_path / "out")
    assert (ran.code, ran.err) == (0, [])
    assert [line.split("  ")[:3] for line in ran.out] == [[str(tmp_path / "out" / "a.cam.png"), "0", "red, scarlet"]]
    assert cv2.imread(str(tmp_path / "out" / "a.cam.png")).shape == (10, 12, 3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.cam.png"]


def test_json_lines_have_exactly_the_keys_that_scripts_rely_on(tmp_path: Path, command: Command):
    path = photo(tmp_path / "a.png")
    ran = command("explain", colour_graph(tmp_path), path, "-o", tmp_path / "out", "--json", "--save-heatmap")
    row = json.loads(ran.out[0])
    assert list(row) == EXPLAIN_KEYS
    said = {name: row[name] for name in ("image", "heatmap", "target_index", "label", "method", "layer", "status")}
    assert said == {
        "image": str(path), "heatmap": str(tmp_path / "out" / "a.npy"), "target_index": 0, "label": "red, scarlet",
        "method": "gradcam", "layer": "layer4", "status": "ok",
    }  # fmt: skip
    assert row["score"] == pytest.approx(200 / 255, rel=1e-5)  # the mean of the red plane
    assert row["ms"] > 0


def test_a_heatmap_that_was_not_asked_for_is_null_and_not_written(tmp_path: Path, command: Command):
    ran = command("explain", colour_graph(tmp_path), photo(tmp_path / "a.png"), "-o", tmp_path / "out", "--json")
    assert json.loads(ran.out[0])["heatmap"] is None
    assert not list(tmp_path.rglob("*.npy"))


@pytest.mark.parametrize("multi_target", [False, True])
def test_several_targets_work_on_every_kind_of_explain_graph(multi_target: bool, tmp_path: Path, command: Command):
    graph = colour_graph(tmp_path, multi_target=multi_target)
    targets = ["--target", "green", "--target", "not:0", "--target", "-3", "--top-k", "2"]
    ran = command(
        "explain", graph, photo(tmp_path / "a.png", (30, 60, 200)), "-o", tmp_path / "out", "--json", *targets
    )
    assert ran.code == 0
    assert [json.loads(line)["target_index"] for line in ran.out] == [1, 3, 2, 0]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"a.{index}.cam.png" for index in range(4)}


def test_a_plain_model_is_converted_on_the_way_and_agrees_with_its_explain_graph(
    tmp_path: Path, net: Path, command: Command
):
    options = ["--preprocess", "unit", "--layer", "r1", "--method", "layercam"]
    path, graph = photo(tmp_path / "a.png"), tmp_path / "a.explain.onnx"
    assert command("convert", net, "-o", graph, *options).code == 0
    for model, out, given in ((net, "x", options), (graph, "y", [])):
        assert command("explain", model, path, "-o", tmp_path / out, "--save-heatmap", *given).err == []
    np.testing.assert_array_equal(np.load(tmp_path / "x" / "a.npy"), np.load(tmp_path / "y" / "a.npy"))


def test_preprocessing_that_nobody_has_said_is_told(tmp_path: Path, net: Path, command: Command):
    ran = command("explain", net, photo(tmp_path / "a.png"), "-o", tmp_path / "out")
    assert ran.code == 0
    assert [line for line in ran.err if 'taking "torchvision" (--preprocess says otherwise)' in line] == ran.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--preprocess", "unit"], ["taking 224 x 224"]),
        ([], ['taking "torchvision"', "taking 224 x 224"]),
        (["--preprocess", '{"preset": "unit", "size": [32, 48]}'], []),
    ],
    ids=["preset", "nothing", "size"],
)
def test_a_model_for_any_size_takes_the_presets_size_and_says_so(
    options: list[str], told: list[str], tmp_path: Path, command: Command
):
    ran = command("explain", any_size(tmp_path), photo(tmp_path / "a.png"), "-o", tmp_path / "out", *options)
    assert (ran.code, len(ran.err)) == (0, len(told))
    assert all(words in line for words, line in zip(told, ran.err, strict=True))


def test_maps_that_say_nothing_are_noted_with_the_reason(tmp_path: Path, command: Command):
    path = photo(tmp_path / "a.png", (0, 0, 90))
    ran = command("explain", colour_graph(tmp_path), path, "-o", tmp_path / "out", "--target", "green", "--json")
    assert (ran.code, json.loads(ran.out[0])["status"]) == (0, "all-zero")
    assert ran.err[0].startswith(f"note: {path}: the map is zero everywhere")
    assert "speaks for green" in ran.err[0]


def test_maps_that_are_not_finite_are_noted_with_the_reason(tmp_path: Path, command: Command):
    graph = saved(colours(ending=DARK_IS_NAN), tmp_path / "nan.onnx")
    ran = command("explain", graph, photo(tmp_path / "a.png", (9, 9, 9)), "-o", tmp_path / "out", "--json")
    assert json.loads(ran.out[0])["status"] == "not-finite"
    assert "values of the map are not finite" in ran.err[0]


def test_a_model_that_takes_one_target_a_run_gets_a_run_each(
    tmp_path: Path, net: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> None:
        raise NotRepeatable("size", "is a size")

    monkeypatch.setattr("onnxcam.question.rerun_on_repeats", refuse)
    ran = command(
        "explain", net, photo(tmp_path / "a.png"), "-o", tmp_path / "out", "--top-k", 3, "--preprocess", "unit"
    )
    assert (ran.code, len(ran.out)) == (0, 3)
    assert ran.err == ["note: this model takes one target a run: each target is a run of its own"]


def test_drawing_options_change_the_picture(tmp_path: Path, command: Command):
    graph, path = colour_graph(tmp_path), photo(tmp_path / "a.png", size=(80, 90))
    seen = set()
    drawing = [[], ["--alpha", 0.2], ["--colormap", "jet"], ["--blend", "add"], ["--box"], ["--legend"]]
    for number, options in enumerate(drawing):
        assert command("explain", graph, path, "-o", tmp_path / str(number), *options).code == 0
        seen.add(bytes_of(tmp_path / str(number) / "a.cam.png"))
    assert len(seen) == len(drawing)


def test_a_picture_read_before_the_interruption_stays_and_the_exit_code_is_130(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    for name in ("a.png", "b.png", "c.png"):
        photo(tmp_path / "in" / name)
    call = Explainer.__call__

    def interrupted(self: Explainer, image: Path, target: object = None, **_: object) -> object:
        if image.name == "b.png":
            raise KeyboardInterrupt
        return call(self, image, target)

    monkeypatch.setattr(Explainer, "__call__", interrupted)
    ran = command("explain", colour_graph(tmp_path), tmp_path / "in", "-o", tmp_path / "out")
    assert (ran.code, len(ran.out)) == (130, 1)
    assert ran.err == ["interrupted: 1 of 3 pictures are explained and kept, 2 are not done"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.cam.png"]


def test_ctrl_c_ends_a_real_process_in_one_line_with_130(tmp_path: Path):
    for number in range(300):
        photo(tmp_path / "in" / f"{number}.png", size=(300, 300))
    args = [sys.executable, "-m", "onnxcam", "explain", colour_graph(tmp_path), tmp_path / "in", "-o", tmp_path / "out"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell's background jobs, and so their children, ignore the signal unless they say otherwise.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(args, preexec_fn=heed, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines() == [said.strip()]
    assert said.startswith("interrupted: ")
    assert all(path.name.endswith(".cam.png") for path in (tmp_path / "out").iterdir())


# convert, layers, methods, doctor, demo


def test_convert_writes_an_explain_graph_and_says_what_it_chose(tmp_path: Path, net: Path, command: Command):
    ran = command("convert", net, "-o", tmp_path / "a.explain.onnx", "--json", "--preprocess", "unit")
    wanted = {"output": str(tmp_path / "a.explain.onnx"), "method": "gradcam", "layer": "r2", "classes": 5}
    assert (ran.code, ran.err, json.loads(ran.out[0])) == (0, [], wanted)
    onnx.checker.check_model(tmp_path / "a.explain.onnx", full_check=True)


def test_convert_notes_that_preprocessing_is_not_stored(tmp_path: Path, net: Path, command: Command):
    ran = command("convert", net, "-o", tmp_path / "a.explain.onnx")
    assert [line for line in ran.err if "--preprocess stores it" in line] == ran.err
    assert len(ran.err) == 1


def test_layers_lists_the_default_first_with_exactly_its_keys(net: Path, command: Command):
    rows = [json.loads(line) for line in command("layers", net, "--json").out]
    assert all(list(row) == LAYER_KEYS for row in rows)
    assert [row["default"] for row in rows] == [True] + [False] * (len(rows) - 1)
    assert {row["name"] for row in rows} == {"c1", "r1", "p1", "c2", "r2"}
    assert rows[0] | {"reason": ""} == {
        "name": "r2", "tensor": "r2", "shape": ["N", 8, 8, 8], "layout": "NCHW",
        "grid": [8, 8], "prefix": 0, "default": True, "reason": "",
    }  # fmt: skip


def test_layers_for_people_marks_the_default(net: Path, command: Command):
    lines = command("layers", net).out
    assert lines[0].startswith("* r2  N×8×8×8 ")
    assert all(line.startswith("  ") for line in lines[1:])


def test_methods_lists_the_table(command: Command):
    rows = [json.loads(line) for line in command("methods", "--json").out]
    assert [row["name"] for row in rows] == [*METHODS, "tta", "sess"]
    assert {row["name"] for row in rows if row["wraps"]} == {"tta", "sess"}
    keys = ["name", "summary", "source", "options", "gradient", "passes", "wraps"]
    assert all(list(row) == keys for row in rows)
    assert [line.split()[0] for line in command("methods").out] == [*METHODS, "tta", "sess"]


def test_what_goes_around_a_method_is_listed_with_its_options(command: Command):
    (line,) = [line for line in command("methods").out if line.startswith("tta ")]
    assert "--wrap tta: " in line
    assert "(flips=True, brightness=(0.9, 1.0, 1.1))" in line


def test_doctor_finds_this_installation_well(command: Command):
    ran = command("doctor", "--json")
    found = {row["name"]: row for row in map(json.loads, ran.out)}
    assert ran.code == 0
    assert all(row["fine"] for row in found.values())
    assert "cpu" in found["providers"]["value"]
    assert found["self-test"]["value"].endswith("ok")


@pytest.mark.parametrize(
    ("packages", "remedy"),
    [((), 'pip install "onnxcam[cpu]"'), (("onnxruntime", "onnxruntime-gpu"), "uninstall all of them")],
    ids=["no runtime", "two runtimes"],
)
def test_doctor_says_what_is_wrong_and_what_to_do(
    packages: tuple[str, ...], remedy: str, command: Command, monkeypatch: pytest.MonkeyPatch
):
    def installed(package: str) -> str | None:
        return "1.0" if package in packages or "runtime" not in package else None

    monkeypatch.setattr(diagnosis, "_installed", installed)
    ran = command("doctor")
    assert ran.code == 1
    assert [line for line in ran.out if line.startswith("BAD") and remedy in line]


def test_doctor_imports_the_packages_whose_models_are_taken(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "shattered.py").write_text("raise RuntimeError('operator shattered::nms does not exist\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    names = (".pt", "json", "shattered", "absent")
    known = {name: EntryPoint(name, "json:loads", "onnxcam.converters") for name in names}
    monkeypatch.setattr(diagnosis, "converters", lambda: known)
    ran = command("doctor")
    assert ran.code == 0
    assert [line[17:] for line in ran.out if line.startswith("ok  from")] == [
        ".pt, json: works",
        "absent: not installed; pip install absent",
        'shattered: not usable (operator shattered::nms does not exist); pip install -U "onnxcam[shattered]"',
    ]


def test_demo_explains_every_digit_of_its_picture(tmp_path: Path, command: Command):
    ran = command("demo", "-o", tmp_path / "out", "--json")
    rows = [json.loads(line) for line in ran.out]
    assert (ran.code, len(rows)) == (0, 4)
    assert all(list(row) == EXPLAIN_KEYS and row["status"] == "ok" and row["ms"] > 0 for row in rows)
    assert {Path(row["output"]) for row in rows} == set((tmp_path / "out").iterdir())


# the command itself


def test_the_version_is_the_packages(command: Command):
    assert command("--version").out == [f"onnxcam {onnxcam.__version__}"]


USAGE = [
    ["explain", "a.onnx"],
    ["convert", "a.onnx"],
    ["convert"],
    ["nonsense"],
    ["explain", "a.onnx", "b.png", "--alpha", "2"],
    ["explain", "a.onnx", "b.png", "--top-k", "-1"],
    ["explain", "a.onnx", "b.png", "--threads", "0"],
    ["explain", "a.onnx", "b.png", "--nonsense"],
]


@pytest.mark.parametrize("args", USAGE, ids=" ".join)
def test_wrong_usage_is_exit_code_2(args: list[str], command: Command):
    ran = command(*args)
    assert (ran.code, ran.out) == (2, [])


@pytest.mark.parametrize("args", [["--help"], ["explain", "-h"], ["convert", "--help"], ["layers", "-h"]], ids=" ".join)
def test_help_is_on_stdout(args: list[str], command: Command):
    ran = command(*args)
    assert (ran.code, ran.err) == (0, [])
    assert any("Usage" in line for line in ran.out)


def test_help_brings_in_nothing_heavy():
    script = (
        "import sys\nfrom onnxcam.cli import main\nsys.argv = ['onnxcam', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'cv2', 'onnx', 'onnxruntime'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_explaining_with_an_explain_graph_does_without_onnx(tmp_path: Path):
    script = "import sys, atexit\natexit.register(lambda: print('onnx' in sys.modules, file=sys.stderr))\n"
    args = ["onnxcam", "explain", str(colour_graph(tmp_path)), str(photo(tmp_path / "a.png")), "-o", str(tmp_path)]
    run = f"sys.argv = {args!r}\nfrom onnxcam.cli import main\nmain()\n"
    done = subprocess.run([sys.executable, "-c", script + run], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"


# the console


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]):
    results = list(range(50))
    assert console.progress(results, 50) is results


def test_a_bar_on_a_terminal_leaves_the_results_as_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(console.progress(iter(range(50)), 50)) == list(range(50))


def test_what_c_libraries_print_is_silenced_and_what_we_print_is_not(capfd: pytest.CaptureFixture[str]):
    with console.without_native_noise():
        os.write(2, b"libpng error\n")
        console.note("ours")
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "note: ours\nlater\n"


def test_a_message_of_several_lines_is_printed_as_one(capsys: pytest.CaptureFixture[str]):
    console.note("a\nb")
    assert capsys.readouterr().err == "note: a b\n"
