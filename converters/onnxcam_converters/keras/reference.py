"""The framework's own reading of the same file, to check ours against: loaded when it is asked for, not before."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from onnxcam.conversion import Arrays, Reference, Request
from onnxcam_converters.keras.archive import Archive


def reference_of(archive: Archive, request: Request) -> Reference | None:
    """The Keras of the file's own generation, if it is installed: neither loads the files of the other."""
    package = "keras" if archive.keras >= (3,) else "tf_keras"
    # No Keras that runs today loads the files of Keras 1; nor does a fixed size become free.
    if archive.keras < (2,) or request.dynamic_size or not _is_installed(package):
        return None
    load = cache(lambda: _load(archive.architecture, archive.own_weights))
    return Reference(f"{package} {_version(package)}", lambda arrays: _run(load(), arrays))


def _is_installed(package: str) -> bool:
    """Whether it could be imported, with what it computes with; nothing is imported."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow") if package == "keras" else "tensorflow"
    return all(name in sys.modules or find_spec(name) is not None for name in (package, backend))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _load(path: Path, weights: Path | None) -> Any:
    """The live model; the file was understood completely, so nothing in it is code."""
    from onnxcam_converters.keras.live.loading import load
    from onnxcam_converters.quiet import quiet

    with quiet():
        return load(path, {}, weights=weights)


def _run(model: Any, arrays: Arrays) -> Arrays:
    from onnxcam_converters.keras.live.framework import framework_of
    from onnxcam_converters.keras.live.reference import flat

    results = model(arrays[0] if len(arrays) == 1 else arrays, training=False)
    return [np.asarray(_plain(tensor)) for tensor in flat(results, framework_of(model))]


def _plain(tensor: Any) -> Any:
    """A tensor of torch without its gradient."""
    return tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor
