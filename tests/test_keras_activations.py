"""Activations of the direct reader against Keras 3 and tf_keras, and where they have none against their formulae."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras_rows import assert_agrees

from onnxcam.errors import UnsupportedLayer

NAMES = (
    "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid "
    "log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid "
    "squareplus swish tanh tanh_shrink hard_swish"
).split()
OLD_NAMES = (
    "elu exponential gelu hard_sigmoid linear mish relu selu sigmoid softmax softplus softsign swish tanh relu6 "
    "leaky_relu log_softmax silu"
).split()
LAYERS: dict[str, Any] = {
    "ReLU": lambda k: k.layers.ReLU(),
    "ReLU, up to a maximum": lambda k: k.layers.ReLU(max_value=2.0),
    "ReLU6": lambda k: k.layers.ReLU(6.0),
    "ReLU, slope, maximum and threshold": lambda k: k.layers.ReLU(2.0, negative_slope=0.1, threshold=0.5),
    "ReLU, slope": lambda k: k.layers.ReLU(negative_slope=0.25),
    "ReLU, threshold and slope": lambda k: k.layers.ReLU(negative_slope=0.25, threshold=1.5),
    "LeakyReLU": lambda k: k.layers.LeakyReLU(),
    "LeakyReLU, slope": lambda k: k.layers.LeakyReLU(0.05),
    "ELU": lambda k: k.layers.ELU(0.7),
    "PReLU": lambda k: k.layers.PReLU(alpha_initializer="random_normal"),
    "PReLU, shared over the picture": lambda k: k.layers.PReLU("random_normal", shared_axes=[1, 2]),
    "PReLU, one for all": lambda k: k.layers.PReLU("random_normal", shared_axes=[1, 2, 3]),
    "Softmax": lambda k: k.layers.Softmax(),
    "Softmax over rows": lambda k: k.layers.Softmax(axis=1),
    "Softmax over the picture": lambda k: k.layers.Softmax(axis=[1, 2]),
}


def test_every_name_gives_what_keras_gives(keras, tmp_path):
    x = keras.Input((5, 7, 4))
    model = keras.Model(x, [keras.layers.Activation(name)(x) for name in NAMES])
    assert_agrees(model, tmp_path / "model.keras")


def test_every_name_gives_what_keras_2_gives(tf_keras, tmp_path):
    x = tf_keras.Input((5, 7, 4))
    model = tf_keras.Model(x, [tf_keras.layers.Activation(name)(x) for name in OLD_NAMES])
    assert_agrees(model, tmp_path / "model.h5")


def test_activations_of_layers_are_read_where_channels_were_moved(keras, tmp_path):
    x = keras.Input((5, 7, 3))
    h = keras.layers.Conv2D(4, 3, activation="softmax")(x)
    model = keras.Model(x, [keras.layers.Activation(name)(h) for name in ("glu", "softmax", "log_softmax")])
    assert_agrees(model, tmp_path / "model.keras")


def test_hard_sigmoid_is_steeper_before_keras_3(keras, tf_keras, tmp_path):
    for module, name in ((keras, "three.keras"), (tf_keras, "two.h5")):
        x = module.Input((9,))
        grid = np.linspace(-4, 4, 18, dtype=np.float32).reshape(2, 9)
        assert_agrees(module.Model(x, module.layers.Activation("hard_sigmoid")(x)), tmp_path / name, [grid])


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_give_what_keras_gives(kind, keras, tmp_path):
    x = keras.Input((5, 7, 4))
    assert_agrees(keras.Model(x, LAYERS[kind](keras)(x)), tmp_path / "model.keras")


def test_layers_give_what_keras_2_gives(tf_keras, tmp_path):
    x = tf_keras.Input((5, 7, 4))
    extra = [tf_keras.layers.ThresholdedReLU(0.8)]
    layers = [make(tf_keras) for make in LAYERS.values()] + extra
    assert_agrees(tf_keras.Model(x, [layer(x) for layer in layers]), tmp_path / "model.h5")
    assert_agrees(tf_keras.Model(x, [layer(x) for layer in layers]), tmp_path / "model.keras")


def test_slopes_of_prelu_follow_channels_that_were_moved(keras, tmp_path):
    x = keras.Input((6, 5, 3))
    h = keras.layers.PReLU("random_normal")(keras.layers.Conv2D(4, 3)(x))
    assert_agrees(keras.Model(x, h), tmp_path / "model.keras")


def test_an_activation_layer_stands_for_a_function(keras, tmp_path):
    x = keras.Input((6,))
    layer = keras.layers.Dense(4, activation=keras.layers.LeakyReLU(0.1))
    assert_agrees(keras.Model(x, layer(x)), tmp_path / "model.keras")


def test_sparsemax_is_refused_since_keras_does_not_compute_what_its_paper_says(keras, tmp_path):
    x = keras.Input((6,))
    with pytest.raises(UnsupportedLayer, match="sparsemax"):
        assert_agrees(keras.Model(x, keras.layers.Activation("sparsemax")(x)), tmp_path / "model.keras")


def test_functions_of_the_author_are_refused_by_name(keras, tmp_path):
    @keras.saving.register_keras_serializable(package="tests")
    def wobble(x: Any) -> Any:
        return x * 2

    x = keras.Input((6,))
    with pytest.raises(UnsupportedLayer, match="wobble"):
        assert_agrees(keras.Model(x, keras.layers.Activation(wobble)(x)), tmp_path / "model.keras")
