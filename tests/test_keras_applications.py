"""Small nets of keras.applications from files of two eras; `scripts/keras_applications.py` has them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_models import converted, keras_of, predictions, relative_error, run, saved

NETS = ("MobileNetV3Small", "EfficientNetB0", "ResNet50V2", "ConvNeXtTiny")
SIZE = 64
# Mean and deviation of random weights: with β around ½ most units are on, as in trained nets.
SPREAD = {"gamma": (0.5, 0.1), "beta": (0.5, 0.3), "bias": (0.0, 0.1)}


def calibrated(model: Any, norm: type) -> Any:
    """The model with random weights that keep activations at size one: statistics are those of random pictures."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        mean, deviation = SPREAD.get(variable.name.split("/")[-1].split(":")[0], (None, None))
        if mean is not None:
            variable.assign(rng.normal(mean, deviation, variable.shape))
    for layer in model.layers:
        if isinstance(layer, norm):
            layer.momentum = 0.0
    model(noise(16, seed=0), training=True)
    return model


def noise(batch: int, *, seed: int) -> Any:
    """Random pictures, 0 to 255."""
    return np.random.default_rng(seed).uniform(0, 255, (batch, SIZE, SIZE, 3)).astype(np.float32)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("era", "suffix"), [("keras", ".keras"), ("tf_keras", ".h5")])
def test_a_net_of_keras_applications_predicts_the_same(era: str, suffix: str, name: str, tmp_path: Path):
    keras = keras_of(era)
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(SIZE, SIZE, 3), classes=10)
    calibrated(model, keras.layers.BatchNormalization)
    session, x = converted(saved(model, tmp_path / f"net{suffix}")), noise(2, seed=1)
    found, wanted = run(session, [x])[0], predictions(model, [x])[0]
    assert np.ptp(wanted) > 0.01
    assert relative_error(found, wanted) <= 1e-4
