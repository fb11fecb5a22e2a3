"""The live model itself, to check its conversion against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxcam.conversion import Arrays, Reference
from onnxcam_converters.keras.live.framework import Framework
from onnxcam_converters.keras.live.signature import Input, call

BATCH = 2


def reference_of(model: Any, framework: Framework, inputs: Sequence[Input]) -> Reference:
    """The model, as it is when nothing is trained."""

    def run(arrays: Arrays) -> Arrays:
        tensors = [_tensor(array.astype(x.dtype), framework) for array, x in zip(arrays, inputs, strict=True)]
        return [_array(tensor, framework) for tensor in flat(call(model, tensors), framework)]

    has_open_size = any(None in tensor.shape[1:] for tensor in inputs)
    given = has_open_size or any(tensor.values is not None for tensor in inputs)
    return Reference(framework.name, run, [tensor.example(BATCH) for tensor in inputs] if given else None)


def flat(outputs: Any, framework: Framework) -> list[Any]:
    """The tensors in what a model gives, in the order that Keras flattens them."""
    if framework.is_keras_3:
        return list(framework.module.tree.flatten(outputs))
    import tensorflow as tf

    return list(tf.nest.flatten(outputs))


def _tensor(array: Any, framework: Framework) -> Any:
    if framework.is_keras_3:
        return framework.module.ops.convert_to_tensor(array)
    import tensorflow as tf

    return tf.constant(array)


def _array(tensor: Any, framework: Framework) -> Any:
    if framework.is_keras_3:
        return np.asarray(framework.module.ops.convert_to_numpy(tensor))
    return np.asarray(tensor)
