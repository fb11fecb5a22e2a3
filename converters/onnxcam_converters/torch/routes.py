"""The ways from a module to ONNX: PyTorch's two exporters, with every module's output exposed."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
import torch

from onnxcam_converters.torch.attention import PlainAttention
from onnxcam_converters.torch.paths import Exposure, exposed

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


@dataclass(frozen=True)
class Route:
    """One way of exporting.

    Attributes:
        name: as users read it.
        is_dynamo: by the exporter that captures a program; else by the one that records operators in TorchScript.
        opset: of the result.
        has_free_batch: the first axis stays free; else it is 1.
        has_free_size: height and width stay free.
    """

    name: str
    is_dynamo: bool = True
    opset: int = OPSET
    has_free_batch: bool = True
    has_free_size: bool = False


ROUTES = (
    Route("torch.onnx, dynamo"),
    Route("torch.onnx, dynamo, batch of 1", has_free_batch=False),
    Route("torch.onnx, TorchScript", is_dynamo=False),
    Route("torch.onnx, TorchScript, opset 17", is_dynamo=False, opset=17),
)
FREE_SIZE_ROUTES = (
    Route("torch.onnx, dynamo, height and width free", has_free_size=True),
    Route("torch.onnx, TorchScript, height and width free", is_dynamo=False, has_free_size=True),
)


def export(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...], route: Route) -> tuple[ir.Model, Exposure]:
    """The module as ONNX by that route, outputs of its parts included; `module` is in evaluation mode.

    Raises:
        FAILURES: whatever its code or the exporter runs into.
    """
    count = 2 if route.has_free_batch else 1
    arguments = tuple(of_batch(x, count) for x in arguments)
    axes = [free_axes(x, route) for x in arguments]
    with exposed(module) as exposure, _silence(), PlainAttention(), torch.no_grad():
        model = (_by_dynamo if route.is_dynamo else _by_torchscript)(module, arguments, route, axes)
    expected = len(exposure.names) + len(exposure.paths)
    if len(model.graph.outputs) != expected:
        raise ValueError(f"the exporter gives {len(model.graph.outputs)} outputs instead of {expected}")
    return model, exposure


def of_batch(x: torch.Tensor, count: int) -> torch.Tensor:
    """The rows of the example, repeated or cut to that many; a number stays a number."""
    if not x.ndim or not len(x):
        return x
    return x.repeat(-(-count // len(x)), *[1] * (x.ndim - 1))[:count]


def free_axes(x: torch.Tensor, route: Route) -> dict[int, str]:
    """The axes of an argument that stay free, and what they are called."""
    batch = {0: "batch"} if x.ndim and route.has_free_batch else {}
    return {**batch, **SIZE_AXES} if x.ndim == len(batch | SIZE_AXES) + 1 and route.has_free_size else batch


def input_names(module: torch.nn.Module, count: int) -> list[str]:
    """The names of the first arguments of `forward`."""
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in kinds][:count]
    return names if len(names) == count else ["input", *(f"input_{n}" for n in range(1, count))]


def reason(error: BaseException) -> str:
    """Why it failed, in one line: the innermost of what the exporter tells."""
    text = ANSI.sub("", str(error)).strip()
    told = text.partition(SUMMARY)[2] or text
    line = next((line.strip() for line in told.splitlines() if line.strip()), type(error).__name__)
    return re.sub(r"^<class '(?:[\w.]*\.)?(\w+)'>: ", r"\1: ", line).rstrip(".")


def _by_dynamo(
    module: torch.nn.Module, arguments: tuple[torch.Tensor, ...], route: Route, axes: list[dict[int, str]]
) -> ir.Model:
    sizes = {name: torch.export.Dim(name, min=1) for free in axes for name in free.values()}
    program = torch.onnx.export(
        module,
        arguments,
        dynamo=True,
        opset_version=route.opset,
        dynamic_shapes=tuple({axis: sizes[name] for axis, name in free.items()} for free in axes),
        input_names=input_names(module, len(arguments)),
        verbose=False,
        optimize=False,
    )
    assert program is not None  # noqa: S101 - a program comes back unless a file is asked for
    return program.model


def _by_torchscript(
    module: torch.nn.Module, arguments: tuple[torch.Tensor, ...], route: Route, axes: list[dict[int, str]]
) -> ir.Model:
    names = input_names(module, len(arguments))
    with tempfile.TemporaryDirectory(prefix="onnxcam-") as folder:
        path = Path(folder) / "traced.onnx"
        torch.onnx.export(
            module,
            arguments,
            path,
            dynamo=False,
            opset_version=route.opset,
            input_names=names,
            dynamic_axes={name: free for name, free in zip(names, axes, strict=True) if free},
        )
        model = ir.load(path)
        ir.external_data.load_to_model(model)
    return model


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """No warnings and no progress reports of the exporters; no shortcuts for attention that they cannot follow."""
    has_fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(has_fast_path)
