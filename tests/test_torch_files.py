"""PyTorch models in files: known by their content, and refused where reading them would run their author's code."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnxcam_converters.torch.loading import convert_file
from onnxcam_converters.torch.vetting import is_arithmetic, kind_of
from torch_nets import Evil, check_numbers, tiny
from torch_support import torch

from onnxcam.conversion import Request, convert_source
from onnxcam.errors import CannotConvert, InvalidSource, UnsafeSource

X = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)


def scripted(module: torch.nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(module, X), str(path))


def exported(path: Path) -> None:
    torch.export.save(torch.export.export(tiny(), (X,)), path)


KINDS: list[tuple[str, Callable[[Path], Any]]] = [
    ("program", exported),
    ("script", lambda path: scripted(tiny(), path)),
    ("pickle", lambda path: torch.save(tiny().state_dict(), path)),
    ("pickle", lambda path: torch.save(tiny().state_dict(), path, _use_new_zipfile_serialization=False)),
]


@pytest.mark.parametrize(("kind", "write"), KINDS)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2"])
def test_a_file_is_known_by_its_content_not_by_its_suffix(
    kind: str, write: Callable[[Path], Any], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"model{suffix}"
    write(tmp_path / "model.pt2")
    (tmp_path / "model.pt2").rename(path)
    assert kind_of(path) == kind


def test_an_exported_program_is_converted_from_a_file_and_live(tmp_path: Path) -> None:
    program = torch.export.export(tiny(), (X,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, tmp_path / "net.pt2")
    check_numbers(convert_source(Request(source=str(tmp_path / "net.pt2"))), tiny(), X)
    check_numbers(convert_source(Request(source=program)), tiny(), X)


def test_a_torchscript_program_is_converted_in_the_size_that_is_said(tmp_path: Path) -> None:
    scripted(tiny(), tmp_path / "net.pt")
    check_numbers(convert_source(Request(source=str(tmp_path / "net.pt"), input_size=(8, 8))), tiny(), X)


def test_a_torchscript_program_says_no_size_and_asks_for_it(tmp_path: Path) -> None:
    scripted(tiny(), tmp_path / "net.pt")
    with pytest.raises(CannotConvert, match=r"net\.pt .*--input-size"):
        convert_source(Request(source=str(tmp_path / "net.pt")))


def test_an_exported_program_with_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    exported(tmp_path / "net.pt2")
    torch.save({"x": Evil(tmp_path / "was-run")}, tmp_path / "evil.pt")
    with zipfile.ZipFile(tmp_path / "net.pt2") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "net.pt2", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, (tmp_path / "evil.pt").read_bytes() if "sample_inputs" in name else data)
    with pytest.raises(UnsafeSource, match="nothing was run"):
        convert_source(Request(source=str(tmp_path / "net.pt2")))
    assert not (tmp_path / "was-run").exists()


def test_weights_alone_are_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.save(tiny().state_dict(), tmp_path / "net.pth")
    words = r"it holds 9 weights \(0\.weight, 0\.bias, …\) without the model .*timm:NAME --weights net\.pth"
    with pytest.raises(InvalidSource, match=words):
        convert_source(Request(source=str(tmp_path / "net.pth")))


def test_a_program_with_weights_of_its_own_takes_no_others(tmp_path: Path) -> None:
    exported(tmp_path / "net.pt2")
    with pytest.raises(CannotConvert, match="it has weights of its own"):
        convert_source(Request(source=tmp_path / "net.pt2", weights=tmp_path / "w.pth"))


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(tiny(), tmp_path / "net.pt")
    with pytest.raises(UnsafeSource, match=r"torch\.nn\.modules\.container\.Sequential.*pass the module"):
        convert_source(Request(source=tmp_path / "net.pt"))


def rewritten(path: Path, change: Callable[[str], str]) -> None:
    """The exported program in the file with its text changed."""
    exported(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            is_text = name.endswith("models/model.json")
            archive.writestr(name, change(data.decode()) if is_text else data)


PROGRAMS = [
    # what,                  how the text is changed
    ("a guard", lambda text: with_entry(text, "guards_code", ["__import__('os').mkdir('was-run')"])),
    ("a size", lambda text: with_entry(text, "range_constraints", {"().__class__.__base__": {"min_val": 0}})),
    ("a function", lambda text: text.replace("torch.ops.aten.relu.default", "torch.serialization.os.mkdir")),
    ("an attribute", lambda text: text.replace("torch.ops.aten.relu.default", "_operator.methodcaller")),
    ("reading files", lambda text: text.replace("torch.ops.aten.relu.default", "torch.ops.aten.from_file.default")),
]


def with_entry(text: str, key: str, value: Any) -> str:
    return json.dumps(json.loads(text) | {key: value})


@pytest.mark.parametrize("change", [row[1] for row in PROGRAMS], ids=[row[0] for row in PROGRAMS])
def test_an_exported_program_that_would_run_code_is_refused(
    change: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rewritten(tmp_path / "net.pt2", change)
    with pytest.raises(UnsafeSource, match=r"an exported program with ['\"]"):
        convert_file(tmp_path / "net.pt2", Request(source=tmp_path / "net.pt2"))
    assert not (tmp_path / "was-run").exists()


def test_exported_programs_as_pytorch_writes_them_are_let_through(tmp_path: Path) -> None:
    sizes = ({0: torch.export.Dim("n"), 2: torch.export.Dim("h", min=8, max=64), 3: torch.export.Dim.AUTO},)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    torch.export.save(torch.export.export(module, (X,), dynamic_shapes=sizes), tmp_path / "free.pt2")
    check_numbers(convert_source(Request(source=tmp_path / "free.pt2")), module, X)


TEXTS = [
    # text,                                                         is arithmetic
    ("Max(Integer(1), FloorDiv(Add(Symbol('s16', positive=True), Integer(-3)), Integer(2)))", True),
    ("(1 + (((-3) + L['input'].size()[3]) // 2)) != 1", True),
    ("s0*s1 >= 2 and s0 < 512", True),
    ("__import__('os').system('true')", False),
    ("Symbol('s0').__class__", False),
    ("L['x'].__init__.__globals__", False),
    ("sympify('print(1)')", False),
    ("eval('1')", False),
    ("[x for x in ().__class__.__bases__]", False),
    ("(lambda: 1)()", False),
    ("open('f')", False),
    ("f'{1}'", False),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_only_arithmetic_on_sizes_is_let_through(text: str, expected: bool) -> None:
    assert is_arithmetic(text) is expected


class Saving(torch.nn.Module):
    """Reads a file whenever it is run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("secrets", False, 4).sum()


def test_a_torchscript_program_that_reads_files_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(Saving()), str(tmp_path / "net.pt"))
    with pytest.raises(UnsafeSource, match=r"a TorchScript program that calls torch\.from_file"):
        convert_source(Request(source=tmp_path / "net.pt"))
