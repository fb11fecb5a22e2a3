"""Live models of Keras 3 and tf_keras, through the converter that is found by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from converted import Array, explained, is_same_tensor, layer_values, predict, relative
from keras_zoo import SIZE, Case, scale_layer, zoo
from packaging.version import Version
from samples import FOLDER, needs_samples
from tensorflow_support import tf

import onnxcam
from onnxcam.conversion import Conversion, Request, convert_source
from onnxcam.errors import CannotConvert, UnsafeSource, UnsupportedLayer, VanishedLayer, WrongInputSize
from onnxcam.facts import author_facts

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras", reason="extra `keras` is not installed")
    tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")

GENERATIONS = {"keras": keras, "tf_keras": tf_keras}
TRACED = ("subclassed", "with_custom_layer", "with_lambda", "grouped")
ERAS = FOLDER / "keras_eras"
X = np.random.default_rng(1).normal(size=(3, SIZE, SIZE, 3)).astype(np.float32)
TARGET = np.array([2, 0, 1])
ROWS = [(generation, name) for generation in GENERATIONS for name in zoo(GENERATIONS[generation])]

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Keras runs on another backend")


@cache
def cases(generation: str) -> dict[str, Case]:
    return zoo(GENERATIONS[generation])


@cache
def conversion_of(generation: str, name: str) -> Conversion:
    return convert_source(Request(source=cases(generation)[name].model, example=X))


def gradient(case: Case) -> Array:
    """Of the target's probability with respect to the layer, by the tape."""
    a = tf.convert_to_tensor(case.head(X))
    with tf.GradientTape() as tape:
        tape.watch(a)
        score = tf.gather(case.tail(a), TARGET, axis=1, batch_dims=1)
    found: Array = tape.gradient(score, a).numpy()
    return found


# Numbers


@pytest.mark.parametrize(("generation", "name"), ROWS)
def test_a_live_model_predicts_as_it_does(generation, name):
    wanted = cases(generation)[name].model.predict(X, verbose=0)
    assert np.abs(predict(conversion_of(generation, name).model, X) - wanted).max() <= 1e-5


@pytest.mark.parametrize(("generation", "name"), ROWS)
def test_a_live_model_is_explained_as_its_tape_does(generation, name):
    case, model = cases(generation)[name], conversion_of(generation, name).model
    found = explained(model, case.layer, X, TARGET, score="probability")
    a, g = np.asarray(case.head(X)), gradient(case)
    assert relative(found["activation"], a) <= 1e-4
    assert relative(found["gradient"], g) <= 1e-3
    cam = np.einsum("nhwc,nc->nhw", a, g.mean((1, 2)))
    assert relative(np.maximum(found["raw_map"], 0), np.maximum(cam, 0)) <= 1e-3


@pytest.mark.parametrize(("generation", "name"), ROWS)
def test_the_reference_is_the_live_model(generation, name):
    conversion = conversion_of(generation, name)
    assert conversion.reference is not None
    wanted = cases(generation)[name].model.predict(X[:1], verbose=0)
    np.testing.assert_allclose(conversion.reference.run([X[:1]])[0], wanted, atol=1e-5)
    version = f"{GENERATIONS[generation].__version__}"
    assert conversion.reference.name == (
        f"Keras {version} (tensorflow)" if generation == "keras" else f"tf_keras {version}"
    )


# Routes


@pytest.mark.parametrize(("generation", "name"), [row for row in ROWS if row[1] not in TRACED])
def test_what_a_file_can_hold_goes_through_a_file(generation, name):
    conversion = conversion_of(generation, name)
    assert "file" in conversion.route
    assert conversion.attempts == ()


@pytest.mark.parametrize(("generation", "name"), [row for row in ROWS if row[1] in TRACED])
def test_what_a_file_cannot_hold_is_traced_and_the_reason_is_kept(generation, name):
    conversion = conversion_of(generation, name)
    assert "tf2onnx" in conversion.route
    assert conversion.attempts[0].startswith("through a file: ")


def test_a_class_of_the_users_own_is_not_taken_for_the_one_whose_name_it_has():
    class Conv2D(keras.layers.Conv2D):
        def call(self, x: Any) -> Any:
            return super().call(x) * 2.0

    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), Conv2D(4, 3, name="own"), keras.layers.Flatten()])
    conversion = convert_source(Request(source=model))
    assert "'own' (Conv2D)" in conversion.attempts[0]
    assert np.abs(predict(conversion.model, X) - model.predict(X, verbose=0)).max() <= 1e-5


