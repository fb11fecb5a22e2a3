"""Objects of TensorFlow in memory: concrete functions, tf.functions, modules, loaded SavedModels."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import tensorflow as tf

from onnxcam.conversion import Conversion, Request
from onnxcam.errors import CannotConvert
from onnxcam_converters.quiet import quiet
from onnxcam_converters.tensorflow.functions import convert_function
from onnxcam_converters.tensorflow.saved_models import convert_loaded


def convert(request: Request) -> Conversion:
    """The object as ONNX.

    Raises:
        CannotConvert: if it is nothing that can be called, or an example is needed and missing.
    """
    source = request.source
    what = getattr(source, "name", None) or type(source).__name__
    if hasattr(source, "structured_outputs") and hasattr(source, "captured_inputs"):
        return convert_function(source, request, what)
    if getattr(source, "signatures", None) and request.example is None:
        return convert_loaded(source, request, what)
    return convert_function(trace(source, request.example, what), request, what)


def trace(source: Any, example: Any, what: str) -> Any:
    """A concrete function of anything that can be called with the example, its first dimension open."""
    if not callable(source):
        raise CannotConvert(what, "it is neither a function nor a module that can be called")
    if example is None:
        raise CannotConvert(what, "an example input is missing: convert(module, example=batch)")
    examples = example if isinstance(example, tuple | list) else (example,)
    specs = [_spec(np.asarray(array), f"input_{number}") for number, array in enumerate(examples)]
    arguments = {"training": False} if _takes_training(source) else {}
    function = tf.function(lambda *tensors: source(*tensors, **arguments), autograph=False)
    try:
        with quiet():
            return function.get_concrete_function(*specs)
    except (ValueError, TypeError, RuntimeError, tf.errors.OpError) as error:
        raise CannotConvert(what, str(error).strip().partition("\n")[0]) from error


def _spec(array: Any, name: str) -> Any:
    shape = (None, *array.shape[1:]) if array.ndim else ()
    return tf.TensorSpec(shape, array.dtype if array.dtype != np.float64 else np.float32, name)


def _takes_training(source: Any) -> bool:
    called = getattr(source, "python_function", source)
    try:
        return "training" in inspect.signature(called).parameters
    except ValueError:
        return False
