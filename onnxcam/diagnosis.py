"""What is installed and whether it works together."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from onnxcam import __version__
from onnxcam.conversion import EXTRAS, converters
from onnxcam.errors import OnnxCamError
from onnxcam.providers import load_runtime, short

RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-rocm")
OPENCVS = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
PACKAGES = {"hf": "transformers"}  # of the converters' names those whose package is called otherwise
# What packages raise on import that do not go together: torchvision of another torch, say, a RuntimeError.
BROKEN = (ImportError, RuntimeError, OSError, AttributeError, TypeError, ValueError)
ONE_FOLDER = "they share one folder and break each other: uninstall all of them, then install one"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact; `remedy` is empty when it is fine."""

    name: str
    value: str
    remedy: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether nothing needs to be done."""
        return not self.remedy

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, and whether it is fine."""
        return {**asdict(self), "fine": self.is_fine}

    def __str__(self) -> str:
        mark, remedy = ("ok ", "") if self.is_fine else ("BAD", f": {self.remedy}")
        return f"{mark} {self.name:12} {self.value}{remedy}"


def diagnose() -> list[Finding]:
    """All findings, in the order in which one would ask."""
    return [
        Finding("onnxcam", f"{__version__} on Python {platform.python_version()}, {platform.platform()}"),
        *(Finding(name, _installed(name) or "not installed", _missing(name)) for name in ("numpy", "onnx")),
        alternatives("opencv", OPENCVS, install="pip install opencv-python-headless"),
        alternatives("runtime", RUNTIMES, install='pip install "onnxcam[cpu]", or "onnxcam[gpu]" for NVIDIA cards'),
        *_providers(),
        *_converters(),
        _self_test(),
    ]


def alternatives(name: str, packages: tuple[str, ...], *, install: str) -> Finding:
    """Of packages that share one module folder exactly one may be installed."""
    found = [f"{package} {number}" for package in packages if (number := _installed(package))]
    remedy = install if not found else ONE_FOLDER if len(found) > 1 else ""
    return Finding(name, ", ".join(found) or "not installed", remedy)


def _providers() -> Iterator[Finding]:
    """What ONNX Runtime can run on, by its own word."""
    try:
        yield Finding("providers", ", ".join(short(load_runtime().get_available_providers())))
    except OnnxCamError as error:
        yield Finding("providers", "none", str(error))


def _converters() -> Iterator[Finding]:
    """Each converter, imported: one whose framework is missing is no fault, nobody needs them all."""
    known = converters()
    if not known:
        yield Finding("converters", "none: only ONNX models can be read")
    for value in sorted({entry.value for entry in known.values()}):
        same = {name: entry for name, entry in known.items() if entry.value == value}
        alike: dict[str, list[str]] = {}
        for name, entry in sorted(same.items()):
            alike.setdefault(_usable(entry), []).append(name)
        yield from (Finding("from", f"{', '.join(names)}: {state}") for state, names in alike.items())


def _usable(entry: EntryPoint) -> str:
    """Whether the converter can be imported, and the package whose models it takes."""
    extra = f'"onnxcam[{EXTRAS.get(entry.name, entry.name)}]"'
    try:
        with warnings.catch_warnings(action="ignore"):
            entry.load()
    except BROKEN as error:
        return f"not usable ({first_line(error)}); pip install {extra}"
    package = PACKAGES.get(entry.name, entry.name)
    if "." in package:  # files, which the converter reads by itself
        return "works"
    try:
        with warnings.catch_warnings(action="ignore"):
            import_module(package)
    except BROKEN as error:
        if find_spec(package) is None:
            return f"not installed; pip install {package}"
        return f"not usable ({first_line(error)}); pip install -U {extra}"
    return "works"


def first_line(error: Exception) -> str:
    """What it says first, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _self_test() -> Finding:
    """Whether the demo net explains its picture here."""
    from onnxcam.demo import explain_digit

    try:
        found = explain_digit("three")
    except OnnxCamError as error:
        return Finding("self-test", "failed", str(error))
    return Finding("self-test", f"map of the demo picture: {found.status}", found.reason)


def _missing(package: str) -> str:
    return "" if _installed(package) else f"pip install {package}"


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