def test_a_custom_layer_on_jax_is_refused_with_the_way_out(monkeypatch):
    import onnxcam_converters.keras.live as live

    monkeypatch.setattr(live, "framework_of", lambda _: live.Framework(keras, "jax"))
    with pytest.raises(CannotConvert, match=r"'scale' \(Scale\).*KERAS_BACKEND=tensorflow"):
        convert_source(Request(source=cases("keras")["with_custom_layer"].model))


# Names


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_layer_is_what_keras_computes_there(generation):
    case = cases(generation)["with_custom_layer"]
    layers, x = layer_values(conversion_of(generation, "with_custom_layer").model, X), X
    for layer in case.model.layers[1:4]:
        x = layer(x)
        assert is_same_tensor(layers[layer.name], np.asarray(x)), layer.name


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_second_call_of_a_layer_has_a_name_of_its_own(generation):
    model = cases(generation)["grouped"].model
    layers = layer_values(conversion_of(generation, "grouped").model, X)
    once = model.get_layer("shared")(X)
    assert is_same_tensor(layers["shared"], np.asarray(once))
    assert is_same_tensor(layers["shared@2"], np.asarray(model.get_layer("shared")(once)))


@pytest.mark.parametrize(("generation", "name"), [row for row in ROWS if row[1] in TRACED])
def test_no_number_of_a_scope_gets_into_a_name(generation, name):
    """Keras 3 calls the scope of the layer conv2d "conv2d_1"."""
    names = {layer.name for layer in onnxcam.layers(conversion_of(generation, name).model)}
    known = {
        "conv2d",
        "conv2d_1",
        "pool",
        "c1",
        "c2",
        "first",
        "sep",
        "scale",
        "square",
        "shared",
        "shared@2",
        "rescale",
    }
    tops = {path.split("/")[0] for path in names}
    assert {top for top in tops if "__" not in top and "Transpose" not in top} <= known | {"base"}


def test_the_default_layer_is_the_last_one_of_the_nested_model():
    class Own(keras.Model):
        def __init__(self, case: Case) -> None:
            super().__init__(name="own")
            self.inner = case.model

        def call(self, x: Any) -> Any:
            return self.inner(x)

    model = Own(cases("keras")["nested"])
    layers = onnxcam.layers(convert_source(Request(source=model, example=X)).model)
    assert layers[0].name == "nested/base/last_relu"


def test_tracing_leaves_keras_as_it_was():
    before = (keras.Operation.__call__, tf.config.functions_run_eagerly())
    convert_source(Request(source=cases("keras")["subclassed"].model, example=X))
    assert (keras.Operation.__call__, tf.config.functions_run_eagerly()) == before


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(("scale", "preset"), [(1 / 255, "raw"), (2.0, "unit")])
def test_pixels_that_a_traced_model_scales_itself_are_not_scaled_twice(generation, scale, preset):
    layers = GENERATIONS[generation].layers
    parts = [layers.RandomFlip(), layers.Rescaling(scale, name="own_scale"), scale_layer(GENERATIONS[generation])()]
    model = GENERATIONS[generation].Sequential([layers.InputLayer((SIZE, SIZE, 3)), *parts])
    facts = author_facts(convert_source(Request(source=model)).model)
    assert (facts["preprocessing"]["preset"], facts["preprocessing"]["size"]) == (preset, [SIZE, SIZE])
    assert "own_scale" in facts["notes"][0]


# What is computed together, and what ONNX Runtime would get wrong


def padded_net(*behind: Any) -> Any:
    first = [scale_layer(keras)(), keras.layers.Conv2D(4, 1, kernel_initializer="ones", name="first")]
    last = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax")]
    pad = keras.layers.ZeroPadding2D(1, name="pad")
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), *first, pad, *behind, *last])


def test_a_layer_that_is_computed_with_the_next_is_told_with_its_nearest():
    model = convert_source(Request(source=padded_net(keras.layers.Conv2D(4, 3, name="conv")))).model
    assert list(author_facts(model)["vanished"]) == ["pad"]
    with pytest.raises(VanishedLayer, match="pad"):
        onnxcam.convert(model, layer="pad")


def test_zeros_before_a_max_pool_stay_zeros_in_onnxruntime():
    model = padded_net(keras.layers.MaxPooling2D(3, strides=2, name="pool"))
    graph = convert_source(Request(source=model)).model
    x = -1 - np.abs(X)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x})[0]
    np.testing.assert_allclose(found, model.predict(x, verbose=0), atol=1e-6)


# Layers that hold a function of TensorFlow


