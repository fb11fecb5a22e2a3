"""Keras files that are broken, foreign, incomplete, unsafe or not understood: each told by its own error."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from keras_files import convert, entry, functional, layer, run, sequential, write

from onnxcam.errors import (
    InvalidSource,
    MissingModelFile,
    MissingWeights,
    StateMismatch,
    UnsafeSource,
    UnsupportedLayer,
    WrongInputSize,
)

DENSE: dict[str, Any] = {"units": 2, "use_bias": False, "activation": "linear"}
MATRIX = np.ones((3, 2), np.float32)


def dense(**more: Any) -> dict[str, Any]:
    return layer("Dense", "d", batch_input_shape=[None, 3], **{**DENSE, **more})


def good(path: Path) -> Path:
    return write(path, sequential(dense()), {"d": {"d/kernel:0": MATRIX}})


def zipped(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "."), data)
    return path


def test_the_file_that_the_others_are_broken_forms_of_is_read(tmp_path: Path) -> None:
    (found,) = run(good(tmp_path / "a.h5"), np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(found, np.full((2, 2), 3, np.float32))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingModelFile, match=r"none\.h5"):
        convert(tmp_path / "none.h5")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_h5_is_said_to_be_one(tmp_path: Path, share: float) -> None:
    path = good(tmp_path / "a.h5")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InvalidSource, match=r"a\.h5 .*truncated"):
        convert(path)


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".hdf5"])
def test_what_is_no_such_file_at_all_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"no model" * 1000)
    with pytest.raises(InvalidSource, match="no HDF5 file"):
        convert(path)


def test_a_foreign_h5_is_told_from_weights(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["table"] = np.ones(3)
    with pytest.raises(InvalidSource, match="neither a Keras model nor the weights of one"):
        convert(tmp_path / "a.h5")


def test_a_zip_that_is_no_keras_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSource, match=r"no config\.json"):
        convert(zipped(tmp_path / "a.keras", readme__txt=b"hello"))


def test_a_keras_file_without_weights_is_told(tmp_path: Path) -> None:
    model = json.dumps(sequential(dense())).encode()
    with pytest.raises(MissingWeights, match=r"no model\.weights\.h5"):
        convert(zipped(tmp_path / "a.keras", config__json=model))


def test_a_json_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSource, match="no JSON"):
        convert(zipped(tmp_path / "a.keras", config__json=b"{"))


def test_an_architecture_without_weights_asks_for_them(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(sequential(dense())))
    with pytest.raises(MissingWeights, match="name the file of weights"):
        convert(path)


def test_weights_without_an_architecture_ask_for_it(tmp_path: Path) -> None:
    path = good(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file.attrs["model_config"]
        file.attrs["layer_names"] = [b"d"]
    with pytest.raises(InvalidSource, match=r"weights only.*a\.json"):
        convert(path)


def test_a_layer_without_its_weights_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", sequential(dense()), {"d": {}})
    with pytest.raises(MissingWeights, match=r"layer 'd': 1 arrays are needed, 0 are there"):
        convert(path)


def test_weights_of_another_shape_are_told_with_both_shapes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", sequential(dense()), {"d": {"d/kernel:0": np.ones((4, 2))}})
    with pytest.raises(StateMismatch, match=r"d/kernel \(4 x 2, not 3 x 2\)"):
        convert(path)


def test_an_option_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", sequential(dense(sharpness=3)), {"d": {"d/kernel:0": MATRIX}})
    with pytest.raises(UnsupportedLayer, match=r"layer 'd' \(Dense\).*sharpness=3"):
        convert(path)


def test_a_layer_that_nobody_knows_is_named_with_the_models_around_it(tmp_path: Path) -> None:
    inner = functional([entry("in", 3), layer("Blur", "b", [["in", 0, 0, {}]])], [["in", 0, 0]], [["b", 0, 0]], "base")
    base = inner | {"inbound_nodes": [[["x", 0, 0, {}]]]}
    model = functional([entry("x", 3), base], [["x", 0, 0]], [["base", 1, 0]])
    with pytest.raises(UnsupportedLayer, match=r"layer 'base/b' \(Blur\).*custom_objects"):
        convert(write(tmp_path / "a.h5", model, {}))


@pytest.mark.parametrize("where", [{"module": "mypkg.layers"}, {"registered_name": "mypkg>Dense"}])
def test_a_class_of_the_authors_own_is_not_taken_for_one_of_kerass(tmp_path: Path, where: dict[str, str]) -> None:
    path = write(tmp_path / "a.h5", sequential(dense() | where), {"d": {"d/kernel:0": MATRIX}})
    with pytest.raises(UnsupportedLayer, match=r"'d' \(Dense\).*a class of the model's author \(mypkg"):
        convert(path)


def test_a_lambda_within_a_wrapper_is_found(tmp_path: Path) -> None:
    inner = layer("Lambda", "secret", function=["4wEAAAA=", None, None], function_type="lambda")
    model = sequential(layer("TimeDistributed", "t", batch_input_shape=[None, 2, 3], layer=inner))
    with pytest.raises(UnsafeSource, match="the Lambda layer 'secret'"):
        convert(write(tmp_path / "a.h5", model, {"t": {}}))


def test_code_in_the_place_of_an_activation_is_found(tmp_path: Path) -> None:
    code = {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}
    with pytest.raises(UnsafeSource, match="a function in layer 'd'"):
        convert(write(tmp_path / "a.h5", sequential(dense(activation=code)), {"d": {"d/kernel:0": MATRIX}}))


def test_dropout_that_stays_on_is_refused(tmp_path: Path) -> None:
    layers = [entry("x", 3), layer("Dropout", "o", [["x", 0, 0, {"training": True}]], rate=0.5)]
    with pytest.raises(UnsupportedLayer, match="training=True"):
        convert(write(tmp_path / "a.h5", functional(layers, [["x", 0, 0]], [["o", 0, 0]]), {}))


def test_a_quantised_layer_is_refused(tmp_path: Path) -> None:
    policy = {"class_name": "QuantizedDTypePolicy", "config": {"name": "int8_from_float32"}}
    with pytest.raises(UnsupportedLayer, match=r"quantised \(int8_from_float32\)"):
        convert(write(tmp_path / "a.h5", sequential(dense(dtype=policy)), {"d": {"d/kernel:0": MATRIX}}))


def test_a_size_that_the_file_does_not_take_is_refused(tmp_path: Path) -> None:
    model = sequential(layer("Flatten", "f", batch_input_shape=[None, 5, 6, 3]))
    with pytest.raises(WrongInputSize, match=r"7 x 6 .*fixes its size to 5 x 6"):
        convert(write(tmp_path / "a.h5", model, {}), input_size=(7, 6))


def test_a_tensor_that_nothing_computes_is_told(tmp_path: Path) -> None:
    layers = [entry("x", 3), layer("Dropout", "o", [["y", 0, 0, {}]], rate=0.5)]
    with pytest.raises(InvalidSource, match=r"layer 'o'.*nothing in the file computes"):
        convert(write(tmp_path / "a.h5", functional(layers, [["x", 0, 0]], [["o", 0, 0]]), {}))


def test_a_model_that_was_never_built_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSource, match="does not say its shape"):
        convert(write(tmp_path / "a.h5", sequential(layer("Flatten", "f")), {}))


def test_an_architecture_in_no_form_of_keras_is_told(tmp_path: Path) -> None:
    model = {"class_name": "Model", "config": {"name": "net", "layers": [entry("x", 3)]}}
    with pytest.raises(InvalidSource, match=r"'net'.*not understood"):
        convert(write(tmp_path / "a.h5", model, {}))
