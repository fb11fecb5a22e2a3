"""PyTorch modules to ONNX: by the first of several ways that gives the module's own numbers."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto

from onnxcam.conversion import Arrays, Conversion, Reference
from onnxcam.errors import CannotConvert, OnnxCamError
from onnxcam.facts import note
from onnxcam.graph import load
from onnxcam_converters.torch.cleaning import clean
from onnxcam_converters.torch.evaluation import Run, device_of, runner, unwrapped
from onnxcam_converters.torch.paths import spread
from onnxcam_converters.torch.routes import FAILURES, ROUTES, SCRIPT_ROUTES, Route, export, input_names, reason
from onnxcam_converters.torch.trial import compare, samples

BATCHES = (1, 3)  # images in the trials
GROWTH = 64  # pixels by which the trial of a free size differs from the example: a multiple of common strides
PICTURE_AXES = 4


def export_module(
    module: torch.nn.Module, arguments: tuple[torch.Tensor, ...], *, dynamic_size: bool = False
) -> Conversion:
    """The module as an ONNX model, the tensor of every module path noted in it.

    Args:
        module: in any mode; exported in evaluation mode, and left as it was.
        arguments: of `forward`; the first dimension of each counts the images and stays free.
        dynamic_size: height and width stay free too, if the module can do that.

    Raises:
        CannotConvert: if the module fails on the arguments, or no way of exporting it gives its numbers.
    """
    module = unwrapped(module)
    ways = SCRIPT_ROUTES if isinstance(module, torch.jit.ScriptModule) else ROUTES
    routes = [route for route in ways if dynamic_size or not route.has_free_size]
    name = getattr(module, "original_name", type(module).__name__)
    return export_by(routes, module, arguments, names=input_names(module, len(arguments)), name=name)


def export_by(
    routes: Sequence[Route],
    module: torch.nn.Module,
    arguments: tuple[torch.Tensor, ...],
    *,
    names: Sequence[str],
    name: str,
) -> Conversion:
    """The module as ONNX by the first of the routes that gives its numbers.

    Args:
        routes: to be tried in this order.
        module: as for `export_module`.
        arguments: as for `export_module`.
        names: of the inputs.
        name: of the module, for errors.

    Raises:
        CannotConvert: if the module fails on the arguments, or every route.
    """
    arguments = tuple(argument.detach().to(device_of(module)) for argument in arguments)
    example, run = [argument.cpu().numpy() for argument in arguments], runner(module)
    try:
        run(example)
    except FAILURES as error:
        raise CannotConvert(name, f"it fails on the example: {reason(error)}") from error
    errors: dict[str, Exception] = {}
    for route in routes:
        try:
            model = _take(route, module, arguments, names=names)
            _try(model, run, example, route=route)
        except (*FAILURES, OnnxCamError) as error:
            errors[route.name] = error
            continue
        attempts = tuple(f"{failed}: {reason(error)}" for failed, error in errors.items())
        shown = example if route.has_free_batch or not route.batch else samples(example, route.batch)
        return Conversion(model, route.name, attempts, Reference(f"torch {torch.__version__}", run, shown))
    raise CannotConvert(name, _summary(errors), log=_log(name, errors))


def _take(
    route: Route, module: torch.nn.Module, arguments: tuple[torch.Tensor, ...], *, names: Sequence[str]
) -> ModelProto:
    exported = export(module, arguments, route, names=names)
    model, tensors = clean(exported.model, exported.names, exported.given)
    layers, vanished = spread(module, tensors)
    note(model, layers=layers, vanished=vanished)
    return model


def _try(model: ModelProto, run: Run, example: Arrays, *, route: Route) -> None:
    counts = BATCHES if route.batch else (len(example[0]),)
    trials = [samples(example, count) for count in counts]
    if not route.has_free_batch:
        opened = load(model)
        model, trials = opened.proto, trials[:1] if opened.batch_reason else trials
    if route.has_free_size:
        trials.append([_grown(array) for array in samples(example, 1)])
    if not route.is_dynamo:  # it records one way through the code; other inputs may go another
        trials.append([-array if array.dtype.kind == "f" else array for array in samples(example, 1)])
    compare(model, run, trials)


def _grown(array: NDArray[Any]) -> NDArray[Any]:
    """Pictures mirrored at their lower and right edges: other heights and widths, no longer equal."""
    if array.ndim != PICTURE_AXES:
        return array
    return np.pad(array, [(0, 0), (0, 0), (0, GROWTH), (0, 2 * GROWTH)], mode="symmetric")


def _summary(errors: Mapping[str, Exception]) -> str:
    """Every different reason once, with the first way that failed by it."""
    reasons: dict[str, str] = {}
    for name, error in errors.items():
        reasons.setdefault(reason(error), name)
    return "; ".join(f"{name}: {why}" for why, name in reasons.items())


def _log(name: str, errors: Mapping[str, Exception]) -> Path:
    """The file that holds everything that is known of the failures."""
    with tempfile.NamedTemporaryFile("w", prefix=f"onnxcam-{name}-", suffix=".log", delete=False) as file:
        for route, error in errors.items():
            file.write(f"{route}\n{''.join(traceback.format_exception(error))}\n\n")
    return Path(file.name)
