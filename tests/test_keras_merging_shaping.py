"""Layers of the direct reader that join, reorder, cut, pad, resize and scale, against Keras 3 and tf_keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras_rows import assert_agrees, outputs, pictures

from onnxcam.errors import UnsupportedLayer

# From the module and tensors (N, 6, 8, 4), two of them from a convolution, to what is compared.
MERGES: dict[str, Any] = {
    "Add": lambda k, a, b: k.layers.Add()([a, b, a]),
    "Subtract": lambda k, a, b: k.layers.Subtract()([a, b]),
    "Multiply": lambda k, a, b: k.layers.Multiply()([a, b]),
    "Average": lambda k, a, b: k.layers.Average()([a, b, b]),
    "Maximum": lambda k, a, b: k.layers.Maximum()([a, b]),
    "Minimum": lambda k, a, b: k.layers.Minimum()([a, b]),
    "Multiply, weights of channels (N, 1, 1, C)": lambda k, a, b: k.layers.Multiply()([a, squeezed(k, b)]),
    "Multiply, weights of channels (N, C)": lambda k, a, b: k.layers.Multiply()([k.layers.GlobalMaxPooling2D()(b), a]),
    "Add, of rows (N, W, C)": lambda k, a, b: k.layers.Add()(
        [a, k.layers.Reshape((8, 4))(k.layers.Cropping2D(((1, 4), 0))(b))]
    ),
    "Add, what was reordered": lambda k, a, b: k.layers.Add()([a, k.layers.Reshape((6, 8, 4))(k.layers.Flatten()(b))]),
    "Concatenate": lambda k, a, b: k.layers.Concatenate()([a, b]),
    "Concatenate, rows": lambda k, a, b: k.layers.Concatenate(axis=1)([a, b, a]),
    "Concatenate, columns, counted from behind": lambda k, a, b: k.layers.Concatenate(axis=-2)([a, b]),
    "Concatenate, what was reordered": lambda k, a, b: k.layers.Concatenate()(
        [k.layers.Reshape((6, 8, 4))(k.layers.Permute((3, 1, 2))(a)), b]
    ),
    "Concatenate, vectors": lambda k, a, b: k.layers.Concatenate()([k.layers.Flatten()(a), k.layers.Flatten()(b)]),
    "Dot, vectors": lambda k, a, b: k.layers.Dot(axes=1)([k.layers.Flatten()(a), k.layers.Flatten()(b)]),
    "Dot, cosine": lambda k, a, b: k.layers.Dot(axes=-1, normalize=True)(
        [k.layers.Flatten()(a), k.layers.Flatten()(b)]
    ),
    "Dot, tokens": lambda k, a, b: k.layers.Dot(axes=(2, 2))(
        [k.layers.Reshape((48, 4))(a), k.layers.Reshape((48, 4))(b)]
    ),
    "Dot, tokens and a vector": lambda k, a, b: k.layers.Dot(axes=(2, 1))(
        [k.layers.Reshape((48, 4))(a), k.layers.GlobalMaxPooling2D()(b)]
    ),
    "Dot, pictures": lambda k, a, b: k.layers.Dot(axes=(1, 2))([a, k.layers.Reshape((8, 6, 4))(b)]),
}
SHAPES: dict[str, Any] = {
    "Flatten": lambda k: k.layers.Flatten(),
    "Flatten, channels first": lambda k: k.layers.Flatten(data_format="channels_first"),
    "Reshape": lambda k: k.layers.Reshape((16, 12)),
    "Reshape, length left open": lambda k: k.layers.Reshape((8, -1, 2)),
    "Reshape to tokens": lambda k: k.layers.Reshape((-1, 4)),
    "Reshape to one pixel": lambda k: k.layers.Reshape((1, 1, 192)),
    "Permute": lambda k: k.layers.Permute((2, 3, 1)),
    "Permute, channels first": lambda k: k.layers.Permute((3, 1, 2)),
    "Cropping2D": lambda k: k.layers.Cropping2D(((1, 2), (3, 0))),
    "Cropping2D, a number": lambda k: k.layers.Cropping2D(2),
    "Cropping2D, two numbers": lambda k: k.layers.Cropping2D((1, 2)),
    "Cropping2D, channels first": lambda k: k.layers.Cropping2D(((1, 2), (0, 1)), data_format="channels_first"),
    "ZeroPadding2D": lambda k: k.layers.ZeroPadding2D(((0, 1), (2, 3))),
    "ZeroPadding2D, channels first": lambda k: k.layers.ZeroPadding2D(((0, 1), (2, 3)), data_format="channels_first"),
    "ZeroPadding2D before MaxPooling2D": lambda k: k.Sequential(
        [k.layers.ZeroPadding2D(1), k.layers.MaxPooling2D(3, 2)]
    ),
    "UpSampling2D": lambda k: k.layers.UpSampling2D((2, 3)),
    "UpSampling2D, channels first": lambda k: k.layers.UpSampling2D((2, 3), data_format="channels_first"),
    **{
        f"UpSampling2D, {name}": lambda k, name=name: k.layers.UpSampling2D((2, 3), interpolation=name)
        for name in ("bilinear", "bicubic", "lanczos3", "lanczos5")
    },
    "SpatialDropout2D": lambda k: k.layers.SpatialDropout2D(0.5),
    "Rescaling": lambda k: k.layers.Rescaling(1 / 127.5, offset=-1),
    "Rescaling, of channels": lambda k: k.layers.Rescaling([0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]),
    "Normalization, given": lambda k: k.layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 0.0, 4.0]),
    "Normalization, one number": lambda k: k.layers.Normalization(axis=None, mean=0.5, variance=2.0),
    "Normalization, the way back": lambda k: k.layers.Normalization(
        mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 3.0, 4.0], invert=True
    ),
    "Resizing": lambda k: k.layers.Resizing(9, 5),
    "Resizing, the same": lambda k: k.layers.Resizing(6, 8),
    "Resizing, twice as large": lambda k: k.layers.Resizing(12, 16),
    **{
        f"Resizing, {name}": lambda k, name=name: k.layers.Resizing(7, 5, interpolation=name)
        for name in ("nearest", "bicubic", "lanczos3", "lanczos5")
    },
    "Resizing, cut to proportion": lambda k: k.layers.Resizing(5, 5, crop_to_aspect_ratio=True),
    "CenterCrop": lambda k: k.layers.CenterCrop(3, 5),
    "CenterCrop, enlarged": lambda k: k.layers.CenterCrop(9, 5),
}
OLD_SHAPES: dict[str, Any] = {
    **{
        f"Resizing, {name}": lambda k, name=name: k.layers.Resizing(9, 5, interpolation=name)
        for name in ("area", "gaussian", "mitchellcubic")
    },
    **{
        f"UpSampling2D, {name}": lambda k, name=name: k.layers.UpSampling2D((2, 3), interpolation=name)
        for name in ("area", "gaussian", "mitchellcubic")
    },
    "RandomCrop": lambda k: k.layers.RandomCrop(4, 4),
    "RandomHeight": lambda k: k.layers.RandomHeight(0.3),
    "RandomWidth": lambda k: k.layers.RandomWidth(0.3),
}
NEW_SHAPES: dict[str, Any] = {
    **{
        f"Resizing, {name}, antialias": lambda k, name=name: k.layers.Resizing(3, 5, interpolation=name, antialias=True)
        for name in ("nearest", "bilinear", "bicubic", "lanczos3")
    },
    "Resizing, channels first": lambda k: k.layers.Resizing(9, 5, data_format="channels_first"),
    "Resizing, padded to proportion": lambda k: k.layers.Resizing(
        12, 9, pad_to_aspect_ratio=True, fill_value=2.0, antialias=True
    ),
    "CenterCrop, channels first": lambda k: k.layers.CenterCrop(3, 2, data_format="channels_first"),
    "RandomCrop, of that size": lambda k: k.layers.RandomCrop(6, 8),
    "AutoContrast": lambda k: k.layers.AutoContrast(value_range=(-1, 3)),
    "Permute of Normalization": lambda k: k.layers.Normalization(
        axis=(1, 3), mean=np.ones((6, 4), "f"), variance=np.full((6, 4), 3.0, "f")
    ),
}
LENGTHS: dict[str, Any] = {
    "Cropping1D": lambda k: k.layers.Cropping1D((1, 2)),
    "ZeroPadding1D": lambda k: k.layers.ZeroPadding1D((2, 1)),
    "UpSampling1D": lambda k: k.layers.UpSampling1D(3),
    "Permute": lambda k: k.layers.Permute((2, 1)),
}
VOLUMES: dict[str, Any] = {
    "Cropping3D": lambda k: k.layers.Cropping3D(((1, 0), (1, 1), (0, 2))),
    "ZeroPadding3D": lambda k: k.layers.ZeroPadding3D(((1, 0), (1, 1), (0, 2))),
    "UpSampling3D": lambda k: k.layers.UpSampling3D((1, 2, 3)),
    "UpSampling3D, channels first": lambda k: k.layers.UpSampling3D((1, 2, 3), data_format="channels_first"),
    "Flatten": lambda k: k.layers.Flatten(),
}
IDENTITIES = (
    "RandomBrightness(0.2) RandomContrast(0.2) RandomFlip() RandomRotation(0.2) RandomTranslation(0.2,0.2) "
    "RandomZoom(0.2) GaussianNoise(0.2) GaussianDropout(0.2) AlphaDropout(0.2) Dropout(0.2) AugMix() RandAugment() "
    "CutMix() MixUp() "
    "Equalization() Solarization(0.2,0.2) RandomColorDegeneration(0.2) RandomColorJitter() RandomErasing(0.2) "
    "RandomGaussianBlur() RandomGrayscale() RandomHue(0.2) RandomInvert() RandomPerspective() RandomPosterization(2) "
    "RandomSaturation(0.2) RandomSharpness(0.2) RandomShear(0.2) RandomElasticTransform()"
).split()


def squeezed(k: Any, x: Any) -> Any:
    return k.layers.GlobalAveragePooling2D(keepdims=True)(x)


def joined(k: Any, rows: dict[str, Any], shape: tuple[int, ...], *, through: Any = None) -> Any:
    """A model that applies every row to its input, or to what a layer makes of that."""
    x = k.Input(shape)
    h = through(x) if through else x
    return k.Model(x, [make(k)(h) for make in rows.values()])


@pytest.mark.parametrize("kind", MERGES)
def test_merging_gives_what_keras_gives(kind, keras, tmp_path):
    x, y = keras.Input((6, 8, 3)), keras.Input((6, 8, 4))
    merged = MERGES[kind](keras, keras.layers.Conv2D(4, 3, padding="same")(x), y)
    assert_agrees(keras.Model([x, y], [merged, keras.layers.ReLU()(merged)]), tmp_path / "model.keras")


def test_merging_gives_what_keras_2_gives(tf_keras, tmp_path):
    x, y = tf_keras.Input((6, 8, 3)), tf_keras.Input((6, 8, 4))
    h = tf_keras.layers.Conv2D(4, 3, padding="same")(x)
    # Elementwise layers of tf_keras do not take tensors of several ranks from files of Keras 2.
    model = tf_keras.Model([x, y], [make(tf_keras, h, y) for make in MERGES.values()])
    assert_agrees(model, tmp_path / "model.h5")


@pytest.mark.parametrize("kind", SHAPES | NEW_SHAPES)
def test_shaping_gives_what_keras_gives(kind, keras, tmp_path):
    row = (SHAPES | NEW_SHAPES)[kind]
    assert_agrees(joined(keras, {kind: row}, (6, 8, 4)), tmp_path / "model.keras")


def test_shaping_gives_what_keras_2_gives(tf_keras, tmp_path):
    rows = {kind: row for kind, row in (SHAPES | OLD_SHAPES).items() if "channels first" not in kind}
    assert_agrees(joined(tf_keras, rows, (6, 8, 4)), tmp_path / "model.h5")


def test_shaping_behind_a_convolution_knows_where_the_channels_lie(keras, tmp_path):
    conv = keras.layers.Conv2D(4, 3, padding="same")
    rows = {kind: row for kind, row in (SHAPES | NEW_SHAPES).items() if "channels first" not in kind}
    assert_agrees(joined(keras, rows, (6, 8, 3), through=conv), tmp_path / "model.keras")


def test_sequences_and_volumes_too(keras, tmp_path):
    assert_agrees(joined(keras, LENGTHS, (9, 5)), tmp_path / "lengths.keras")
    assert_agrees(joined(keras, VOLUMES, (4, 5, 3, 2)), tmp_path / "volumes.keras")
    vector = keras.Input((5,))
    assert_agrees(keras.Model(vector, keras.layers.RepeatVector(3)(vector)), tmp_path / "repeated.keras")


def test_open_sizes_stay_open(keras, tmp_path):
    x = keras.Input((None, None, 3))
    layers = [
        keras.layers.Resizing(6, 5),
        keras.layers.Resizing(6, 5, interpolation="nearest"),
        keras.layers.UpSampling2D(2, interpolation="bilinear"),
        keras.layers.UpSampling2D(3),
        keras.layers.ZeroPadding2D(1),
        keras.layers.Cropping2D(1),
        keras.layers.Reshape((-1, 3)),
        keras.layers.Rescaling(2.0),
    ]
    assert_agrees(keras.Model(x, [layer(x) for layer in layers]), tmp_path / "model.keras", [pictures(11, 9, 3)])


def test_bicubic_to_an_open_size_is_refused(keras, tmp_path):
    x = keras.Input((None, None, 3))
    with pytest.raises(UnsupportedLayer, match="leaves open"):
        assert_agrees(keras.Model(x, keras.layers.Resizing(6, 5, "bicubic")(x)), tmp_path / "model.keras")


@pytest.mark.parametrize("module", ["keras", "tf_keras"])
def test_adapted_normalization_keeps_what_it_learned(module, tmp_path, request):
    k = request.getfixturevalue(module)
    layer = k.layers.Normalization()
    layer.adapt(pictures(6, 8, 3, seed=5) * 4 + 1)
    x = k.Input((6, 8, 3))
    h = k.layers.Conv2D(3, 1)(layer(x))
    assert_agrees(k.Model(x, layer(h)), tmp_path / ("model.keras" if module == "keras" else "model.h5"))


@pytest.mark.parametrize("spec", IDENTITIES)
def test_augmentation_leaves_pictures_alone(spec, keras, tmp_path):
    layer = eval(f"layers.{spec}", {"layers": keras.layers})
    given = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    x = keras.Input((8, 8, 3))
    assert_agrees(keras.Model(x, keras.layers.Rescaling(2.0)(layer(x))), tmp_path / "model.keras", [given])


def test_clahe_is_not_random_and_refused(keras, tmp_path):
    x = keras.Input((8, 8, 3))
    layer = keras.layers.ContrastLimitedAdaptiveHistogramEqualization()
    with pytest.raises(UnsupportedLayer, match="ContrastLimited"):
        assert_agrees(keras.Model(x, layer(x)), tmp_path / "model.keras")


def test_random_crops_of_keras_3_to_another_size_are_refused(keras, tmp_path):
    x = keras.Input((8, 8, 3))
    keras.Model(x, keras.layers.RandomCrop(4, 4)(x)).save(tmp_path / "model.keras")
    with pytest.raises(UnsupportedLayer, match="versions of Keras 3"):
        outputs(tmp_path / "model.keras", [pictures(8, 8, 3)])
