"""Live Keras models to ONNX: through a file, which needs no tracing, else by the backend that they run on."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

from onnxcam.conversion import Conversion, Request
from onnxcam.errors import CannotConvert, OnnxCamError
from onnxcam_converters.keras.live.file_route import convert_through_file
from onnxcam_converters.keras.live.framework import Framework, framework_of
from onnxcam_converters.keras.live.loading import load
from onnxcam_converters.keras.live.pixels import note_scaling
from onnxcam_converters.keras.live.reference import reference_of
from onnxcam_converters.keras.live.signature import find_inputs

__all__ = ["convert_live", "convert_with_custom_objects"]

ROUTES = {
    "tensorflow": "onnxcam_converters.keras.live.tensorflow_route",
    "torch": "onnxcam_converters.keras.live.torch_route",
}


def convert_live(request: Request) -> Conversion:
    """A model (or layer) of Keras 3, on any of its backends, or of tf_keras; layers have the names that Keras knows.

    Raises:
        CannotConvert: if it cannot be, or if an example is needed to know the shape of its input.
    """
    framework = framework_of(request.source)
    try:
        conversion = convert_through_file(request, framework)
    except OnnxCamError as error:
        return _convert_by_backend(request, framework, attempts=(f"through a file: {error.brief or error}",))
    inputs = find_inputs(request, framework, wanted=len(conversion.model.graph.input))
    return replace(conversion, reference=reference_of(request.source, framework, inputs))


def convert_with_custom_objects(request: Request) -> Conversion:
    """A Keras file with layers of the user's own, whose classes are in `request.custom_objects`.

    Raises:
        UnsafeSource: if the file has Lambda layers, whose code would be run by loading it.
        CannotConvert: if the version of Keras that wrote the file is not installed, or cannot load it.
    """
    model = load(request.source, request.custom_objects, weights=request.weights)
    return _convert_by_backend(replace(request, source=model), framework_of(model), attempts=())


def _convert_by_backend(request: Request, framework: Framework, *, attempts: tuple[str, ...]) -> Conversion:
    what = f"{type(request.source).__name__} {request.source.name!r}"
    if framework.backend not in ROUTES:
        why = (
            f"it has to be traced ({'; '.join(attempts)}), which is not possible on the backend {framework.backend}. "
            f"Load it with KERAS_BACKEND=tensorflow or torch and convert it there"
        )
        raise CannotConvert(what, why)
    inputs = find_inputs(request, framework)
    route: Any = importlib.import_module(ROUTES[framework.backend])
    model = route.convert(request.source, inputs, what)
    note_scaling(model, request.source, framework, inputs=inputs)
    return Conversion(model, route.NAME, attempts, reference_of(request.source, framework, inputs))
