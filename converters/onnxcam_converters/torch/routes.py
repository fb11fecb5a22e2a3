"""The ways from a module to ONNX: PyTorch's two exporters, with what every module in it gives."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnx_ir as ir
import torch

from onnxcam_converters.torch.attention import PlainAttention
from onnxcam_converters.torch.evaluation import evaluating
from onnxcam_converters.torch.outputs import named_tensors
from onnxcam_converters.torch.paths import exposed
from onnxcam_converters.torch.scopes import ends_of_scopes

OPSET = 18
SIZE_AXES = {2: "height", 3: "width"}
# What tracing raises, besides the exporters' own: whatever the code of the module may run into.
FAILURES = (
    torch.onnx.OnnxExporterError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
ANSI = re.compile(r"\x1b\[\d+m")
SUMMARY = "## Exception summary"
ASIDES = re.compile(r" (?:Please feel free|\[Caused by|If you meant for|For more information).*")
FOLDERS = re.compile(r"(?<![:/\w])/(?:[\w.+-]+/)+")
LONGEST = 300  # characters of a reason
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
Arguments = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Route:
    """One way of exporting.

    Attributes:
        name: as users read it.
        is_dynamo: by the exporter that captures a program; else by the one that records operators in TorchScript.
        opset: of the result.
        batch: how many images it is traced with; None: as many as the example has.
        has_free_batch: the first axis stays free; else it is `batch`.
        has_free_size: height and width stay free.
    """

    name: str
    is_dynamo: bool = True
    opset: int = OPSET
    batch: int | None = 2  # 1 would be taken for a constant
    has_free_batch: bool = True
    has_free_size: bool = False


DYNAMO = Route("torch.onnx, dynamo")
DYNAMO_ANY_SIZE = replace(DYNAMO, name="torch.onnx, dynamo, height and width free", has_free_size=True)
SCRIPT = Route("torch.onnx, TorchScript", is_dynamo=False)
SCRIPT_17 = replace(SCRIPT, name="torch.onnx, TorchScript, opset 17", opset=17)
SCRIPT_ANY_SIZE = replace(SCRIPT, name="torch.onnx, TorchScript, height and width free", has_free_size=True)
ONE_BY_ONE = replace(DYNAMO, name="torch.onnx, dynamo, batch of 1", batch=1, has_free_batch=False)
AS_EXPORTED = replace(DYNAMO, name="torch.onnx, dynamo, batch as exported", batch=None, has_free_batch=False)
# In the order in which they are tried; those with free sizes only if that is asked for.
ROUTES = (DYNAMO_ANY_SIZE, SCRIPT_ANY_SIZE, DYNAMO, ONE_BY_ONE, SCRIPT, SCRIPT_17)
SCRIPT_ROUTES = (SCRIPT_ANY_SIZE, SCRIPT, SCRIPT_17)
PROGRAM_ROUTES = (DYNAMO, AS_EXPORTED)


@dataclass(frozen=True)
class Exported:
    """What an exporter has made of a module.

    Attributes:
        model: with the module's own outputs only.
        names: of these outputs.
        given: what the modules inside give, by their paths.
    """

    model: ir.Model
    names: list[str]
    given: dict[str, ir.Value]


def export(module: torch.nn.Module, arguments: Arguments, route: Route, *, names: Sequence[str]) -> Exported:
    """The module as ONNX by that route, its inputs under these names.

    Raises:
        FAILURES: whatever its code or the exporter runs into.
    """
    arguments = tuple(of_batch(x, route.batch) for x in arguments)
    with evaluating(module), silence(), PlainAttention():
        if isinstance(module, torch.jit.ScriptModule):
            return _export_script(module, arguments, route, names=names)
        return _export(module, arguments, route, names=names)


def _export(module: torch.nn.Module, arguments: Arguments, route: Route, *, names: Sequence[str]) -> Exported:
    by = _by_dynamo if route.is_dynamo else _by_torchscript
    with exposed(module) as exposure:
        model = by(module, arguments, route, names=names)
    own, outputs = exposure.names, model.graph.outputs
    found = list(outputs[len(own) :])
    outputs[len(own) :] = []
    return Exported(model, own, dict(zip(exposure.paths, found, strict=True)))


def _export_script(module: torch.nn.Module, arguments: Arguments, route: Route, *, names: Sequence[str]) -> Exported:
    """The modules inside a TorchScript program take no hooks; but its nodes say in which of them they are."""
    model = _by_torchscript(module, arguments, route, names=names)
    paths = [path for path, _ in module.named_modules() if path]
    return Exported(model, list(named_tensors(module(*arguments))), ends_of_scopes(model.graph, paths))


def of_batch(x: torch.Tensor, count: int | None) -> torch.Tensor:
    """The rows of the example, repeated or cut to that many; a number stays a number."""
    if count is None or not x.ndim or not len(x):
        return x
    return x.repeat(-(-count // len(x)), *[1] * (x.ndim - 1))[:count]


def free_axes(x: torch.Tensor, route: Route) -> dict[int, str]:
    """The axes of an argument that stay free, and what they are called; pictures have four."""
    batch = {0: "batch"} if x.ndim and route.has_free_batch else {}
    return {**batch, **SIZE_AXES} if x.ndim == 4 and route.has_free_size else batch


def input_names(module: torch.nn.Module, count: int) -> list[str]:
    """The names of the first arguments of `forward`."""
    names = positional(module)[:count]
    return names if len(names) == count else ["input", *(f"input_{n}" for n in range(1, count))]


def positional(module: torch.nn.Module) -> list[str]:
    """The arguments of `forward` that have a name and a place; none where they cannot be read, as of a program."""
    if isinstance(module, torch.jit.ScriptModule):
        return []
    parameters = inspect.signature(module.forward).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind in POSITIONAL]


def reason(error: BaseException) -> str:
    """Why it failed, in one short line without paths of this machine: the innermost of what the exporter tells."""
    text = ANSI.sub("", str(error)).strip()
    told = text.partition(SUMMARY)[2] or text
    line = next((line.strip() for line in told.splitlines() if line.strip()), type(error).__name__)
    line = re.sub(r"^<class '(?:[\w.]*\.)?(\w+)'>: ", r"\1: ", FOLDERS.sub("", ASIDES.sub("", line)))
    return line.rstrip(".") if len(line) <= LONGEST else f"{line[:LONGEST]} …"


def _by_dynamo(module: torch.nn.Module, arguments: Arguments, route: Route, *, names: Sequence[str]) -> ir.Model:
    axes = [free_axes(x, route) for x in arguments]
    sizes = {name: torch.export.Dim(name, min=1) for free in axes for name in free.values()}
    shapes: list[Any] = [{axis: sizes[name] for axis, name in free.items()} for free in axes]
    named = len(positional(module))
    program = torch.onnx.export(
        module,
        arguments,
        dynamo=True,
        opset_version=route.opset,
        # What `*args` takes counts as one argument.
        dynamic_shapes=(*shapes[:named], *([tuple(shapes[named:])] if shapes[named:] else [])),
        input_names=names,
        verbose=False,
        optimize=False,
    )
    assert program is not None  # noqa: S101 - a program comes back unless a file is asked for
    return program.model


def _by_torchscript(module: torch.nn.Module, arguments: Arguments, route: Route, *, names: Sequence[str]) -> ir.Model:
    axes = {name: free for name, x in zip(names, arguments, strict=True) if (free := free_axes(x, route))}
    with tempfile.TemporaryDirectory(prefix="onnxcam-") as folder:
        path = Path(folder) / "traced.onnx"
        torch.onnx.export(
            module,
            arguments,
            path,
            dynamo=False,
            opset_version=route.opset,
            input_names=names,
            dynamic_axes=axes,
            # In evaluation mode as it is; told so, the exporter folds batch normalisation away.
            training=torch.onnx.TrainingMode.PRESERVE,
        )
        model = ir.load(path)
        ir.external_data.load_to_model(model)
    return model


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """No warnings and no progress reports of the exporters; no shortcuts for attention that they cannot follow."""
    has_fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # TorchScript's exporter prints the graph that it fails on past sys.stdout, whatever `verbose` says.
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            patch.object(torch._C, "_jit_onnx_log", lambda *_: None, create=True),  # noqa: SLF001
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(has_fast_path)
