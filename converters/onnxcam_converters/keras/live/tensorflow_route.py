"""Keras models on TensorFlow: traced with every layer's call in a scope of its own, then converted by tf2onnx."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from onnx import ModelProto

from onnxcam.errors import CannotConvert
from onnxcam.graph.walk import Names
from onnxcam_converters.anchors import rename
from onnxcam_converters.keras.live.calls import Calls, recorded
from onnxcam_converters.keras.live.framework import framework_of
from onnxcam_converters.keras.live.signature import Input, call, output_names
from onnxcam_converters.quiet import quiet, reason_of
from onnxcam_converters.tensorflow.frozen import FrozenGraph, Tap, freeze, tensors_of_interest
from onnxcam_converters.tensorflow.functions import input_names
from onnxcam_converters.tensorflow.to_onnx import to_onnx

NAME = "Keras on TensorFlow, traced; tf2onnx"
# TensorFlow's own scopes are not the layers' names: Keras 3 puts numbers behind them.
SCOPE = "onnxcam_layer"
SCOPED = re.compile(rf"^{SCOPE}(\d+)/(?:.*PartitionedCall(?:_\d+)?/(?P<inner>.+)|(?:.*/)?(?P<last>[^/]+))$")
FAILURES = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, NotImplementedError, tf.errors.OpError)


def convert(model: Any, inputs: Sequence[Input], what: str) -> ModelProto:
    """The model as ONNX, every layer noted under its path.

    Args:
        model: of Keras 3 or of tf_keras, or a single layer.
        inputs: what it takes.
        what: for messages.

    Raises:
        CannotConvert: if it cannot be traced, or tf2onnx lacks an op.
    """
    trace = _Trace(model, inputs)
    try:
        with quiet() as remarks, _functions_inlined():
            function = trace.function()
            names = dict(zip((tensor.name for tensor in inputs), input_names(function).values(), strict=True))
            frozen = freeze(function, names, trace.outputs(function))
    except FAILURES as error:
        remarks.keep(error)
        why = f"TensorFlow cannot trace it: {reason_of(error)}"
        raise CannotConvert(what, why, log=remarks.write("keras")) from error
    frozen.taps = {path: Tap(frozen.outputs.pop(path), rank) for path, rank in trace.tapped.items()}
    with quiet():
        frozen.taps |= _inside_functions(frozen, trace.paths)
    converted = to_onnx(frozen, what)
    _name_after_paths(converted, trace.paths)
    return converted


class _Trace:
    """One tracing of a model: its outputs, then what each of its layers gives."""

    def __init__(self, model: Any, inputs: Sequence[Input]) -> None:
        self.model, self.inputs, self.framework = model, inputs, framework_of(model)
        self.paths: list[str] = []
        self.names: list[str] = []
        self.tapped: dict[str, int] = {}

    def function(self) -> Any:
        """The concrete function that gives both."""
        specs = [tf.TensorSpec(x.shape, x.dtype, f"input_{i}") for i, x in enumerate(self.inputs)]
        return tf.function(self._forward).get_concrete_function(*specs)

    def outputs(self, function: Any) -> dict[str, str]:
        """From the names of outputs and tapped layers to tensors of the function."""
        tensors = [tensor.name for tensor in function.outputs]
        return dict(zip((*self.names, *self.tapped), tensors, strict=True))

    def _forward(self, *tensors: Any) -> list[Any]:
        with recorded(self.framework, self._scope) as calls:
            given = call(self.model, tensors)
        outputs = tf.nest.flatten(given)
        self.names = output_names(self.model, given, len(outputs))
        tapped = {path: tensor for path, tensor in _spatial(calls).items() if path not in self.names}
        self.tapped = {path: tensor.shape.rank for path, tensor in tapped.items()}
        return [tf.identity(tensor) for tensor in (*outputs, *tapped.values())]

    def _scope(self, path: str) -> Any:
        self.paths.append(path)
        return tf.name_scope(f"{SCOPE}{len(self.paths) - 1}/")


def _spatial(calls: Calls) -> dict[str, Any]:
    """The float tensors of rank 3 to 5 that layers have given."""
    graph = tf.compat.v1.get_default_graph()
    found = {}
    for path, outputs in calls.outputs.items():
        for number, tensor in enumerate(tf.nest.flatten(outputs)):
            is_here = isinstance(tensor, tf.Tensor) and getattr(tensor, "graph", None) is graph
            if is_here and tensor.dtype.is_floating and tensor.shape.rank in (3, 4, 5):
                found[f"{path}:{number}" if number else path] = tensor
    return found


def _inside_functions(frozen: FrozenGraph, paths: Sequence[str]) -> dict[str, Tap]:
    """Tensors within layers that call a function of TensorFlow, as those of TF Hub do: "hub/last_relu"."""
    found = {}
    for name, tap in tensors_of_interest(frozen).items():
        match = SCOPED.match(name)
        if match and match["inner"]:
            found[f"{paths[int(match[1])]}/{match['inner']}"] = tap
    return found


def _name_after_paths(model: ModelProto, paths: Sequence[str]) -> None:
    """Puts the paths of layers in place of the scopes, in the names of nodes and of tensors."""
    graph, names = model.graph, Names(model.graph)
    tensors = [*(output for node in graph.node for output in node.output), *(w.name for w in graph.initializer)]
    rename(graph, {name: names.fresh(_readable(name, paths)) for name in tensors if SCOPED.match(name)})
    for node in graph.node:
        if SCOPED.match(node.name):
            node.name = names.fresh(_readable(node.name, paths))


def _readable(name: str, paths: Sequence[str]) -> str:
    match = SCOPED.match(name)
    return f"{paths[int(match[1])]}/{match['inner'] or match['last']}" if match else name


@contextlib.contextmanager
def _functions_inlined() -> Iterator[None]:
    """Keras 3 compiles grouped convolutions as functions of their own, which tf2onnx does not look into."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
