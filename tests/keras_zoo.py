"""Small Keras models, for either generation of Keras: each is split at a layer, so that a tape can look there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SIZE = 24


@dataclass(frozen=True)
class Case:
    """A model, the layer at which it is explained, and its two halves before and behind that layer."""

    name: str
    model: Any
    layer: str
    head: Callable[[Any], Any]
    tail: Callable[[Any], Any]


def chain(*layers: Any) -> Callable[[Any], Any]:
    """The layers one after the other."""

    def run(x: Any) -> Any:
        for layer in layers:
            x = layer(x)
        return x

    return run


def zoo(keras: Any) -> dict[str, Case]:
    """The models by name; weights and statistics are random."""
    makers = (sequential, nested, subclassed, with_preprocessing, with_custom_layer, with_lambda, grouped)
    cases = [make(keras) for make in makers]
    for index, case in enumerate(cases):
        shake(case.model, seed=index)
    return {case.name: case for case in cases}


def shake(model: Any, *, seed: int) -> None:
    """Random weights, so that no BatchNormalization and no bias is without effect."""
    rng = np.random.default_rng(seed)
    if not model.built:
        model(np.zeros((1, SIZE, SIZE, 3), np.float32))
    for weight in model.weights:
        name, shape = str(getattr(weight, "path", weight.name)), tuple(weight.shape)
        if "seed" in name:
            continue
        spread = rng.uniform(0.5, 1.5, shape) if "var" in name or "gamma" in name else rng.normal(0, 0.3, shape)
        weight.assign(spread.astype(np.float32))


def scale_layer(keras: Any) -> type:
    """A layer of the user's own."""

    class Scale(keras.layers.Layer):
        """Channels times learned factors, and a constant."""

        def build(self, shape: Any) -> None:
            self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")
            self.built = True

        def call(self, x: Any) -> Any:
            return x * self.factor * 1.5

    return Scale


def sequential(keras: Any) -> Case:
    layers = keras.layers
    parts = [
        layers.Conv2D(8, 3, activation="relu", name="conv2d"),
        layers.MaxPooling2D(name="pool"),
        layers.Conv2D(8, 3, activation="relu", name="conv2d_1"),
        layers.Flatten(name="flat"),
        layers.Dropout(0.5, name="drop"),
        layers.Dense(3, activation="softmax", name="out"),
    ]
    model = keras.Sequential([layers.InputLayer((SIZE, SIZE, 3)), *parts], name="seq")
    return Case("sequential", model, "conv2d_1", chain(*parts[:3]), chain(*parts[3:]))


def base_of(keras: Any) -> tuple[Any, list[Any]]:
    layers = keras.layers
    parts = [
        layers.Conv2D(8, 3, activation="relu", name="c1"),
        layers.DepthwiseConv2D(3, padding="same", name="dw"),
        layers.BatchNormalization(name="bn"),
        layers.Conv2D(12, 3, strides=2, padding="same", name="last_conv"),
        layers.ReLU(name="last_relu"),
    ]
    pictures = keras.Input((SIZE, SIZE, 3))
    return keras.Model(pictures, chain(*parts)(pictures), name="base"), parts


def nested(keras: Any) -> Case:
    layers = keras.layers
    base, parts = base_of(keras)
    tail = [layers.GlobalAveragePooling2D(name="gap"), layers.Dense(3, activation="softmax", name="out")]
    model = keras.Sequential([base, *tail], name="nested")
    return Case("nested", model, "base/last_conv", chain(*parts[:4]), chain(*parts[4:], *tail))


def subclassed(keras: Any) -> Case:
    layers = keras.layers
    parts = [
        layers.Conv2D(8, 3, activation="relu", name="c1"),
        layers.MaxPooling2D(name="pool"),
        layers.Conv2D(16, 3, activation="relu", name="c2"),
        layers.GlobalAveragePooling2D(name="gap"),
        layers.Dense(3, activation="softmax", name="out"),
    ]

    class Net(keras.Model):
        """The parts, in a model whose file has no architecture."""

        def __init__(self) -> None:
            super().__init__(name="net")
            self.parts = parts

        def call(self, x: Any) -> Any:
            return chain(*self.parts)(x)

    return Case("subclassed", Net(), "c2", chain(*parts[:3]), chain(*parts[3:]))


def with_preprocessing(keras: Any) -> Case:
    layers = keras.layers
    base, parts = base_of(keras)
    augment = [layers.RandomFlip("horizontal", name="flip"), layers.RandomRotation(0.1, name="turn")]
    rescale = layers.Rescaling(1 / 4, offset=0.5, name="rescale")
    tail = [layers.Flatten(name="flat"), layers.Dense(3, activation="softmax", name="out")]
    pictures = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(pictures, chain(*augment, rescale, base, *tail)(pictures), name="with_preprocessing")
    return Case("with_preprocessing", model, "base/last_relu", chain(rescale, *parts), chain(*tail))


def with_custom_layer(keras: Any) -> Case:
    layers = keras.layers
    parts = [
        layers.Conv2D(8, 3, activation="relu", name="first"),
        scale_layer(keras)(name="scale"),
        layers.SeparableConv2D(8, 3, name="sep"),
        layers.Flatten(name="flat"),
        layers.Dense(3, activation="softmax", name="out"),
    ]
    pictures = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(pictures, chain(*parts)(pictures), name="with_custom_layer")
    return Case("with_custom_layer", model, "scale", chain(*parts[:2]), chain(*parts[2:]))


def with_lambda(keras: Any) -> Case:
    layers = keras.layers
    parts = [
        layers.Conv2D(8, 3, activation="relu", name="first"),
        layers.Lambda(lambda x: x * x + 1.0, name="square"),
        layers.GlobalAveragePooling2D(name="gap"),
        layers.Dense(3, activation="softmax", name="out"),
    ]
    pictures = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(pictures, chain(*parts)(pictures), name="with_lambda")
    return Case("with_lambda", model, "square", chain(*parts[:2]), chain(*parts[2:]))


def grouped(keras: Any) -> Case:
    """A grouped convolution, which Keras 3 compiles by itself, called twice; gelu, which is made of Erfc."""
    layers = keras.layers
    shared = layers.Conv2D(3, 3, padding="same", groups=3, activation="gelu", name="shared")
    own = scale_layer(keras)(name="scale")
    tail = [layers.GlobalAveragePooling2D(name="gap"), layers.Dense(3, activation="softmax", name="out")]
    pictures = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(pictures, chain(shared, shared, own, *tail)(pictures), name="grouped")
    return Case("grouped", model, "shared", shared, chain(shared, own, *tail))
