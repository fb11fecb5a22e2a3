"""TensorFlow to ONNX, through tf2onnx: SavedModel folders, frozen graphs, and live modules and functions."""

from __future__ import annotations

import os
from pathlib import Path

# Set before TensorFlow is imported, or its C++ side talks.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from onnxcam.conversion import Conversion, Request
from onnxcam_converters.tensorflow import graph_files, live, saved_models

__all__ = ["convert"]


def convert(request: Request) -> Conversion:
    """A SavedModel (folder), a frozen graph (.pb) or a live object of TensorFlow as ONNX, layers by their nodes.

    Raises:
        InvalidSource: if there is no model in the file or folder.
        MissingWeights: if the graph is not frozen.
        UnsafeSource: if its ops read or write files, or call Python.
        CannotConvert: if tf2onnx cannot, or if the inputs or outputs are not clear.
        WrongInputSize: if another size is asked for than it takes.
    """
    if not isinstance(request.source, str | Path):
        return live.convert(request)
    path = Path(request.source)
    if path.is_dir():
        return saved_models.convert(request, path)
    if path.name == "saved_model.pb":
        return saved_models.convert(request, path.parent)
    return graph_files.convert(request, path)
