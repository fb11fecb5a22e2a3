"""A live model saved to a file of its own, which the direct reader converts: exact, fast, and every layer is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnxcam.conversion import Conversion, Request
from onnxcam.errors import CannotConvert, UnsupportedLayer
from onnxcam_converters.keras.live.framework import Framework, layers_of
from onnxcam_converters.quiet import quiet

# What the direct reader may take a layer for by the name of its class.
PACKAGES = frozenset(("keras", "tf_keras"))
REMEDY = "Its call has to be traced."


def convert_through_file(request: Request, framework: Framework) -> Conversion:
    """The conversion of the model's file.

    Raises:
        UnsupportedLayer: if a layer is the user's own, or the direct reader does not understand it.
        OnnxCamError: what else the direct reader raises; if the model cannot be saved.
    """
    from onnxcam_converters import keras as direct

    model = request.source
    if not hasattr(model, "save"):
        raise UnsupportedLayer(model.name, type(model).__name__, "it is a layer, not a model", REMEDY)
    for layer in layers_of(model):
        if type(layer).__module__.partition(".")[0] not in PACKAGES:
            raise UnsupportedLayer(layer.name, type(layer).__name__, "its class is not one of Keras's own", REMEDY)
    with TemporaryDirectory(prefix="onnxcam-") as folder:
        path = Path(folder) / f"model{framework.suffix}"
        _save(model, path)
        plain = replace(request, source=str(path), example=None, custom_objects={}, weights=None)
        conversion = direct.convert(plain)
    return replace(conversion, route=f"{conversion.route or 'direct reader'}, through a file")


def _save(model: Any, path: Path) -> None:
    try:
        with quiet():
            model.save(path)
    except (OSError, ValueError, TypeError, NotImplementedError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CannotConvert(f"{type(model).__name__} {model.name!r}", f"Keras cannot save it: {reason}") from error
