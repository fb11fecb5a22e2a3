"""From whatever the user has to ONNX: finds the converter, which lives elsewhere and may not be installed.

Converters register under the entry-point group `onnxcam.converters`. The name of an entry says what it takes:

- `torch`: live objects whose class, or a parent of it, comes from that package;
- `.h5`: files with that suffix;
- `saved_model.pb`: folders that hold a file of that name;
- `timm`: sources written `timm:NAME`.

An entry is a function from a `Request` to a `Conversion`, or to a ModelProto where there is no more to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray
from onnx import ModelProto

from onnxcam.errors import MissingModelFile, NoConverter
from onnxcam.factories import call_factory, is_factory

GROUP = "onnxcam.converters"
Arrays: TypeAlias = "list[NDArray[Any]]"
# Which extra brings the converter that is missing.
EXTRAS = {
    "torch": "torch",
    "timm": "torch",
    "torchvision": "torch",
    "hf": "torch",
    ".pt": "torch",
    ".pt2": "torch",
    ".pth": "torch",
    ".th": "torch",
    ".safetensors": "torch",
    ".ckpt": "torch",
    "keras": "keras",
    "tf_keras": "keras",
    "tensorflow": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".keras": "keras",
    ".json": "keras",
    ".pb": "keras",
    "saved_model.pb": "keras",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be converted, and all that the user has said of it. A converter reads what concerns it.

    Attributes:
        source: a path, "prefix:name", or a live object.
        example: one input batch (N, …), or a tuple of the arguments of the call, for converters that trace.
        weights: file of the weights, where the source is an architecture only.
        pretrained: take the weights that the owner of the model publishes.
        input_size: (height, width) of the pictures, where the model leaves them open.
        dynamic_size: leave height and width open in the result.
        custom_objects: classes and functions by the names that a file knows them by.
        outputs: names of the outputs to keep, where a source has several signatures or none.
    """

    source: Any
    example: Any = None
    weights: Path | None = None
    pretrained: bool = False
    input_size: tuple[int, int] | None = None
    dynamic_size: bool = False
    custom_objects: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """The framework's own model, to check the converted one against.

    Attributes:
        name: of the framework, with its version.
        run: from one array for each input of the converted model, in order, to one for each of its outputs. The batch
            is any number.
        example: inputs that the model is known to take, in order, whose shapes the check keeps; None where those of the
            converted model do.
    """

    name: str
    run: Callable[[Arrays], Arrays]
    example: Arrays | None = None


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted model.

    Attributes:
        model: with what its author knows of it noted in (`onnxcam.facts.note`): labels, preprocessing, layers.
        route: how it was converted.
        attempts: the routes tried before, each with the reason of its failure.
        reference: what to check it against; None where nothing that can compute it is installed.
    """

    model: ModelProto
    route: str = ""
    attempts: tuple[str, ...] = ()
    reference: Reference | None = None


def convert_source(request: Request) -> Conversion:
    """What the converter of the source makes of it; of ONNX (path, bytes, ModelProto) nothing is to be made.

    Raises:
        NoConverter: if nothing installed can read it.
        MissingModelFile: if there is no such file.
        OnnxCamError: what its converter raises.
    """
    source = request.source
    if not isinstance(source, str | Path):
        return _run(_package_of(source), f"objects of class {type(source).__qualname__}", request)
    kind = _kind_of(str(source))
    if kind is None:
        return convert_source(replace(request, source=call_factory(str(source))))
    return _run(kind, str(source), request)


def is_onnx(source: Any) -> bool:
    """Whether it is ONNX already: bytes, a ModelProto, or a path that no converter claims."""
    if not isinstance(source, str | Path):
        return isinstance(source, bytes | ModelProto)
    return _kind_of(str(source)) in ("", ".onnx")


def converters() -> dict[str, EntryPoint]:
    """The installed converters by what they take."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _package_of(source: Any) -> str | None:
    """The entry for the first package among the object's classes that has one."""
    packages = [kind.__module__.partition(".")[0] for kind in type(source).__mro__]
    known = converters().keys() | EXTRAS.keys()
    return next((package for package in packages if package in known), None)


def _kind_of(source: str) -> str | None:
    """The entry for a path or "prefix:name"; "" where no converter is asked for, None for a factory."""
    known, path = converters().keys() | EXTRAS.keys(), Path(source)
    if path.is_dir():
        return next((name for name in sorted(known) if "." in name and (path / name).is_file()), "")
    prefix, colon, rest = source.partition(":")
    if colon and len(prefix) > 1 and rest and not path.exists():
        if prefix in known:
            return prefix
        if is_factory(source):
            return None
    suffix = path.suffix.lower()
    return suffix if suffix in known else ""


def _run(kind: str | None, what: str, request: Request) -> Conversion:
    known = converters()
    if kind is None or kind not in known:
        raise NoConverter(what, EXTRAS.get(kind or ""), sorted(known))
    try:
        convert = known[kind].load()
    except ImportError as error:
        raise NoConverter(what, EXTRAS.get(kind), sorted(known), missing=str(error)) from error
    if kind.startswith(".") and not Path(request.source).exists():
        raise MissingModelFile(str(request.source))
    made = convert(request)
    return made if isinstance(made, Conversion) else Conversion(made)
