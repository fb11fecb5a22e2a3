"""Functions that models call like layers: of Keras 3, and of TensorFlow by their symbols or as nodes of its graph."""

from __future__ import annotations

from typing import Any

from onnxcam_converters.keras import operations as _operations  # noqa: F401 - enters the functions
from onnxcam_converters.keras.functions import FUNCTIONS, perform
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.nodes import node_of
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor

# What a layer around a function says of itself.
OF_LAYER = frozenset(("name", "trainable"))


@reads(*(name for name in FUNCTIONS if name.startswith("ops.")))
def operation(layer: Layer, *args: Any, **kwargs: Any) -> Any:
    """A function of Keras 3: some of its arguments are options of the operation, the others are in the call."""
    options = {name: layer.option(name) for name in layer.config.keys() - OF_LAYER}
    return perform(layer, f"ops.{layer.kind}", args, {**options, **kwargs})


@reads("TFOpLambda", "SlicingOpLambda")
def function_of_tensorflow(layer: Layer, *args: Any, **kwargs: Any) -> Any:
    """A function of TensorFlow 2 by its symbol, "math.reduce_mean"."""
    layer.ignore("autocast")
    given = {name: value for name, value in kwargs.items() if name != "name"}
    return perform(layer, f"tf.{layer.option('function')}", args, given)


@reads("TensorFlowOpLayer")
def node_of_tensorflow(layer: Layer, xs: Any) -> Any:
    """A node of TensorFlow 1's graph, its inputs tensors and constants."""
    given = [xs] if isinstance(xs, Tensor) else list(xs)
    node = node_of(layer, layer.option("node_def"))
    for index, constant in sorted((int(i), c) for i, c in (layer.option("constants", default=None) or {}).items()):
        given.insert(index, constant)
    return perform(layer, f"node.{node.op}", given, node.attributes)
