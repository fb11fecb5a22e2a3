"""Models that a library makes by name: `timm:resnet18`, `torchvision:vgg16`, `hf:google/vit-base-patch16-224`."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from onnxcam.conversion import Request
from onnxcam.errors import CannotConvert, InvalidSource, MissingWeights, StateMismatch, UnknownModel, UnsafeSource
from onnxcam_converters.torch.facts import Owner, timm_owner, torchvision_owner
from onnxcam_converters.torch.processors import hf_owner
from onnxcam_converters.torch.vetting import weights_only
from onnxcam_converters.torch.weights import classes_in, load_pickle, load_weights, read_state

CHECKPOINTS = ("*.safetensors", "pytorch_model*.bin")
HTTP_LIBRARIES = ("httpx", "httpx2", "requests")
RANDOM = "the weights are random, as the library starts a training; --pretrained or --weights FILE gives trained ones"
TRANSFORM_INPUT = "transform_input is off; weights that torchvision publishes need it, and --pretrained sets it"
TRUST = "If you trust it, load it in Python yourself and pass the module: onnxcam.convert(module, example)."


@dataclass(frozen=True, slots=True)
class Built:
    """A module, what its library knows of it, and what is to be said of its weights."""

    module: torch.nn.Module
    owner: Owner
    notes: tuple[str, ...] = ()


def build(request: Request) -> Built:
    """The model that a source such as `timm:resnet18` names, with the weights that are asked for.

    timm and torchvision know architectures: without `pretrained` and `weights` theirs are random, which is noted. For
    transformers the name is that of a checkpoint, whose weights are taken unless `weights` gives others.

    Raises:
        InvalidSource, UnknownModel: if the library is missing, or knows no such model.
        CannotConvert: if the library cannot make or fetch it.
        MissingWeights, StateMismatch, UnsafeSource: for weights that are not there, do not fit, or would run code.
    """
    prefix, _, name = str(request.source).partition(":")
    if request.weights and request.pretrained:
        raise CannotConvert(str(request.source), "--weights and --pretrained exclude each other")
    package, make = MAKERS[prefix]
    library = _library(str(request.source), package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the libraries will do differently in a later version
        return _with_weights(library, name, make, request) if request.weights else make(library, name, request, None)


def _with_weights(library: Any, name: str, make: Maker, request: Request) -> Built:
    """The model with the weights of a file, built for as many classes as the file has."""
    file = Path(str(request.weights))
    state, notes = read_state(file)
    built = make(library, name, request, None)
    if (classes := classes_in(state, built.module)) is not None:
        built = make(library, name, request, classes)
        notes.append(f"built for the {classes} classes of {file.name}")
    notes += load_weights(built.module, file, state, str(request.source))
    if getattr(built.module, "transform_input", None) is False:
        notes.append(TRANSFORM_INPUT)
    return replace(built, notes=(*built.notes, *notes))


def _timm(timm: Any, name: str, request: Request, classes: int | None) -> Built:
    if ":" not in name:  # "hf-hub:…" and "local-dir:…" are timm's own affair
        architecture, _, tag = name.partition(".")
        if not timm.is_model(architecture):
            raise UnknownModel("timm", architecture, timm.list_models())
        tags = timm.list_pretrained(f"{architecture}.*")
        if tag and name not in tags:
            raise UnknownModel("timm", name, tags)
    options = {} if classes is None else {"num_classes": classes}
    with _told(f"timm:{name}"):
        module = timm.create_model(name, pretrained=request.pretrained, **options)
    return Built(module, timm_owner(module), _warning(request))


def _torchvision(torchvision: Any, name: str, request: Request, classes: int | None) -> Built:
    models = torchvision.models
    if name not in models.list_models():
        raise UnknownModel("torchvision", name, models.list_models())
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if "weights_backbone" in signature(models.get_model_builder(name)).parameters:
        options["weights_backbone"] = None  # else they are fetched even where random weights were asked for
    with _told(f"torchvision:{name}"):
        module = models.get_model(name, weights="DEFAULT" if request.pretrained else None, **options)
    return Built(module, torchvision_owner(module, name, is_pretrained=request.pretrained), _warning(request))


def _hf(transformers: Any, name: str, request: Request, classes: int | None) -> Built:
    folder = Path(name).expanduser()
    where, is_folder = (str(folder), True) if folder.is_dir() else (name, name.startswith((".", "/", "~")))
    if is_folder and not (folder / "config.json").is_file():
        raise InvalidSource(
            f"hf:{name}", "there is no config.json in that folder" if folder.is_dir() else "no such folder"
        )
    options = {} if classes is None else {"num_labels": classes}
    with _told(f"hf:{name}"), _quiet(transformers.utils.logging):
        config = transformers.AutoConfig.from_pretrained(where, **options)
        if request.weights:
            module = transformers.AutoModelForImageClassification.from_config(config)
        else:
            module = _hf_checkpoint(transformers, where, config, is_folder=is_folder)
    return Built(module, hf_owner(module, _hf_processor(transformers, where)))


def _hf_checkpoint(transformers: Any, where: str, config: Any, *, is_folder: bool) -> torch.nn.Module:
    if is_folder and not any(found for pattern in CHECKPOINTS for found in Path(where).glob(pattern)):
        raise MissingWeights(where, "it holds an architecture only (config.json); --weights FILE gives the weights")
    if is_folder and not any(Path(where).glob(CHECKPOINTS[0])):
        for file in Path(where).glob(CHECKPOINTS[1]):
            load_pickle(file)  # names what it would run, which transformers does not
    load = transformers.AutoModelForImageClassification.from_pretrained
    module, told = load(where, config=config, dtype=torch.float32, output_loading_info=True)
    missing = sorted(map(str, told.get("missing_keys", ())))
    shapes = sorted(str(entry[0]) for entry in told.get("mismatched_keys", ()))
    if missing or shapes:
        # transformers would fill them with random numbers: a backbone without its classifier, mostly.
        raise StateMismatch(where, type(module).__name__, missing=missing, unexpected=(), shapes=shapes)
    found: torch.nn.Module = module
    return found


def _hf_processor(transformers: Any, where: str) -> Any:
    """The image processor of a checkpoint; None where it has none, or its kind is not known."""
    try:
        return transformers.AutoImageProcessor.from_pretrained(where)
    except (OSError, ValueError, ImportError, KeyError, *_http_errors()):
        return None


Maker = Callable[[Any, str, Request, int | None], Built]
MAKERS: dict[str, tuple[str, Maker]] = {
    "timm": ("timm", _timm),
    "torchvision": ("torchvision", _torchvision),
    "hf": ("transformers", _hf),
}


def _warning(request: Request) -> tuple[str, ...]:
    return () if request.pretrained or request.weights else (RANDOM,)


def _library(source: str, package: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise InvalidSource(source, f"{package} is not installed (pip install {package})") from error
    except RuntimeError as error:  # a build of torchvision for another PyTorch
        raise InvalidSource(source, f"{package} cannot be imported ({_first_line(error)})") from error


@contextmanager
def _told(source: str) -> Iterator[None]:
    """What goes wrong in a library within it, in one line; nothing but tensors is unpickled."""
    try:
        with weights_only():
            yield
    except pickle.UnpicklingError as error:
        raise UnsafeSource(source, "a pickle of more than weights", TRUST) from error
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, *_http_errors()) as error:
        if "trust_remote_code" in str(error):
            raise UnsafeSource(source, "Python code of its own", TRUST) from error
        is_fetch = isinstance(error, (OSError, *_http_errors()))
        raise CannotConvert(source, _first_line(error) + (" (while fetching it)" if is_fetch else "")) from error


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """No reports and progress bars of transformers: what matters in them is an error or a note of ours."""
    before, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if has_bar:
            logging.enable_progress_bar()


def _http_errors() -> tuple[type[Exception], ...]:
    """What the libraries' libraries raise where there is no network, as far as they are loaded."""
    modules = (sys.modules.get(name) for name in HTTP_LIBRARIES)
    return tuple(module.HTTPError for module in modules if module is not None)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
