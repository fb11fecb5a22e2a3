"""Whatever holds a PyTorch model, brought to the exporter: live modules, names of factories, files."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path

import torch
from torch.export import ExportedProgram

from onnxcam.conversion import Conversion, Request
from onnxcam.errors import CannotConvert, InvalidSource, UnsafeSource, WrongInputSize
from onnxcam.facts import author_facts, note
from onnxcam_converters.torch.evaluation import runner
from onnxcam_converters.torch.exporting import export_module
from onnxcam_converters.torch.factories import Built
from onnxcam_converters.torch.facts import Owner, in_channels, owner_of, tried
from onnxcam_converters.torch.programs import export_program, read_script
from onnxcam_converters.torch.routes import FAILURES, reason
from onnxcam_converters.torch.vetting import WAY_OUT, kind_of, vet_program, vet_script, weights_only
from onnxcam_converters.torch.weights import load_weights, read_state

NO_EXAMPLE = (
    "its input is not known: give an example (onnxcam.convert(module, example=batch)), or the size of the pictures "
    "(input_size, --input-size HEIGHT,WIDTH)"
)
PICTURE_AXES = 4


def live(request: Request) -> Built:
    """The user's own module, or a copy of it with the weights that were given beside it.

    Raises:
        CannotConvert: if pretrained weights are asked for.
        MissingWeights, InvalidSource, UnsafeSource, StateMismatch: for weights that are not there or do not fit.
    """
    module, name = request.source, type(request.source).__name__
    if request.pretrained:
        raise CannotConvert(name, "--pretrained is for names of libraries, as timm:resnet18; give weights in a file")
    if request.weights is None:
        return Built(module, owner_of(module))
    state, notes = read_state(Path(request.weights))
    module = copy.deepcopy(module)
    notes += load_weights(module, Path(request.weights), state, name)
    return Built(module, owner_of(module), tuple(notes))


def convert_built(built: Built, request: Request, name: str) -> Conversion:
    """The module as ONNX, with what its library knows of it noted.

    Raises:
        CannotConvert: if no example is given and no size is known, or it cannot be exported.
        WrongInputSize: if it does not take pictures of the size that was asked for.
    """
    arguments = arguments_for(built, request, name)
    picture = next((x for x in arguments if x.ndim == PICTURE_AXES), None)
    size = None if picture is None else (int(picture.shape[2]), int(picture.shape[3]))
    if size is not None:
        _check_size(built, arguments, size, request=request, name=name)
    made = export_module(built.module, arguments, dynamic_size=request.dynamic_size)
    spec, notes = tried(built.owner, size) if size else (None, [])
    told = [*author_facts(made.model).get("notes", []), *built.notes, *notes]
    note(made.model, labels=list(built.owner.labels), preprocessing=spec, notes=told)
    return made


def arguments_for(built: Built, request: Request, name: str) -> tuple[torch.Tensor, ...]:
    """The arguments of `forward` to trace with: the example, else random numbers in the size that is known.

    Raises:
        CannotConvert: if there is neither.
    """
    floats = next((x.dtype for x in built.module.parameters() if x.is_floating_point()), torch.float32)
    if request.example is not None:
        given = request.example if isinstance(request.example, tuple | list) else (request.example,)
        tensors = [torch.as_tensor(argument) for argument in given]
        # NumPy's floats have 64 bits by default, modules' 32.
        return tuple(x.to(floats) if x.is_floating_point() else x for x in tensors)
    shape = shape_for(built.module, built.owner, request)
    if shape is None:
        raise CannotConvert(name, NO_EXAMPLE)
    return (torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)).to(floats),)


def shape_for(module: torch.nn.Module, owner: Owner, request: Request) -> tuple[int, int, int] | None:
    """(channels, height, width) of a picture: the size that was asked for, else the one that the library knows."""
    if request.input_size is None:
        return owner.shape
    channels = owner.shape[0] if owner.shape else channels_of(module)
    return (channels, *request.input_size)


def channels_of(module: torch.nn.Module) -> int:
    """How many channels a picture has: what the first convolution takes, 3 where there is none."""
    first = next((weight for weight in module.parameters() if weight.ndim == PICTURE_AXES), None)
    return in_channels(module, None) or (3 if first is None else int(first.shape[1]))


def convert_file(path: Path, request: Request) -> Conversion:
    """The model in a file: an exported program or a TorchScript program; weights alone are refused.

    Raises:
        MissingWeights: if there is no such file.
        InvalidSource: if it is no file of PyTorch, is damaged, or holds weights only; says how those are used.
        UnsafeSource: if reading it would run code of its author.
        CannotConvert: if it cannot be exported.
    """
    kind = kind_of(path)
    if kind in ("program", "script") and (request.weights or request.pretrained):
        raise CannotConvert(str(path), "it has weights of its own; convert it without --weights and --pretrained")
    if kind == "program":
        vet_program(path)
        return convert_program(path)
    if kind == "script":
        vet_script(path)
        return _convert_script(path, request)
    raise _weights_alone(path)


def convert_program(source: ExportedProgram | Path) -> Conversion:
    """An exported program, live or from a file that has been vetted, as ONNX; pictures have the size of its example.

    Raises:
        UnsafeSource: if it holds pickles of more than weights.
        InvalidSource, CannotConvert: if it cannot be read or exported.
    """
    try:
        with weights_only(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, of its own ways
            return export_program(source)
    except pickle.UnpicklingError as error:
        raise UnsafeSource(str(source), "a pickle of more than weights", WAY_OUT) from error


def _convert_script(path: Path, request: Request) -> Conversion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript itself is deprecated; files of it will be around for long
        module = read_script(path)
        return convert_built(Built(module, Owner()), request, str(path))


def _weights_alone(path: Path) -> InvalidSource:
    state, _ = read_state(path)
    names = ", ".join(list(state)[:2])
    what = f"it holds {len(state)} weights ({names}, …) without the model around them"
    way = (
        f"name that: onnxcam convert timm:NAME --weights {path.name}, or package.module:function --weights {path.name}"
    )
    return InvalidSource(str(path), f"{what}; {way}")


def _check_size(
    built: Built, arguments: tuple[torch.Tensor, ...], size: tuple[int, int], *, request: Request, name: str
) -> None:
    """Tries a size that is not the model's own, so that the model's own words for its refusal are told."""
    known = built.owner.shape[1:] if built.owner.shape else None
    if size == known or (known is None and request.input_size is None):
        return
    try:
        runner(built.module)([argument.numpy() for argument in arguments])
    except FAILURES as error:
        made_for = f"; it was made for {known[0]} x {known[1]}" if known else ""
        raise WrongInputSize(name, size, reason(error) + made_for) from error
