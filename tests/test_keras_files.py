"""Authentic Keras files of four eras, read without a framework: predictions and Grad-CAM as stored with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from converted import relative, session
from samples import FOLDER

import onnxcam
from onnxcam.conversion import Request, convert_source
from onnxcam.errors import UnsafeSource, UnsupportedLayer
from onnxcam.facts import author_facts

ERAS = FOLDER / "keras_eras"
pytestmark = pytest.mark.skipif(not ERAS.is_dir(), reason=f"no samples in {ERAS}")

FILES = [
    # file,                        the layer's tensor
    ("k224/cnn_binary_k224.h5", "conv2d_3"),
    ("k224/cnn_binary_tfkeras115.h5", "conv2d_2"),
    ("k224/mini_mobilenet_k224.h5", "out_relu"),
    ("k224/mini_mobilenet_tfkeras115.h5", "mini_mobilenet/out_relu"),
    ("k215/cnn_binary.h5", "conv2d_2"),
    ("k215/cnn_binary.keras", "conv2d_2"),
    ("k215/cnn_binary.weights.h5", "conv2d_2"),
    ("k215/sepconv_bn.h5", "separable_conv2d_2"),
    ("k215/sepconv_bn.keras", "separable_conv2d_2"),
    ("k215/transfer_nested.h5", "mini_mobilenet/out_relu"),
    ("k215/transfer_nested.keras", "mini_mobilenet/out_relu"),
    ("k215/cam_aug.h5", "cam_conv"),
    ("k215/cam_aug.keras", "cam_conv"),
    ("k3/cnn_binary.h5", "conv2d_2"),
    ("k3/cnn_binary.keras", "conv2d_2"),
    ("k3/sepconv_bn.h5", "separable_conv2d_2"),
    ("k3/sepconv_bn.keras", "separable_conv2d_2"),
    ("k3/transfer_nested.h5", "mini_mobilenet/out_relu"),
    ("k3/transfer_nested.keras", "mini_mobilenet/out_relu"),
    ("k3/cam_aug_nested.h5", "backbone/out_relu"),
    ("k3/cam_aug_nested.keras", "backbone/out_relu"),
    ("k3/cam_logits.h5", "cam_conv"),
    ("k3/cam_logits.keras", "cam_conv"),
]
# Beyond this a float32 probability has no digits left for its gradient, p · (1 − p).
SATURATED = 1e-5
each_file = pytest.mark.parametrize(("file", "layer"), FILES, ids=[file for file, _ in FILES])


def stored(file: str) -> dict[str, Any]:
    """What lies beside the file: inputs, predictions, activations and maps of the framework that wrote it."""
    path = ERAS / file
    with np.load(path.with_name(f"{path.name.removesuffix('.weights.h5').rsplit('.', 1)[0]}_ref.npz")) as arrays:
        return dict(arrays)


def explain(file: str, layer: str, wanted: dict[str, Any], *, score: str) -> dict[str, Any]:
    """The explain graph's outputs for the stored inputs and classes."""
    shown = ["activation", "raw_map"]
    graph = onnxcam.convert(ERAS / file, layer=layer, score=score, outputs=shown, check=False)
    runner = session(graph.model)
    feeds = {runner.get_inputs()[0].name: wanted["x"], "target": wanted["cls"].astype(np.int64)}
    return dict(zip([info.name for info in runner.get_outputs()], runner.run(None, feeds), strict=True))


@each_file
def test_a_file_predicts_what_its_framework_did(file: str, layer: str) -> None:
    wanted = stored(file)
    runner = session(convert_source(Request(source=ERAS / file)).model)
    (found,) = runner.run(None, {runner.get_inputs()[0].name: wanted["x"]})
    np.testing.assert_allclose(found, wanted["y"], rtol=0, atol=1e-5)


@each_file
def test_the_layer_and_its_map_for_the_logit_are_those_of_the_framework(file: str, layer: str) -> None:
    wanted = stored(file)
    found = explain(file, layer, wanted, score="logit")
    assert relative(found["activation"], wanted["act"].transpose(0, 3, 1, 2)) <= 1e-5
    assert relative(np.maximum(found["raw_map"], 0), wanted["cam_pre"]) <= 1e-3


