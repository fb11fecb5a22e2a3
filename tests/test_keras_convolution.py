"""Convolutions, pools, batch normalisation and dense layers, saved by Keras 3 and by tf_keras and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_models import FORMATS, Net, check, each

LINE, PICTURE, BODY = ((9, 4),), ((9, 8, 4),), ((5, 6, 5, 4),)
FREE = ((None, None, 4),)
KERAS_3 = ("keras",)


def one(kind: str, *args: Any, **options: Any) -> Any:
    """A net of one layer."""
    return lambda layers, x: getattr(layers, kind)(*args, **options)(x)


def twice(kind: str, **options: Any) -> Any:
    """A net in which the layer comes after a convolution, channels in front."""
    return lambda layers, x: getattr(layers, kind)(**options)(layers.Conv2D(4, 1)(x))


def pool(kind: str, **options: Any) -> Any:
    return one(kind, 3, **options)


NETS = [
    Net("Conv1D", one("Conv1D", 5, 3, activation="relu"), LINE),
    Net("Conv1D, causal, dilated", one("Conv1D", 5, 3, padding="causal", dilation_rate=2), LINE),
    Net("Conv1D, SAME, stride 2", one("Conv1D", 5, 4, padding="same", strides=2), LINE),
    Net("Conv2D", one("Conv2D", 5, 3, use_bias=False), PICTURE),
    Net("Conv2D, uneven window", one("Conv2D", 5, (2, 5), padding="same"), PICTURE),
    Net("Conv2D, SAME, uneven strides", one("Conv2D", 5, (4, 3), padding="same", strides=(3, 2)), PICTURE),
    Net("Conv2D, dilated", one("Conv2D", 5, 3, padding="same", dilation_rate=(2, 1)), PICTURE),
    Net("Conv2D, groups", one("Conv2D", 6, 3, groups=2), PICTURE, KERAS_3),
    Net("Conv2D, SAME, stride 2, any size", one("Conv2D", 5, 3, padding="same", strides=2), FREE),
    Net("Conv3D", one("Conv3D", 3, 3, padding="same", strides=2), BODY),
    Net("Conv1DTranspose", one("Conv1DTranspose", 5, 3, strides=2, padding="same"), LINE),
    Net("Conv2DTranspose, SAME", one("Conv2DTranspose", 5, 3, strides=2, padding="same"), PICTURE),
    Net("Conv2DTranspose, VALID", one("Conv2DTranspose", 5, 3, strides=2, activation="relu"), PICTURE),
    Net("Conv2DTranspose, window 4", one("Conv2DTranspose", 5, 4, strides=2, padding="same"), PICTURE),
    Net("Conv2DTranspose, gaps", one("Conv2DTranspose", 5, 2, strides=3, padding="same"), PICTURE),
    Net("Conv2DTranspose, gaps, VALID", one("Conv2DTranspose", 5, 2, strides=3), PICTURE),
    Net("Conv2DTranspose, more", one("Conv2DTranspose", 5, 3, strides=2, padding="same", output_padding=1), PICTURE),
    Net("Conv2DTranspose, more, VALID", one("Conv2DTranspose", 5, 3, strides=2, output_padding=1), PICTURE),
    Net("Conv3DTranspose", one("Conv3DTranspose", 3, 3, strides=2, padding="same"), BODY),
    Net("SeparableConv1D", one("SeparableConv1D", 5, 3, padding="same", depth_multiplier=2), LINE),
    Net("SeparableConv2D", one("SeparableConv2D", 5, 3, padding="same", strides=2, depth_multiplier=2), PICTURE),
    Net("SeparableConv2D, dilated", one("SeparableConv2D", 5, 3, dilation_rate=2, activation="tanh"), PICTURE),
    Net("DepthwiseConv1D", one("DepthwiseConv1D", 3, padding="same", depth_multiplier=2), LINE),
    Net("DepthwiseConv2D", one("DepthwiseConv2D", 3, padding="same", depth_multiplier=3, strides=2), PICTURE),
    Net("MaxPooling1D", pool("MaxPooling1D", padding="same", strides=2), LINE),
    Net("MaxPooling2D", pool("MaxPooling2D"), PICTURE),
    Net("MaxPooling2D, SAME", pool("MaxPooling2D", padding="same", strides=2), PICTURE),
    Net("MaxPooling2D, SAME, any size", pool("MaxPooling2D", padding="same", strides=2), FREE),
    Net("MaxPooling3D", pool("MaxPooling3D", padding="same", strides=1), BODY),
    Net("AveragePooling1D", pool("AveragePooling1D", padding="same"), LINE),
    Net("AveragePooling2D, SAME", pool("AveragePooling2D", padding="same", strides=2), PICTURE),
    Net("AveragePooling2D, SAME, any size", pool("AveragePooling2D", padding="same", strides=2), FREE),
    Net("AveragePooling3D", pool("AveragePooling3D"), BODY),
    Net("GlobalAveragePooling1D", one("GlobalAveragePooling1D"), LINE),
    Net("GlobalAveragePooling2D", twice("GlobalAveragePooling2D"), PICTURE),
    Net("GlobalAveragePooling2D, kept", one("GlobalAveragePooling2D", keepdims=True), PICTURE),
    Net("GlobalAveragePooling3D", one("GlobalAveragePooling3D"), BODY),
    Net("GlobalMaxPooling1D", one("GlobalMaxPooling1D", keepdims=True), LINE),
    Net("GlobalMaxPooling2D", one("GlobalMaxPooling2D"), PICTURE),
    Net("AdaptiveAveragePooling2D", one("AdaptiveAveragePooling2D", (4, 3)), PICTURE, KERAS_3),
    Net("BatchNormalization", one("BatchNormalization"), PICTURE),
    Net("BatchNormalization, moved", twice("BatchNormalization", scale=False), PICTURE),
    Net("BatchNormalization, no β", one("BatchNormalization", center=False, epsilon=0.1), LINE),
    Net("BatchNormalization, rows", twice("BatchNormalization", axis=1), PICTURE),
    Net("BatchNormalization, columns", twice("BatchNormalization", axis=2), PICTURE),
    Net("BatchNormalization, vectors", one("BatchNormalization"), ((5,),)),
    Net("Dense, vectors", one("Dense", 3, activation="softmax"), ((5,),)),
    Net("Dense, sequences", one("Dense", 3), LINE),
    Net("Dense, pictures", twice("Dense", units=3, activation="relu"), PICTURE),
    Net("Dense, bodies", one("Dense", 3), BODY),
    Net("Flatten", twice("Flatten"), PICTURE),
    Net("Flatten, channels first", twice("Flatten", data_format="channels_first"), PICTURE),
]


@each(NETS)
def test_a_layer_gives_what_keras_gives(net: Net, era: str, tmp_path: Path) -> None:
    check(net, era, tmp_path, suffix=FORMATS[sum(map(ord, net.name)) % 2])