def write_hub_style(folder: Path) -> Path:
    rng = np.random.default_rng(0)

    class Backbone(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(rng.normal(size=(3, 3, 3, 6)).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32)])
        def __call__(self, images: Any) -> dict[str, Any]:
            a = tf.nn.relu(tf.nn.conv2d(images, self.kernel, 2, "SAME"), name="last_relu")
            return {"features": tf.reduce_mean(a, [1, 2])}

    module = Backbone()
    tf.saved_model.save(module, str(folder), {"serving_default": module.__call__.get_concrete_function()})
    return folder


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_layer_that_keras_cannot_look_into_is_explained_inside(generation, tmp_path):
    layers, folder = GENERATIONS[generation].layers, write_hub_style(tmp_path / "hub")
    pictures = GENERATIONS[generation].Input((SIZE, SIZE, 3))
    if generation == "keras":
        features = layers.TFSMLayer(str(folder), call_endpoint="serving_default", name="hub")(pictures)["features"]
    else:
        features = hub_layer(folder)(pictures)
    head = layers.Dense(2, activation="softmax", name="head")
    model = GENERATIONS[generation].Model(pictures, head(features))
    conversion = convert_source(Request(source=model))
    assert onnxcam.layers(conversion.model)[0].name == "hub/last_relu"
    found = explained(conversion.model, None, X, np.ones(3), score="logit")
    wanted = np.asarray(head.kernel)[:, 1] / (SIZE / 2) ** 2
    np.testing.assert_allclose(found["gradient"], np.broadcast_to(wanted, found["gradient"].shape), rtol=1e-4)


def test_the_layer_of_tf_hub_is_explained_inside(tmp_path, monkeypatch):
    # TF Hub 0.16 asks pkg_resources, which setuptools has dropped, for one function.
    version = types.ModuleType("pkg_resources")
    version.parse_version = Version
    monkeypatch.setitem(sys.modules, "pkg_resources", version)
    hub = pytest.importorskip("tensorflow_hub", reason="tensorflow_hub is not installed")
    layer = hub.KerasLayer(str(write_hub_style(tmp_path / "hub")), signature="serving_default", output_key="features")
    head = tf_keras.layers.Dense(2, activation="softmax", name="head")
    model = tf_keras.Sequential([tf_keras.layers.InputLayer((SIZE, SIZE, 3)), layer, head])
    found = convert_source(Request(source=model)).model
    assert onnxcam.layers(found)[0].name == "keras_layer/last_relu"
    np.testing.assert_allclose(predict(found, X), model.predict(X, verbose=0), atol=1e-5)


def hub_layer(folder: Path) -> Any:
    """What TF Hub's KerasLayer does: a loaded model, called as it is."""

    class KerasLayer(tf_keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="hub")
            self.loaded = tf.saved_model.load(str(folder))

        def call(self, images: Any) -> Any:
            return self.loaded(images)["features"]

    return KerasLayer()


# What is asked for


def test_a_model_that_was_never_called_needs_an_example():
    model = type(cases("keras")["subclassed"].model)()
    with pytest.raises(CannotConvert, match="example"):
        convert_source(Request(source=model))


def test_an_open_size_is_settled_by_the_example():
    model = keras.Sequential(
        [keras.Input((None, None, 3)), scale_layer(keras)(), keras.layers.GlobalAveragePooling2D()]
    )
    graph = convert_source(Request(source=model, example=X)).model.graph
    assert [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim] == [0, SIZE, SIZE, 3]


def test_another_size_than_the_models_is_refused():
    with pytest.raises(WrongInputSize, match="32 x 32"):
        convert_source(Request(source=cases("keras")["with_custom_layer"].model, input_size=(32, 32)))


def test_several_inputs_and_outputs_keep_their_order():
    pictures, number = keras.Input((SIZE, SIZE, 3), name="pictures"), keras.Input((1,), name="number")
    features = keras.layers.GlobalAveragePooling2D()(scale_layer(keras)()(pictures))
    model = keras.Model([pictures, number], [features, keras.layers.Add(name="sum")([features, number])])
    conversion = convert_source(Request(source=model))
    assert [value.name for value in conversion.model.graph.input] == ["pictures", "number"]
    arrays = [X, np.arange(3, dtype=np.float32)[:, None]]
    assert conversion.reference is not None
    wanted = [np.asarray(tensor) for tensor in model(arrays, training=False)]
    for found, array in zip(conversion.reference.run(arrays), wanted, strict=True):
        np.testing.assert_allclose(found, array, atol=1e-6)


