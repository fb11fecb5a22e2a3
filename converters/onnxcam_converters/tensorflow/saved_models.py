"""SavedModel folders: of Keras 2, of Keras 3's export, of TF Hub, and of TensorFlow 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from onnxcam.conversion import Conversion, Request
from onnxcam.errors import CannotConvert, InvalidSource
from onnxcam_converters.quiet import quiet
from onnxcam_converters.tensorflow.functions import convert_function
from onnxcam_converters.tensorflow.safety import refuse_unsafe

DEFAULT = "serving_default"


def convert(request: Request, folder: Path) -> Conversion:
    """The model in the folder; of several signatures `outputs` may name one."""
    _check(folder)
    try:
        with quiet():
            loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise InvalidSource(str(folder), str(error).strip().partition("\n")[0]) from error
    return convert_loaded(loaded, request, str(folder))


def convert_loaded(loaded: Any, request: Request, what: str) -> Conversion:
    """What `tf.saved_model.load` has given."""
    name, outputs = choose_signature(list(loaded.signatures), request.outputs, what)
    function = loaded.signatures[name]
    conversion = convert_function(function, Request(source=what, input_size=request.input_size, outputs=outputs), what)
    _keep_alive(conversion, loaded)
    return conversion


def choose_signature(names: list[str], wanted: tuple[str, ...], what: str) -> tuple[str, tuple[str, ...]]:
    """The signature that is named among the wanted outputs, else the one that serves; and the other outputs.

    Raises:
        CannotConvert: if there is none, or if there are several and none is named.
    """
    named = [name for name in wanted if name in names]
    if named:
        return named[0], tuple(name for name in wanted if name != named[0])
    if DEFAULT in names or len(names) == 1:
        return (DEFAULT if DEFAULT in names else names[0]), wanted
    if not names:
        raise CannotConvert(what, "it has no signatures; load it and convert one of its functions, with an example")
    raise CannotConvert(what, f"it has several signatures ({', '.join(names)}); name one of them as output")


def _check(folder: Path) -> None:
    file = folder / "saved_model.pb"
    if not file.is_file():
        raise InvalidSource(str(folder), "the folder has no file saved_model.pb")
    try:
        model = SavedModel.FromString(file.read_bytes())
    except DecodeError as error:
        raise InvalidSource(str(file), "the file is damaged or is no SavedModel") from error
    if not model.meta_graphs:
        raise InvalidSource(str(file), "no graph is in it")
    refuse_unsafe(str(folder), (meta.graph_def for meta in model.meta_graphs))


def _keep_alive(conversion: Conversion, loaded: Any) -> None:
    """A function does not hold the object whose variables it reads."""
    reference = conversion.reference
    if reference is not None:
        reference.run.loaded = loaded  # type: ignore[attr-defined]
