"""PyTorch modules to ONNX: by the first of several ways that gives the module's own numbers."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto

from onnxcam.conversion import Arrays, Conversion, Reference
from onnxcam.errors import CannotConvert, OnnxCamError
from onnxcam.facts import note
from onnxcam.graph import load
from onnxcam_converters.torch.cleaning import clean
from onnxcam_converters.torch.evaluation import Run, device_of, evaluating, runner, unwrapped
from onnxcam_converters.torch.paths import spread
from onnxcam_converters.torch.routes import FAILURES, FREE_SIZE_ROUTES, ROUTES, Route, export, reason
from onnxcam_converters.torch.trial import compare, samples

BATCHES = (1, 3)  # images in the trials
GROWTH = 64  # pixels by which the trial of a free size differs from the example: a multiple of common strides


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
    arguments = tuple(argument.detach().to(device_of(module)) for argument in arguments)
    example, run = [argument.cpu().numpy() for argument in arguments], runner(module)
    try:
        run(example)
    except FAILURES as error:
        raise CannotConvert(_name(module), f"it fails on the example: {reason(error)}") from error
    errors: dict[str, Exception] = {}
    for route in (*(FREE_SIZE_ROUTES if dynamic_size else ()), *ROUTES):
        try:
            model = _take(route, module, arguments)
            _try(model, run, example, route=route)
        except (*FAILURES, OnnxCamError) as error:
            errors[route.name] = error
            continue
        attempts = tuple(f"{name}: {reason(error)}" for name, error in errors.items())
        return Conversion(model, route.name, attempts, Reference(f"torch {torch.__version__}", run, example))
    raise CannotConvert(_name(module), _summary(errors), log=_log(_name(module), errors))


def _take(route: Route, module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> ModelProto:
    with evaluating(module):
        exported, exposure = export(module, arguments, route)
    model, tensors = clean(exported, exposure.names, exposure.paths)
    layers, vanished = spread(module, tensors)
    note(model, layers=layers, vanished=vanished)
    return model


def _try(model: ModelProto, run: Run, example: Arrays, *, route: Route) -> None:
    trials = [samples(example, count) for count in BATCHES]
    if not route.has_free_batch:
        opened = load(model)
        model, trials = opened.proto, trials[:1] if opened.batch_reason else trials
    if route.has_free_size:
        trials.append(samples([_grown(array) for array in example], 1))
    compare(model, run, trials)


def _grown(array: np.ndarray) -> np.ndarray:
    """The example with other heights and widths, both larger and no longer equal."""
    return np.resize(array, (*array.shape[:2], array.shape[2] + GROWTH, array.shape[3] + 2 * GROWTH))


def _name(module: torch.nn.Module) -> str:
    return type(module).__name__


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
