"""Normalising layers of Keras files, and those around other layers, against Keras itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from keras_models import Net, check, each, keras_of

from onnxcam.errors import UnsupportedLayer

KERAS_3 = ("keras",)
NETS = [
    Net("LayerNormalization of pictures", lambda L, x: L.LayerNormalization()(L.Conv2D(4, 3)(x)), ((8, 8, 3),)),
    Net("LayerNormalization of tokens", lambda L, x: L.LayerNormalization(epsilon=1e-6)(x), ((5, 8),)),
    Net("LayerNormalization of vectors", lambda L, x: L.LayerNormalization(center=False)(x), ((8,),)),
    Net("LayerNormalization, no weights", lambda L, x: L.LayerNormalization(center=False, scale=False)(x), ((5, 8),)),
    Net("LayerNormalization, axis 1", lambda L, x: L.LayerNormalization(axis=1)(L.Conv2D(4, 3)(x)), ((8, 8, 3),)),
    Net("LayerNormalization, axes 2, 3", lambda L, x: L.LayerNormalization(axis=[2, 3])(x), ((6, 7, 3),)),
    Net("LayerNormalization, axes 1, 3", lambda L, x: L.LayerNormalization(axis=[1, 3])(x), ((6, 7, 3),)),
    Net("RMSNormalization", lambda L, x: L.RMSNormalization()(L.Conv2D(4, 3)(x)), ((8, 8, 3),), KERAS_3),
    Net("RMSNormalization, axes 2, 3", lambda L, x: L.RMSNormalization(axis=[2, 3])(x), ((6, 7, 3),), KERAS_3),
    Net("GroupNormalization", lambda L, x: L.GroupNormalization(2)(L.Conv2D(4, 3)(x)), ((8, 8, 3),)),
    Net("GroupNormalization, open size", lambda L, x: L.GroupNormalization(2)(L.Conv2D(4, 3)(x)), ((None, None, 3),)),
    Net("GroupNormalization, one a channel", lambda L, x: L.GroupNormalization(-1)(x), ((8, 8, 3),)),
    Net("GroupNormalization, axis 1", lambda L, x: L.GroupNormalization(2, axis=1, center=False)(x), ((6, 7, 3),)),
    Net("GroupNormalization of tokens", lambda L, x: L.GroupNormalization(4, scale=False)(x), ((5, 8),)),
    Net("UnitNormalization", lambda L, x: L.UnitNormalization()(x), ((6, 7, 3),)),
    Net("UnitNormalization, axes 1, 2", lambda L, x: L.UnitNormalization(axis=[1, 2])(L.Conv2D(4, 3)(x)), ((8, 8, 3),)),
    Net("TimeDistributed Dense", lambda L, x: L.TimeDistributed(L.Dense(4))(x), ((5, 3),)),
    Net("TimeDistributed Dense, open", lambda L, x: L.TimeDistributed(L.Dense(4))(x), ((None, 3),)),
    Net(
        "TimeDistributed pictures",
        lambda L, x: L.TimeDistributed(L.GlobalAveragePooling2D())(
            L.TimeDistributed(L.MaxPooling2D())(L.TimeDistributed(L.Conv2D(4, 3, activation="relu"))(x))
        ),
        ((5, 8, 8, 3),),
    ),
    Net(
        "TimeDistributed, kept in pictures",
        lambda L, x: L.Flatten()(L.TimeDistributed(L.Conv2D(4, 3, padding="same"))(x)),
        ((5, 6, 7, 3),),
    ),
]


@each(NETS)
def test_a_keras_file_gives_what_keras_predicts(net: Net, era: str, tmp_path: Path):
    check(net, era, tmp_path)


@each([net for net in NETS if "axes 1, 3" in net.name or "TimeDistributed p" in net.name])
def test_so_does_an_h5_file(net: Net, era: str, tmp_path: Path):
    check(net, era, tmp_path, suffix=".h5")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("era", ["keras", "tf_keras"])
def test_a_model_within_time_distributed_is_called_on_every_step(era: str, suffix: str, tmp_path: Path):
    models = keras_of(era)

    def build(L, x):
        inner = models.Sequential(
            [L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(), L.GlobalMaxPooling2D(), L.Dense(3)]
        )
        return L.LSTM(4)(L.TimeDistributed(inner)(x))

    check(Net("nested", build, ((4, 8, 8, 3),)), era, tmp_path, suffix=suffix)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_spectral_normalization_is_its_layer_at_inference(suffix: str, tmp_path: Path):
    def build(L, x):
        return L.SpectralNormalization(L.Dense(4))(L.SpectralNormalization(L.Conv2D(5, 3))(x))

    check(Net("spectral", build, ((8, 8, 3),), KERAS_3), "keras", tmp_path, suffix=suffix)


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")
def test_the_deprecated_rms_scaling_is_computed_as_keras_does(tmp_path: Path):
    net = Net("rms", lambda L, x: L.LayerNormalization(rms_scaling=True)(x), ((5, 8),))
    check(net, "keras", tmp_path)


def test_rms_normalization_over_an_axis_that_keras_itself_mixes_up_is_refused(tmp_path: Path):
    net = Net("rms", lambda L, x: L.RMSNormalization(axis=1)(x), ((4, 4),))
    with pytest.raises(UnsupportedLayer, match="rms_normalization"):
        check(net, "keras", tmp_path)
