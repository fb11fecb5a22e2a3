"""Keras files with layers of the user's own, loaded by the Keras that wrote them; nothing in them is executed."""

from __future__ import annotations

import importlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from onnxcam.errors import CannotConvert, InvalidSource, UnsupportedLayer
from onnxcam_converters.keras.safety import refuse_code
from onnxcam_converters.quiet import quiet

# Packages whose classes Keras finds by itself; "builtins" stands for functions that are looked up by name.
KNOWN_MODULES = frozenset(("keras", "tf_keras", "builtins"))
FAILURES = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError, NotImplementedError, OSError)


def load(path: str | Path, custom_objects: Mapping[str, Any], *, weights: Path | None = None) -> Any:
    """The live model in a .keras, .h5 or .json file.

    Raises:
        InvalidSource: if there is none.
        UnsafeSource: if it has Lambda layers: tf_keras runs their code, `safe_mode` or not.
        UnsupportedLayer: if a class is neither Keras's own nor given.
        CannotConvert: if the Keras that it needs is not installed, or refuses it.
    """
    path = Path(path)
    config, version = _read_config(path)
    refuse_code(config, str(path))
    _refuse_strangers(config, custom_objects)
    module = _module(path, version)
    try:
        with quiet():
            return _load(module, path, custom_objects, weights=weights)
    except FAILURES as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CannotConvert(str(path), f"{module.__name__} {module.__version__} cannot load it: {reason}") from error


def _load(module: Any, path: Path, custom_objects: Mapping[str, Any], *, weights: Path | None) -> Any:
    if path.suffix.lower() != ".json":
        return module.models.load_model(str(path), custom_objects=dict(custom_objects), compile=False, safe_mode=True)
    model = module.models.model_from_json(path.read_text(encoding="utf-8"), custom_objects=dict(custom_objects))
    if weights is not None:
        model.load_weights(str(weights))
    return model


def _read_config(path: Path) -> tuple[Any, str]:
    """The architecture, and the version of Keras that wrote it ("" where the file does not say)."""
    try:
        if path.suffix.lower() == ".json":
            config = json.loads(path.read_text(encoding="utf-8"))
            return config, str(config.get("keras_version", ""))
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                metadata = json.loads(archive.read("metadata.json"))
                return json.loads(archive.read("config.json")), str(metadata.get("keras_version", ""))
        with h5py.File(path) as file:
            return json.loads(_text(file.attrs["model_config"])), _text(file.attrs.get("keras_version", ""))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InvalidSource(str(path), "it is damaged, or no Keras model") from error


def _refuse_strangers(config: Any, custom_objects: Mapping[str, Any]) -> None:
    """Refuses classes that are neither Keras's own nor given: a file may name any that is installed here."""
    for entry in _objects(config):
        kind, inner = str(entry["class_name"]), entry.get("config")
        registered = str(entry.get("registered_name") or "").rpartition(">")[2]
        is_own = str(entry.get("module", "keras")).partition(".")[0] in KNOWN_MODULES
        if not is_own and not {kind, registered} & set(custom_objects):
            name = str(inner.get("name", kind)) if isinstance(inner, dict) else kind
            remedy = f"Give its class: custom_objects={{{kind!r}: {kind}}}."
            raise UnsupportedLayer(name, kind, "its class is the user's own and was not given", remedy)


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every serialized object in the architecture."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _objects(value)


def _module(path: Path, version: str) -> Any:
    """The Keras of the file's own generation: neither loads the files of the other."""
    name = "keras" if version.startswith("3") else "tf_keras"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        why = f"Keras {version or '2'} wrote it, and its own layers need that to be loaded; pip install {name}"
        raise CannotConvert(str(path), why) from error


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
