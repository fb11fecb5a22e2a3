"""SavedModels, frozen graphs and live objects of TensorFlow, through the converter that is found by its entry point."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from converted import Array, explained, is_same_tensor, layer_values, predict, relative
from samples import needs_samples
from tensorflow_support import ERAS, HUB_STYLE, Net, X, converted, lambda_module, tf

import onnxcam
from onnxcam.conversion import Conversion
from onnxcam.errors import (
    CannotConvert,
)
from onnxcam.facts import author_facts

# Float32 cannot tell a probability near 1 from 1: gradients of saturated outputs are noise below this.
SATURATED = 1e-7


class Sample(NamedTuple):
    """A model file, its stored reference, and the name by which its last layer is asked for."""

    path: str
    reference: str
    layer: str
    full: str


CALL = "StatefulPartitionedCall"
NESTED = f"{CALL}/transfer_nested/mini_mobilenet/out_relu/Relu6"
SAMPLES = [
    Sample(f"k215/{name}", f"k215/{ref}", layer, full)
    for name, ref, layer, full in (
        ("cnn_binary_savedmodel", "cnn_binary", "conv2d_2", f"{CALL}/cnn_binary/conv2d_2/Relu"),
        ("transfer_nested_savedmodel", "transfer_nested", "out_relu", NESTED),
        ("subclassed_savedmodel", "subclassed", "c2", f"{CALL}/sub/c2/Relu"),
        ("custom_layer_savedmodel", "custom_layer", "cc", f"{CALL}/custom_layer/cc/Relu"),
        ("cnn_binary_frozen_tf2.pb", "cnn_binary", "cnn_binary/conv2d_2/Relu:0", "cnn_binary/conv2d_2/Relu"),
    )
]  # fmt: skip
SAMPLES += [
    Sample("k224/cnn_binary_tf1_savedmodel", "k224/cnn_binary_k224", "conv2d_3/Relu", "conv2d_3/Relu"),
    Sample("k224/cnn_binary_frozen_tf1.pb", "k224/cnn_binary_k224", "conv2d_3/Relu:0", "conv2d_3/Relu"),
    Sample("k224/pure_tf1_frozen.pb", "k224/pure_tf1", "conv2/Relu:0", "conv2/Relu"),
    Sample("k3/cnn_binary_savedmodel", "k3/cnn_binary", "conv2d_2", f"{CALL}/cnn_binary/conv2d_2/Relu"),
    Sample("k3/transfer_nested_savedmodel", "k3/transfer_nested", "out_relu", NESTED),
]  # fmt: skip
FROZEN = ["k224/pure_tf1_frozen.pb", "k224/cnn_binary_frozen_tf1.pb", "k215/cnn_binary_frozen_tf2.pb"]


@cache
def sample_model(path: str) -> Conversion:
    return converted(ERAS / path)


def reference(name: str) -> dict[str, Array]:
    with np.load(ERAS / f"{name}_ref.npz") as arrays:
        return dict(arrays)


# The samples of every era


@needs_samples
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path)
def test_a_sample_predicts_and_is_explained_as_its_framework_did(sample):
    stored = reference(sample.reference)
    model = sample_model(sample.path).model
    assert np.abs(predict(model, stored["x"]) - stored["y"]).max() <= 1e-5
    before = explained(model, sample.layer, stored["x"], stored["cls"], score="logit")
    assert relative(before["activation"], stored["act"]) <= 1e-3
    assert relative(before["gradient"], stored["grad_pre"]) <= 1e-3
    assert relative(np.maximum(before["raw_map"], 0), stored["cam_pre"]) <= 1e-3


@needs_samples
@pytest.mark.parametrize("sample", [s for s in SAMPLES if "pure" not in s.path], ids=lambda sample: sample.path)
def test_a_sample_is_explained_behind_its_softmax_as_its_framework_did(sample):
    stored = reference(sample.reference)
    after = explained(sample_model(sample.path).model, sample.layer, stored["x"], stored["cls"], score="probability")
    np.testing.assert_allclose(after["gradient"], stored["grad_post"], atol=SATURATED, rtol=1e-3)


@needs_samples
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path)
def test_a_layer_has_the_name_of_its_node_with_and_without_its_number(sample):
    layers = author_facts(sample_model(sample.path).model)["layers"]
    assert layers[sample.full] == layers[f"{sample.full}:0"]


@needs_samples
def test_what_only_a_signature_shows_is_explained():
    stored = reference("k215/hub_style")
    conversion = converted(HUB_STYLE)
    assert np.abs(predict(conversion.model, stored["x"]) - stored["logits"]).max() <= 1e-5
    assert onnxcam.layers(conversion.model)[0].name == f"{CALL}/last_relu"


@needs_samples
def test_a_hub_style_model_is_explained_as_tensorflow_does():
    x, loaded = reference("k215/hub_style")["x"], tf.saved_model.load(str(HUB_STYLE))
    found = explained(converted(HUB_STYLE).model, "last_relu", x, np.ones(len(x)), score="logit")
    weights = [variable.numpy() for variable in loaded.signatures["serving_default"].variables]
    # Mean and a dense layer behind it: the gradient is the weight, spread over the pixels.
    dense = next(w for w in weights if w.ndim == 2)
    h, w = found["gradient"].shape[1:3]
    np.testing.assert_allclose(
        found["gradient"], np.broadcast_to(dense[:, 1] / (h * w), found["gradient"].shape), rtol=1e-4
    )


@needs_samples
@pytest.mark.parametrize(
    "path", ["k224/pure_tf1_frozen.pb", "k224/cnn_binary_frozen_tf1.pb", "k215/cnn_binary_frozen_tf2.pb"]
)
def test_every_layer_is_the_tensor_of_its_node(path):
    x = reference("k224/pure_tf1")["x"]
    graph = tf.compat.v1.GraphDef.FromString((ERAS / path).read_bytes())
    layers = {name: value for name, value in layer_values(sample_model(path).model, x).items() if ":" in name}
    with tf.Graph().as_default() as loaded:
        tf.graph_util.import_graph_def(graph, name="")
        with tf.compat.v1.Session(graph=loaded) as session:
            source = next(node.name for node in graph.node if node.op == "Placeholder")
            wanted = dict(zip(layers, session.run(list(layers), {f"{source}:0": x}), strict=True))
    assert len(layers) >= 8
    assert [name for name, value in layers.items() if not is_same_tensor(value, wanted[name])] == []


@needs_samples
def test_layers_of_a_keras_3_export_have_keras_own_names():
    import keras

    x = reference("k3/cnn_binary")["x"]
    source = keras.models.load_model(ERAS / "k3" / "cnn_binary.keras")
    layers = layer_values(sample_model("k3/cnn_binary_savedmodel").model, x)
    for layer in source.layers[:5]:
        x = layer(x)
        op = "Relu" if "conv" in layer.name else "MaxPool2d"
        assert is_same_tensor(layers[f"{CALL}/cnn_binary/{layer.name}/{op}"], x.numpy()), layer.name


@needs_samples
@pytest.mark.parametrize(
    "path", ["k3/transfer_nested_savedmodel", "k224/cnn_binary_tf1_savedmodel", "k215/cnn_binary_frozen_tf2.pb"]
)
def test_the_reference_runs_any_batch(path):
    conversion, x = sample_model(path), reference("k215/cnn_binary")["x"]
    assert conversion.reference is not None
    for batch in (x, x[:1], np.concatenate([x, x])):
        found = conversion.reference.run([batch])[0]
        np.testing.assert_allclose(found, predict(conversion.model, batch), atol=1e-5)


@needs_samples
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path)
def test_shapes_are_constants_and_the_batch_is_open(sample):
    model = sample_model(sample.path).model
    assert not {"Shape", "Gather"} & {node.op_type for node in model.graph.node}
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in (*model.graph.input, *model.graph.output)] == [
        "N",
        "N",
    ]


@needs_samples
def test_inputs_and_outputs_have_the_names_of_the_signature():
    graph = sample_model("k224/cnn_binary_tf1_savedmodel").model.graph
    assert ([x.name for x in graph.input], [y.name for y in graph.output]) == (["image"], ["prob"])


@needs_samples
def test_the_file_within_the_folder_means_the_folder():
    model = converted(ERAS / "k215" / "hub_style_savedmodel" / "saved_model.pb").model
    assert [value.name for value in model.graph.output] == ["logits"]


# Live objects


def test_a_live_module_is_explained_as_its_tape_does():
    net = Net()
    a = net.activation(X)
    with tf.GradientTape() as tape:
        tape.watch(a)
        score = net.head(a)[:, 1]
    wanted = tape.gradient(score, a).numpy()
    model = converted(net, example=X).model
    np.testing.assert_allclose(predict(model, X), net(X, training=False).numpy(), atol=1e-6)
    assert relative(explained(model, None, X, np.ones(3), score="probability")["gradient"], wanted) <= 1e-4


def test_a_kernel_is_not_multiplied_by_the_scale_behind_it():
    layers = layer_values(converted(Net(), example=X).model, X)
    assert is_same_tensor(layers["conv"], tf.nn.conv2d(X, Net().kernel, 1, "SAME").numpy())


def test_a_live_function_is_converted():
    net = Net()
    model = converted(tf.function(lambda x: net(x, training=False)), example=X).model
    np.testing.assert_allclose(predict(model, X), net(X, training=False).numpy(), atol=1e-6)


@needs_samples
def test_a_loaded_model_is_converted():
    x = reference("k215/hub_style")
    model = converted(tf.saved_model.load(str(HUB_STYLE))).model
    np.testing.assert_allclose(predict(model, x["x"]), x["logits"], atol=1e-5)


def test_a_live_module_needs_an_example():
    with pytest.raises(CannotConvert, match="example"):
        converted(Net())


def test_big_weights_stay_out_of_what_tf2onnx_copies(monkeypatch):
    import tf2onnx

    seen, original = [], tf2onnx.convert.from_graph_def

    def watch(graph: Any, **options: Any) -> Any:
        seen.append(graph.ByteSize())
        return original(graph, **options)

    monkeypatch.setattr(tf2onnx.convert, "from_graph_def", watch)
    weight = tf.Variable(np.random.default_rng(0).normal(size=(192, 1000)).astype(np.float32))
    fixed = tf.constant(np.random.default_rng(0).normal(size=(1000, 300)).astype(np.float32))
    model = converted(lambda_module(lambda x: tf.reshape(x, (-1, 192)) @ weight @ fixed), example=X).model
    assert seen[0] < 20_000
    assert model.ByteSize() > 4 * (192 * 1000 + 1000 * 300)
