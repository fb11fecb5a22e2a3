"""Functions that Keras files call like layers: Keras 3's own, TensorFlow's by symbol, nodes of TensorFlow 1's graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras_rows import assert_agrees, outputs, pictures, save

from onnxcam.errors import UnsupportedLayer

VECTOR = np.array([0.5, -1.0, 2.0, 3.0], np.float32)
MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
# From the module (keras.ops) and two pictures (N, 6, 8, 4), the first behind a convolution.
OPS: dict[str, Any] = {
    "a number added": lambda o, a, b: a + 3.0,
    "taken from a number": lambda o, a, b: 1 - a,
    "two tensors multiplied": lambda o, a, b: a * b,
    "by a vector": lambda o, a, b: a * VECTOR,
    "divided by a number": lambda o, a, b: a / 255.0,
    "a number divided": lambda o, a, b: 2.0 / (o.abs(a) + 1.0),
    "negated": lambda o, a, b: -a,
    "squared": lambda o, a, b: a**2,
    "to a power": lambda o, a, b: o.abs(a) ** 1.5,
    "larger and smaller of two": lambda o, a, b: o.maximum(a, 0.5) + o.minimum(a, b),
    "clipped": lambda o, a, b: o.clip(a, -0.5, 1),
    "roots": lambda o, a, b: o.sqrt(o.abs(a)) + o.rsqrt(o.square(b) + 1.0),
    "exp, log, sin, cos": lambda o, a, b: o.log(o.exp(a) + 1.0) + o.sin(b) * o.cos(a) + o.log1p(o.abs(b)) + o.erf(a),
    "where": lambda o, a, b: o.where(o.logical_and(a > 0.0, b < 0.5), a, b),
    "rounded": lambda o, a, b: o.floor(a) + o.ceil(b) + o.sign(b),
    "cast": lambda o, a, b: o.cast(a > 0.0, "float32") * b,
    "mean over the picture": lambda o, a, b: o.mean(a, axis=[1, 2]),
    "mean over the picture, kept": lambda o, a, b: o.mean(a, axis=(1, 2), keepdims=True) * a,
    "sum over channels": lambda o, a, b: o.sum(a, axis=-1),
    "maximum over rows": lambda o, a, b: o.max(a, axis=1),
    "minimum over columns, kept": lambda o, a, b: o.min(b, axis=-2, keepdims=True),
    "variance and deviation": lambda o, a, b: o.var(a, axis=[1, 2]) + o.std(b, axis=[1, 2]),
    "product, logsumexp": lambda o, a, b: o.prod(a, axis=-1) + o.logsumexp(b, axis=-1),
    "x[:, 1:]": lambda o, a, b: a[:, 1:],
    "x[..., 0]": lambda o, a, b: a[..., 0],
    "x[:, ::2, -3:-1]": lambda o, a, b: a[:, ::2, -3:-1],
    "x[:, ::-1]": lambda o, a, b: a[:, ::-1],
    "x[:, None]": lambda o, a, b: a[:, None],
    "x[:, 2, 3]": lambda o, a, b: a[:, 2, 3],
    "x[:, -1, ..., None]": lambda o, a, b: a[:, -1, ..., None],
    "concatenated": lambda o, a, b: o.concatenate([a, b], axis=-1),
    "concatenated, rows": lambda o, a, b: o.concatenate([a, b], axis=1),
    "stacked": lambda o, a, b: o.stack([a, b], axis=-1),
    "stacked behind the batch": lambda o, a, b: o.stack([a, b], axis=1),
    "split": lambda o, a, b: o.split(a, 2, axis=-1)[1],
    "split at": lambda o, a, b: o.split(a, [1, 4], axis=2)[1],
    "unstacked": lambda o, a, b: o.unstack(a, axis=-1)[2],
    "axis added": lambda o, a, b: o.expand_dims(a, 1),
    "axes of channels added": lambda o, a, b: a * o.expand_dims(o.expand_dims(o.mean(b, axis=(1, 2)), 1), 1),
    "axis removed": lambda o, a, b: o.squeeze(a[:, :1], 1),
    "transposed": lambda o, a, b: o.transpose(a, (0, 3, 1, 2)),
    "axes exchanged": lambda o, a, b: o.swapaxes(a, 1, 3),
    "axis moved": lambda o, a, b: o.moveaxis(a, -1, 1),
    "reshaped": lambda o, a, b: o.reshape(a, (-1, 48, 4)),
    "reshaped to windows and back": lambda o, a, b: o.reshape(o.reshape(a, (-1, 3, 4, 4)), (-1, 6, 8, 4)),
    "padded": lambda o, a, b: o.pad(a, ((0, 0), (1, 0), (2, 1), (0, 0))),
    "padded by reflection": lambda o, a, b: o.pad(a, ((0, 0), (1, 0), (2, 1), (0, 0)), mode="reflect"),
    "padded with ones": lambda o, a, b: o.pad(a, ((0, 0), (1, 0), (2, 1), (0, 2)), constant_values=1.0),
    "tiled": lambda o, a, b: o.tile(a, (1, 2, 1, 3)),
    "repeated": lambda o, a, b: o.repeat(a, 2, axis=1) + o.repeat(b, 2, axis=1),
    "flipped": lambda o, a, b: o.flip(a, axis=2),
    "taken": lambda o, a, b: o.take(a, [2, 0, 3], axis=-1),
    "one taken": lambda o, a, b: o.take(a, 2, axis=1),
    "einsum": lambda o, a, b: o.einsum("nhwc,nhwd->ncd", a, b),
    "matmul": lambda o, a, b: o.matmul(a, o.transpose(b, (0, 1, 3, 2))),
    "matmul with numbers": lambda o, a, b: o.matmul(a, MATRIX),
    "softmax": lambda o, a, b: o.softmax(a, axis=1) + o.log_softmax(b),
    "activations": lambda o, a, b: (
        o.relu(a) + o.relu6(b) + o.gelu(a) + o.gelu(b, approximate=False) + o.silu(a) + o.elu(b)
    ),
    "more activations": lambda o, a, b: o.leaky_relu(a) + o.sigmoid(b) + o.tanh(a) + o.hard_sigmoid(b) + o.softplus(a),
    "of length one": lambda o, a, b: o.normalize(a, axis=-1),
    "resized": lambda o, a, b: o.image.resize(a, (9, 5)),
    "resized, bicubic": lambda o, a, b: o.image.resize(a, (9, 5), interpolation="bicubic"),
    "best channel": lambda o, a, b: o.cast(o.argmax(a, axis=-1), "float32"),
}
# The same for TensorFlow's functions.
TF: dict[str, Any] = {
    "a number added": lambda tf, a, b: a + 3.0,
    "taken from a number": lambda tf, a, b: 1 - a,
    "two tensors multiplied": lambda tf, a, b: a * b,
    "by a vector": lambda tf, a, b: a * VECTOR,
    "divided": lambda tf, a, b: a / 2 + 2 / (tf.abs(b) + 1.0),
    "a row of numbers added": lambda tf, a, b: tf.nn.bias_add(a, VECTOR),
    "powers": lambda tf, a, b: a**2 + tf.abs(b) ** 1.5 + tf.math.squared_difference(a, b),
    "sum of a list": lambda tf, a, b: tf.add_n([a, b, a]),
    "clipped": lambda tf, a, b: tf.clip_by_value(a, -0.5, 1),
    "where": lambda tf, a, b: tf.where(a > 0, a, b),
    "elementary": lambda tf, a, b: tf.exp(-tf.abs(a)) + tf.math.log1p(tf.abs(b)) + tf.math.rsqrt(b * b + 1.0),
    "MobileNetV3's sigmoid": lambda tf, a, b: tf.nn.relu6(a + 3.0) * (1.0 / 6.0) * a,
    "mean over the picture": lambda tf, a, b: tf.reduce_mean(a, axis=[1, 2]),
    "mean over the picture, kept": lambda tf, a, b: tf.reduce_mean(a, [1, 2], keepdims=True) * a,
    "reductions": lambda tf, a, b: (
        tf.reduce_max(a, 1) + tf.reduce_sum(b, 1) + tf.math.reduce_std(a, axis=1) + tf.reduce_min(b, 1)
    ),
    "x[:, 1:]": lambda tf, a, b: a[:, 1:],
    "x[..., 0]": lambda tf, a, b: a[..., 0],
    "x[:, ::2, -1]": lambda tf, a, b: a[:, ::2, -1],
    "x[:, None]": lambda tf, a, b: a[:, tf.newaxis],
    "BGR": lambda tf, a, b: a[..., ::-1],
    "concatenated": lambda tf, a, b: tf.concat([a, b], axis=-1),
    "stacked": lambda tf, a, b: tf.stack([a, b], axis=1),
    "split": lambda tf, a, b: tf.split(a, 2, axis=-1)[1],
    "split to lengths": lambda tf, a, b: tf.split(a, [3, -1], axis=1)[1],
    "unstacked": lambda tf, a, b: tf.unstack(a, axis=-1)[2],
    "expanded and squeezed": lambda tf, a, b: tf.squeeze(tf.expand_dims(a, 1), 1) + b,
    "reshaped": lambda tf, a, b: tf.reshape(a, (-1, 48, 4)),
    "reshaped by the shape": lambda tf, a, b: tf.reshape(a, (tf.shape(a)[0], -1)),
    "reshaped by all of the shape": lambda tf, a, b: tf.reshape(tf.reshape(a, (tf.shape(a)[0], 48, 4)), tf.shape(b)),
    "reshaped by computed lengths": lambda tf, a, b: tf.reshape(
        a, [tf.shape(a)[0], tf.shape(a)[1] * tf.shape(a)[2], 4]
    ),
    "transposed": lambda tf, a, b: tf.transpose(a, [0, 3, 1, 2]),
    "padded": lambda tf, a, b: tf.pad(a, [[0, 0], [1, 0], [2, 1], [0, 0]]),
    "padded by reflection": lambda tf, a, b: tf.pad(a, [[0, 0], [1, 0], [2, 1], [0, 0]], mode="REFLECT"),
    "tiled": lambda tf, a, b: tf.tile(a, [1, 1, 2, 2]),
    "gathered": lambda tf, a, b: tf.gather(a, [2, 0], axis=-1),
    "matmul": lambda tf, a, b: tf.matmul(a, b, transpose_b=True),
    "softmax": lambda tf, a, b: tf.nn.softmax(a, axis=1) + tf.nn.log_softmax(b),
    "activations": lambda tf, a, b: (
        tf.nn.gelu(a) + tf.nn.swish(b) + tf.nn.leaky_relu(a) + tf.nn.elu(b) + tf.tanh(a) + tf.sigmoid(b)
    ),
    "of length one": lambda tf, a, b: tf.math.l2_normalize(a, axis=-1),
    "batch normalization": lambda tf, a, b: tf.nn.batch_normalization(a, VECTOR, VECTOR**2, VECTOR, VECTOR, 1e-3),
    "resized": lambda tf, a, b: tf.image.resize(a, (9, 5)),
    "resized, nearest": lambda tf, a, b: tf.image.resize(a, (9, 5), method="nearest"),
    "resized to another's size": lambda tf, a, b: tf.image.resize(a[:, ::2, ::2], tf.shape(b)[1:3]) + b,
    "depth to space and back": lambda tf, a, b: (
        tf.nn.space_to_depth(tf.nn.depth_to_space(a, 2), 2) + tf.nn.depth_to_space(tf.nn.space_to_depth(b, 2), 2)
    ),
    "cast": lambda tf, a, b: tf.cast(a > 0.5, tf.float32) + b,
}
# (op, attributes, constants by the place among its inputs, what it gives)
NODES: dict[str, Any] = {
    "Mul by a constant": ("Mul", {}, {1: 0.5}, lambda x: x * 0.5),
    "Sub from a constant": ("Sub", {}, {0: 1.0}, lambda x: 1.0 - x),
    "RealDiv": ("RealDiv", {}, {1: 255.0}, lambda x: x / 255.0),
    "AddV2 of a vector": ("AddV2", {}, {1: [0.5, -1.0, 2.0]}, lambda x: x + np.array([0.5, -1, 2], "f")),
    "Mean": ("Mean", {"keep_dims": True}, {1: [1, 2]}, lambda x: x.mean((1, 2), keepdims=True)),
    "Relu6": ("Relu6", {}, {}, lambda x: np.clip(x, 0, 6)),
    "ExpandDims": ("ExpandDims", {}, {1: 1}, lambda x: x[:, None]),
    "Reshape": ("Reshape", {}, {1: [-1, 20, 3]}, lambda x: x.reshape(2, 20, 3)),
    "Transpose": ("Transpose", {}, {1: [0, 3, 1, 2]}, lambda x: x.transpose(0, 3, 1, 2)),
    "StridedSlice": (
        "StridedSlice",
        {"begin_mask": 1, "end_mask": 1, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 4},
        {1: [0, 1, 2], 2: [0, 4, 3], 3: [1, 2, 1]},
        lambda x: x[:, 1:4:2, 2],
    ),
}


@pytest.mark.parametrize("kind", OPS)
def test_operations_give_what_keras_gives(kind, keras, tmp_path):
    x, b = keras.Input((6, 8, 3)), keras.Input((6, 8, 4))
    a = keras.layers.Conv2D(4, 3, padding="same")(x)
    assert_agrees(keras.Model([x, b], OPS[kind](keras.ops, a, b)), tmp_path / "model.keras")


@pytest.mark.parametrize("kind", TF)
def test_functions_give_what_tensorflow_gives(kind, tf_keras, tmp_path):
    import tensorflow as tf

    x, b = tf_keras.Input((6, 8, 3)), tf_keras.Input((6, 8, 4))
    a = tf_keras.layers.Conv2D(4, 3, padding="same")(x)
    assert_agrees(tf_keras.Model([x, b], TF[kind](tf, a, b)), tmp_path / "model.h5")


@pytest.mark.parametrize("kind", NODES)
def test_nodes_give_what_their_ops_give(kind, tf_keras, tmp_path):
    from tf_keras.src.engine.base_layer import TensorFlowOpLayer

    op, attributes, constants, formula = NODES[kind]
    x = tf_keras.Input((5, 4, 3))
    layer = TensorFlowOpLayer(node(op, attributes, constants, text=False), "node", constants)
    given = pictures(5, 4, 3)
    save(tf_keras.Model(x, layer(x)), tmp_path / "model.h5")
    np.testing.assert_allclose(outputs(tmp_path / "model.h5", [given])[0], formula(given), atol=1e-6)


def test_nodes_written_as_bytes_are_read_too(tf_keras, tmp_path):
    from onnxcam_converters.keras.nodes import node_of

    text = node("Mean", {"keep_dims": True}, {1: [1, 2]}, text=True)
    found = node_of(None, text)
    assert (found.op, found.attributes) == ("Mean", {"keep_dims": True})


def node(op: str, attributes: dict[str, Any], constants: dict[int, Any], *, text: bool) -> Any:
    """A NodeDef as Keras 2 keeps it: as JSON, or before TensorFlow 2.2 as a string of its bytes."""
    import tensorflow as tf
    from google.protobuf import json_format

    count = 1 + len(constants)
    proto = tf.compat.v1.NodeDef(name="node", op=op, input=[f"input_{i}" for i in range(count)])
    proto.attr["T"].type = tf.float32.as_datatype_enum
    for name in {"Mean": ["Tidx"], "ExpandDims": ["Tdim"], "Reshape": ["Tshape"], "Transpose": ["Tperm"]}.get(op, []):
        proto.attr[name].type = tf.int32.as_datatype_enum
    if op == "StridedSlice":
        proto.attr["Index"].type = tf.int32.as_datatype_enum
    for name, value in attributes.items():
        if isinstance(value, bool):
            proto.attr[name].b = value
        else:
            proto.attr[name].i = value
    return proto.SerializeToString().decode() if text else json_format.MessageToDict(proto)


REFUSED: dict[str, tuple[Any, str]] = {
    "over the batch": (lambda o, a: o.mean(a, axis=0), "mixes the pictures"),
    "over everything": (lambda o, a: o.sum(a), "mixes the pictures"),
    "a picture taken": (lambda o, a: a[0], "out of the batch"),
    "sorted": (lambda o, a: o.sort(a), "Sort"),
    "a function of Keras that is not covered": (lambda o, a: o.cumsum(a, axis=1), "Cumsum"),
    "average, with weights": (lambda o, a: o.average(a, axis=1, weights=a), "Average"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_understood_is_refused_by_name(kind, keras, tmp_path):
    make, why = REFUSED[kind]
    x = keras.Input((6, 8, 4))
    keras.Model(x, make(keras.ops, x)).save(tmp_path / "model.keras")
    with pytest.raises(UnsupportedLayer, match=why):
        outputs(tmp_path / "model.keras", [pictures(6, 8, 4)])


def test_an_unknown_function_of_tensorflow_is_refused_by_name(tf_keras, tmp_path):
    import tensorflow as tf

    x = tf_keras.Input((6, 8, 4))
    save(tf_keras.Model(x, tf.math.cumsum(x, axis=1)), tmp_path / "model.h5")
    with pytest.raises(UnsupportedLayer, match="cumsum"):
        outputs(tmp_path / "model.h5", [pictures(6, 8, 4)])


def test_the_batch_stays_free_behind_reshapes(keras, tmp_path):
    x = keras.Input((6, 8, 4))
    h = keras.ops.reshape(keras.ops.reshape(x, (-1, 3, 4, 4)), (-1, 6, 8, 4))
    model = keras.Model(x, keras.layers.GlobalAveragePooling2D()(h))
    model.save(tmp_path / "model.keras")
    given = np.concatenate([pictures(6, 8, 4)] * 3)
    np.testing.assert_allclose(outputs(tmp_path / "model.keras", [given])[0], given.mean((1, 2)), atol=1e-5)