def test_a_layer_that_cannot_be_traced_says_why_in_one_line_and_logs_the_rest():
    class Guessing(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            raise ValueError("this layer\nis not for graphs")

    model = keras.Sequential([Guessing(name="guessing")])
    with pytest.raises(CannotConvert, match=r"Guessing\.call") as caught:
        convert_source(Request(source=model, example=X))
    log = Path(str(caught.value).partition("(the whole of it: ")[2].rstrip(")"))
    assert "\n" not in str(caught.value)
    assert "is not for graphs" in log.read_text()
    log.unlink()


# Files with layers of the user's own


@needs_samples
@pytest.mark.parametrize("file", ["custom_layer.h5", "custom_layer.keras"])
def test_a_file_with_a_custom_layer_is_converted_with_its_class(file):
    from onnxcam_converters.keras.live import convert_with_custom_objects

    class Scale(tf_keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.g = self.add_weight(name="g", shape=(shape[-1],), initializer="ones")

        def call(self, x: Any) -> Any:
            return x * self.g

    with np.load(ERAS / "k215" / "custom_layer_ref.npz") as stored:
        request = Request(source=ERAS / "k215" / file, custom_objects={"Scale": Scale})
        model = convert_with_custom_objects(request).model
        assert np.abs(predict(model, stored["x"]) - stored["y"]).max() <= 1e-5
        found = explained(model, "cc", stored["x"], stored["cls"], score="logit")
        assert relative(found["gradient"], stored["grad_pre"]) <= 1e-3


@needs_samples
def test_a_class_that_was_not_given_is_named():
    from onnxcam_converters.keras.live import convert_with_custom_objects

    with pytest.raises(UnsupportedLayer, match="Scale"):
        convert_with_custom_objects(
            Request(source=ERAS / "k215" / "custom_layer.keras", custom_objects={"Own": object})
        )


@needs_samples
@pytest.mark.parametrize("file", ["k215/with_lambda.h5", "k3/with_lambda.keras", "k224/with_lambda_k224.h5"])
def test_a_lambda_in_a_file_is_not_run_even_with_custom_objects(file):
    from onnxcam_converters.keras.live import convert_with_custom_objects

    with pytest.raises(UnsafeSource, match="Lambda"):
        convert_with_custom_objects(Request(source=ERAS / file, custom_objects={"Scale": object}))


# The torch backend

ON_TORCH = """
import json, sys
sys.modules["tensorflow"] = None
import numpy as np, keras, torch
from packaging.version import Version
from keras_zoo import SIZE, zoo
import onnxcam
from onnxcam.conversion import Request, convert_source
from converted import explained, predict

torch.set_num_threads(1)
x = np.random.default_rng(1).normal(size=(3, SIZE, SIZE, 3)).astype(np.float32)
for name, case in zoo(keras).items():
    if name not in sys.argv[1:]:
        continue
    conversion = convert_source(Request(source=case.model, example=x))
    wanted = keras.ops.convert_to_numpy(case.model(x, training=False))
    a = case.head(torch.as_tensor(x)).detach().requires_grad_()
    case.tail(a)[:, 1].sum().backward()
    found = explained(conversion.model, case.layer, x, np.ones(3), score="probability")
    gap = lambda f, w: float(np.linalg.norm(f - w) / np.linalg.norm(w))
    g = found["gradient"] if found["gradient"].shape == tuple(a.shape) else np.moveaxis(found["gradient"], -1, 1)
    print(json.dumps({
        "case": name, "route": conversion.route, "backend": conversion.reference.name,
        "one": float(np.abs(predict(conversion.model, x[:1]) - wanted[:1]).max()),
        "prediction": float(np.abs(predict(conversion.model, x) - wanted).max()),
        "gradient": gap(g, a.grad.numpy()), "default": onnxcam.layers(conversion.model)[0].name,
    }))
"""


def test_custom_layers_on_the_torch_backend_are_exported_by_torch():
    pytest.importorskip("torch", reason="extra `torch` is not installed")
    here = str(Path(__file__).parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    names = ["subclassed", "with_custom_layer"]
    done = subprocess.run(
        [sys.executable, "-c", ON_TORCH, *names],
        env=os.environ | {"KERAS_BACKEND": "torch", "PYTHONPATH": path},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["case"] for row in found] == names
    for row in found:
        assert "torch.onnx" in row["route"]
        assert "(torch)" in row["backend"]
        assert max(row["prediction"], row["one"]) <= 1e-5
        assert row["gradient"] <= 1e-3
    assert [row["default"] for row in found] == ["c2", "sep"]
