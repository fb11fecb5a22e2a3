"""PyTorch models without their Python: exported programs and TorchScript, to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.unflatten import UnflattenedModule

from onnxcam.conversion import Conversion
from onnxcam.errors import CannotConvert, InvalidSource
from onnxcam_converters.torch.exporting import export_by, export_module
from onnxcam_converters.torch.routes import FAILURES, PROGRAM_ROUTES, reason, silence


def export_program(source: ExportedProgram | str | Path) -> Conversion:
    """An exported program as ONNX, under the module paths of the module that it was exported from.

    The batch stays free if the program leaves it free. Where it comes from a file, make sure first that reading it runs
    no code (`onnxcam_converters.torch.vetting`).

    Raises:
        InvalidSource: if the file holds no exported program that this PyTorch can read.
        CannotConvert: if it holds no example of its inputs, takes other things than tensors, or cannot be exported.
    """
    program = source if isinstance(source, ExportedProgram) else read_program(Path(source))
    name = "the exported program" if isinstance(source, ExportedProgram) else str(source)
    if program.example_inputs is None:
        raise CannotConvert(name, "it holds no example of its inputs; export it again, with torch.export.export")
    positional, named = program.example_inputs
    arguments = (*positional, *named.values())
    if not all(isinstance(argument, torch.Tensor) for argument in arguments):
        raise CannotConvert(name, "it takes other things than tensors; export it again with a forward of tensors only")
    try:
        with silence():
            module = torch.export.unflatten(program)
    except FAILURES as error:
        raise CannotConvert(name, f"its modules cannot be told apart: {reason(error)}") from error
    _take_by_place(module, len(positional), list(named))
    names = [str(entry) for entry in program.graph_signature.user_inputs]
    return export_by(PROGRAM_ROUTES, module, arguments, names=names, name=name)


def read_program(path: Path) -> ExportedProgram:
    """The program in a .pt2 file.

    Raises:
        InvalidSource: if there is none that this PyTorch can read.
    """
    try:
        with silence():
            return torch.export.load(path)
    except (*FAILURES, OSError) as error:
        why = f"PyTorch {torch.__version__} cannot read it as an exported program: {reason(error)}"
        raise InvalidSource(str(path), why) from error


def export_script(
    source: torch.jit.ScriptModule | str | Path, arguments: tuple[torch.Tensor, ...], *, dynamic_size: bool = False
) -> Conversion:
    """A TorchScript program as ONNX, under the module paths that it keeps.

    Raises:
        InvalidSource: if the file holds no TorchScript program.
        CannotConvert: as `export_module`.
    """
    module = source if isinstance(source, torch.jit.ScriptModule) else read_script(Path(source))
    return export_module(module, arguments, dynamic_size=dynamic_size)


def read_script(path: Path) -> torch.jit.ScriptModule:
    """The program in a TorchScript file, on the CPU.

    Raises:
        InvalidSource: if there is none.
    """
    try:
        module: torch.jit.ScriptModule = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except (*FAILURES, OSError) as error:
        raise InvalidSource(str(path), f"it cannot be read as TorchScript: {reason(error)}") from error
    return module


def _take_by_place(module: UnflattenedModule, count: int, names: list[str]) -> None:
    """Lets the module take by place what it was exported to take by name."""

    def by_name(_module: Any, given: tuple[Any, ...], _named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return given[:count], dict(zip(names, given[count:], strict=True))

    if names:
        module.register_forward_pre_hook(by_name, with_kwargs=True)