@pytest.mark.parametrize(("file", "layer"), [row for row in FILES if "logits" not in row[0]])
def test_the_map_for_the_probability_is_that_of_the_framework(file: str, layer: str) -> None:
    wanted = stored(file)
    maps = np.maximum(explain(file, layer, wanted, score="probability")["raw_map"], 0)
    chosen = np.take_along_axis(wanted["y"], wanted["cls"][:, None], 1)[:, 0]
    for index in np.flatnonzero((chosen < 1 - SATURATED) & (wanted["cam_post"].max((1, 2)) > 0)):
        # Where p is almost 1, rounding it is all the error there is, the framework's as well as ours.
        rounding = 2 * np.finfo(np.float32).eps / (1 - chosen[index])
        assert relative(maps[index], wanted["cam_post"][index]) <= 1e-3 + rounding


@pytest.mark.parametrize("file", ["k224/with_lambda_k224.h5", "k215/with_lambda.keras", "k3/with_lambda.h5"])
def test_a_lambda_is_refused_by_name_and_not_run(file: str) -> None:
    with pytest.raises(UnsafeSource, match=r"the Lambda layer 'lambda\w*'"):
        convert_source(Request(source=ERAS / file))


@pytest.mark.parametrize("file", ["k215/custom_layer.h5", "k215/custom_layer.keras"])
def test_a_custom_layer_is_refused_by_name(file: str) -> None:
    with pytest.raises(UnsupportedLayer, match=r"layer 'scale' \(Scale\)"):
        convert_source(Request(source=ERAS / file))


def test_a_subclassed_model_is_refused_by_its_class() -> None:
    with pytest.raises(UnsupportedLayer, match=r"\(Sub\).*subclassed"):
        convert_source(Request(source=ERAS / "k3" / "subclassed.keras"))


def test_weights_alone_take_the_architecture_that_is_given() -> None:
    folder, wanted = ERAS / "k215", stored("k215/cnn_binary.h5")
    request = Request(source=folder / "cnn_binary.json", weights=folder / "cnn_binary.weights.h5")
    runner = session(convert_source(request).model)
    (found,) = runner.run(None, {"conv2d_input": wanted["x"]})
    np.testing.assert_allclose(found, wanted["y"], rtol=0, atol=1e-5)


def test_the_architecture_found_beside_weights_is_said() -> None:
    model = convert_source(Request(source=ERAS / "k215" / "cnn_binary.weights.h5")).model
    assert any("cnn_binary.json" in note for note in author_facts(model)["notes"])


def test_scaling_inside_the_model_makes_its_preprocessing_raw() -> None:
    facts = author_facts(convert_source(Request(source=ERAS / "k3" / "cam_aug_nested.keras")).model)
    assert facts["preprocessing"] == {
        "preset": "raw", "size": [32, 32], "resize": "stretch", "interpolation": "nearest", "antialias": False,
    }  # fmt: skip
    assert any("rescaling, norm" in note for note in facts["notes"])


def test_layers_that_pass_their_input_on_are_known_by_its_tensor() -> None:
    layers = author_facts(convert_source(Request(source=ERAS / "k215" / "transfer_nested.h5")).model)["layers"]
    assert layers["dropout_1"] == "global_average_pooling2d"
    assert layers["mini_mobilenet"] == "mini_mobilenet/out_relu"


def test_a_family_of_keras_applications_brings_its_preprocessing() -> None:
    path = FOLDER / "keras" / "mobilenet_v1_0.25_224_imagenet.h5"
    spec = author_facts(convert_source(Request(source=path)).model)["preprocessing"]
    assert (spec["preset"], spec["size"]) == ("tf", [224, 224])


def test_nothing_of_a_framework_is_imported(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from onnxcam.conversion import Request; from onnxcam_converters.keras import convert;"
        f"convert(Request(source={str(ERAS / 'k3' / 'sepconv_bn.keras')!r}));"
        "sys.exit(str({'tensorflow', 'keras', 'tf_keras', 'torch'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    assert done.stderr.strip() == ""
