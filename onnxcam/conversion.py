"""From whatever the user has to ONNX: finds the converter, which lives elsewhere and may not be installed."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from onnx import ModelProto

from onnxcam.errors import NoConverter

GROUP = "onnxcam.converters"
# Files whose kind shows in their name, and the converter that reads them.
SUFFIXES = {".h5": "keras", ".hdf5": "keras", ".keras": "keras", ".pb": "tensorflow", ".pt2": "torch", ".pt": "torch"}
# Live objects are known by the package that their class comes from.
PACKAGES = {"torch": "torch", "keras": "keras", "tensorflow": "keras", "tf_keras": "keras"}


def to_onnx(source: Any, example: Any = None) -> str | Path | bytes | ModelProto:
    """The source itself when it is ONNX already (path, bytes, ModelProto), else what its converter makes of it.

    Raises:
        NoConverter: if nothing installed can read it.
        CannotConvert: if its converter cannot.
    """
    if isinstance(source, bytes | ModelProto):
        return source
    if isinstance(source, str | Path):
        framework = SUFFIXES.get(Path(source).suffix.lower())
        if framework is None:
            return source
        return _convert(framework, str(source), source, example)
    framework = _framework(source)
    return _convert(framework, f"objects of class {type(source).__qualname__}", source, example)


def converters() -> dict[str, EntryPoint]:
    """The installed converters by framework."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _framework(source: Any) -> str | None:
    """The framework of the first known package among the object's classes."""
    packages = (kind.__module__.partition(".")[0] for kind in type(source).__mro__)
    return next((PACKAGES[package] for package in packages if package in PACKAGES), None)


def _convert(framework: str | None, what: str, source: Any, example: Any) -> ModelProto:
    known = converters()
    if framework is None or framework not in known:
        raise NoConverter(what, framework if framework in PACKAGES.values() else None, sorted(known))
    try:
        convert = known[framework].load()
    except ImportError as error:
        raise NoConverter(what, framework, sorted(known)) from error
    converted = convert(source, example)
    assert isinstance(converted, ModelProto)  # noqa: S101 - the contract of a converter
    return converted
