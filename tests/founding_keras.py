"""The founding cases in Keras: nets as their texts have them, trained here on pictures made here, and saved as then."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from founding import as_caffe, flower, library, pet


def saved(model: Any, path: Path) -> Path:
    """The path, after Keras has written the model there; that .h5 is a legacy format it need not say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


@cache
def dogs_vs_cats() -> Any:
    """Four convolutions with a pool each, one sigmoid: Keras 2, trained until it knows a dog."""
    keras = library("tf_keras")
    layers = keras.layers
    keras.utils.set_random_seed(0)
    net = keras.Sequential([layers.Input((150, 150, 3), name="conv2d_1_input")], name="sequential_1")
    for number, channels in enumerate((32, 64, 128, 128), start=1):
        net.add(layers.Conv2D(channels, 3, activation="relu", name=f"conv2d_{number}"))
        net.add(layers.MaxPooling2D(name=f"max_pooling2d_{number}"))
    net.add(layers.Flatten(name="flatten_1"))
    net.add(layers.Dropout(0.5, name="dropout_1"))
    net.add(layers.Dense(512, activation="relu", name="dense_1"))
    net.add(layers.Dense(1, activation="sigmoid", name="dense_2"))
    net.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    rng = np.random.default_rng(0)
    for _ in range(20):
        are_dogs = rng.integers(0, 2, 8)
        pets = [pet(rng, is_dog=bool(is_dog)).image for is_dog in are_dogs]
        net.train_on_batch(np.stack(pets) / np.float32(255), are_dogs.astype(np.float32))
    return net


@cache
def flowers() -> Any:
    """Separable convolutions with batch normalisation, five classes: Keras 2, trained until the softmax saturates."""
    keras = library("tf_keras")
    layers = keras.layers
    keras.utils.set_random_seed(0)
    net = keras.Sequential([layers.Input((64, 64, 3), name="separable_conv2d_1_input")], name="sequential_1")
    for number, channels in enumerate((16, 16, 32, 32, 64, 64), start=1):
        name = f"separable_conv2d_{number}"
        net.add(layers.SeparableConv2D(channels, 3, padding="same", activation="relu", name=name))
        net.add(layers.BatchNormalization(momentum=0.8, name=f"batch_normalization_{number}"))
        if number % 2 == 0:
            net.add(layers.MaxPooling2D(name=f"max_pooling2d_{number // 2}"))
    net.add(layers.Flatten(name="flatten_1"))
    net.add(layers.Dense(64, activation="relu", name="dense_1"))
    net.add(layers.Dropout(0.5, name="dropout_1"))
    net.add(layers.Dense(5, activation="softmax", name="dense_2"))
    rng = np.random.default_rng(0)
    _train_on_flowers(keras, net, rng, rate=1e-2, steps=40)
    for layer in net.layers[:-1]:
        layer.trainable = False
    _train_on_flowers(keras, net, rng, rate=1.0, steps=10)  # logits hundreds apart: the softmax is 1 and 0
    return net


def _train_on_flowers(keras: Any, net: Any, rng: np.random.Generator, *, rate: float, steps: int) -> None:
    net.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    for _ in range(steps):
        kinds = rng.integers(0, 5, 16)
        net.train_on_batch(np.stack([as_caffe(flower(rng, int(kind)).image) for kind in kinds]), kinds)


@cache
def efficientnet(kind: str) -> Any:
    """EfficientNetB0 for 64 x 64 and three classes, of `keras` or `tf_keras`; batch normalisation knows its data."""
    keras = library(kind)
    keras.utils.set_random_seed(0)
    base = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(64, 64, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    net = keras.Model(base.input, keras.layers.Dense(3, activation="softmax")(pooled))
    known = [layer for layer in net.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momentum = [layer.momentum for layer in known]
    for layer in known:
        layer.momentum = 0.0
    rng = np.random.default_rng(0)
    net(np.stack([flower(rng, n % 5).image for n in range(16)]).astype(np.float32), training=True)
    for layer, was in zip(known, momentum, strict=True):
        layer.momentum = was
    return net


@cache
def vgg16() -> Any:
    """VGG16 for 64 x 64 and ten classes, of today's Keras."""
    keras = library("keras")
    keras.utils.set_random_seed(0)
    return keras.applications.VGG16(weights=None, input_shape=(64, 64, 3), classes=10)
