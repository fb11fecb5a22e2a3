"""Keras files opened: the architecture as the file has it, and where the weights lie. Nothing in them is executed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py

from onnxcam.errors import InvalidSource, MissingModelFile, MissingWeights
from onnxcam_converters.keras.entries import seekable
from onnxcam_converters.keras.stores import NamedWeights, NumberedWeights, Weights

OLDEST = (1,)  # files without a version are older than the attribute
MODERN_ENTRIES = frozenset(("layers", "vars", "_layer_checkpoint_dependencies"))


@dataclass(frozen=True, slots=True)
class Archive:
    """An opened Keras file.

    Attributes:
        source: its path.
        model: {"class_name": ..., "config": ...} of the whole model.
        keras: the version of Keras that wrote it.
        weights: of its layers.
        backend: of Keras when it wrote the file; "" where the file does not say it.
        notes: what a user should know of how it was read.
        architecture: the file that the framework would load.
        own_weights: the file of the weights, where it is another.
    """

    source: str
    model: Mapping[str, Any]
    keras: tuple[int, ...]
    weights: Weights
    backend: str = ""
    notes: tuple[str, ...] = ()
    architecture: Path = Path()
    own_weights: Path | None = None


@contextmanager
def opened(path: Path, weights: Path | None) -> Iterator[Archive]:
    """The file, and the file of weights where one is given; open for as long as the block lasts.

    Raises:
        InvalidSource: if it is no Keras file, or a broken one.
        MissingWeights: if it has the architecture only, or the weights only.
    """
    if not path.is_file():
        raise MissingModelFile(str(path))
    with ExitStack() as stack:
        if path.suffix.lower() == ".json":
            archive = _from_json(path, weights, stack)
        elif zipfile.is_zipfile(path):
            archive = _from_zip(path, weights, stack)
        else:
            archive = _from_h5(path, weights, stack)
        is_told = archive.architecture != Path()
        yield archive if is_told else replace(archive, architecture=path, own_weights=weights)


def version(text: Any) -> tuple[int, ...]:
    """The numbers of a version: "2.2.4-tf" is (2, 2, 4)."""
    parts = str(text).split("-")[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit()) or OLDEST


def parsed(text: str | bytes, source: str) -> dict[str, Any]:
    """The JSON object that the text holds."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidSource(source, f"its architecture is no JSON ({error})") from error
    if not isinstance(found, dict) or "class_name" not in found or "config" not in found:
        raise InvalidSource(source, 'its JSON describes no Keras model (there is no "class_name" with a "config")')
    return found


def _from_json(path: Path, weights: Path | None, stack: ExitStack) -> Archive:
    model = parsed(path.read_bytes(), str(path))
    if weights is None:
        raise MissingWeights(str(path), "it is an architecture only; name the file of weights as well (weights=...)")
    store, keras = _weights_of(_h5(weights, stack), str(weights))
    said = model.get("keras_version", model.get("config", {}) if isinstance(model["config"], dict) else {})
    return Archive(str(path), model, version(said) if isinstance(said, str) else keras or (3,), store)


def _from_zip(path: Path, weights: Path | None, stack: ExitStack) -> Archive:
    archive = stack.enter_context(zipfile.ZipFile(path))
    names = set(archive.namelist())
    if "config.json" not in names:
        raise InvalidSource(str(path), "it is a zip file, but no Keras one: there is no config.json in it")
    model, metadata = parsed(_entry(archive, "config.json", path), str(path)), {}
    if "metadata.json" in names:
        metadata = json.loads(_entry(archive, "metadata.json", path))
    if weights is not None:
        store, _ = _weights_of(_h5(weights, stack), str(weights))
    elif "model.weights.h5" in names:
        file = stack.enter_context(seekable(archive, "model.weights.h5"))
        store, _ = _weights_of(_h5(file, stack, f"{path} (model.weights.h5)"), str(path))
    else:
        raise MissingWeights(str(path), "there is no model.weights.h5 in it; save the model whole, in one file")
    return Archive(str(path), model, version(metadata.get("keras_version", "3")), store)


def _entry(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise InvalidSource(str(path), f"its entry {name} cannot be read ({error})") from error


def _from_h5(path: Path, weights: Path | None, stack: ExitStack) -> Archive:
    file = _h5(path, stack)
    if "model_config" not in file.attrs:
        return _beside(path, file, stack)
    model = parsed(_text(file.attrs["model_config"]), str(path))
    store, keras = _weights_of(file if weights is None else _h5(weights, stack), str(weights or path))
    keras = version(_text(file.attrs.get("keras_version", ""))) if "keras_version" in file.attrs else keras
    return Archive(str(path), model, keras or OLDEST, store, _text(file.attrs.get("backend", "")))


def _beside(path: Path, file: Any, stack: ExitStack) -> Archive:
    """Weights without a model, with the JSON of the architecture beside them."""
    if "layer_names" not in file.attrs and not MODERN_ENTRIES & file.keys():
        raise InvalidSource(str(path), "it is an HDF5 file, but neither a Keras model nor the weights of one")
    stem = path.name.removesuffix(path.suffix).removesuffix(".weights").removesuffix("_weights")
    found = next((p for p in (path.with_suffix(".json"), path.with_name(f"{stem}.json")) if p.is_file()), None)
    if found is None:
        raise InvalidSource(
            str(path),
            f"it has weights only. Give the JSON of the architecture (model.to_json()) as the source and this file as "
            f"its weights, or put the JSON beside it as {stem}.json",
        )
    archive = _from_json(found, path, stack)
    note = f"The architecture comes from {found.name}, which lies beside the weights."
    return replace(archive, source=str(path), notes=(note,), architecture=found, own_weights=path)


def _weights_of(file: Any, source: str) -> tuple[Weights, tuple[int, ...]]:
    """The weights in an HDF5 file of any era, and the version of Keras it knows; () where it knows none."""
    group = file.get("model_weights", file)
    keras = version(_text(group.attrs["keras_version"])) if "keras_version" in group.attrs else ()
    if "layer_names" in group.attrs or any(name.startswith("layer_names") for name in group.attrs):
        return NamedWeights.of_file(group, source), keras
    if MODERN_ENTRIES & file.keys():
        return NumberedWeights(file, source), keras
    raise MissingWeights(source, "the file has none")


def _h5(file: Any, stack: ExitStack, source: str = "") -> Any:
    """The HDF5 file."""
    source = source or str(file)
    if isinstance(file, Path) and not file.is_file():
        raise MissingWeights(source, "there is no such file")
    try:
        return stack.enter_context(h5py.File(file, "r"))
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise InvalidSource(source, f"it is no HDF5 file, or a truncated one ({error})") from error


def _text(value: Any) -> str:
    """An attribute as text: bytes in files of Python 2."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
