"""What a source of TensorFlow leaves open, and sources that hold no model: asked for, or refused, in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from converted import predict
from samples import needs_samples
from tensorflow_support import ERAS, HUB_STYLE, Net, X, converted, lambda_module, tf, write_graph

from onnxcam.conversion import Request
from onnxcam.errors import CannotConvert, InvalidSource, MissingWeights, UnsafeSource, WrongInputSize
from onnxcam.facts import author_facts


def two_heads() -> None:
    x = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), name="x")
    mean = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(x, tf.ones((3, 3, 3, 4)) / 9, 1, "SAME"), name="last"), [1, 2])
    tf.nn.softmax(tf.matmul(mean, tf.eye(4)[:, :2]), name="a")
    tf.nn.softmax(tf.matmul(mean, tf.eye(4)[:, 2:]), name="b")


# Choices


def test_several_ends_are_listed_and_not_guessed(tmp_path):
    path = write_graph(tmp_path / "two.pb", two_heads)
    with pytest.raises(CannotConvert, match=r"2 ends \(a, b\)"):
        converted(path)


def test_the_end_that_is_named_is_the_output(tmp_path):
    path = write_graph(tmp_path / "two.pb", two_heads)
    for wanted in ("b", "b:0"):
        assert [value.name for value in converted(path, outputs=(wanted,)).model.graph.output] == ["b"]


def test_an_end_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(CannotConvert, match=r"no node 'c'.*a, b"):
        converted(write_graph(tmp_path / "two.pb", two_heads), outputs=("c",))


def test_what_only_training_needs_is_settled_and_said(tmp_path):
    def build() -> None:
        x = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), name="x")
        keep = tf.compat.v1.placeholder(tf.float32, (), name="keep_prob")
        learning = tf.compat.v1.placeholder_with_default(False, (), name="learning")
        y = tf.nn.relu(tf.nn.conv2d(x, tf.ones((3, 3, 3, 4)) / 9, 1, "SAME"))
        y = tf.where(learning, tf.zeros_like(y), y * keep)
        tf.nn.softmax(tf.reduce_mean(y, [1, 2]), name="prob")

    model = converted(write_graph(tmp_path / "switch.pb", build)).model
    assert [value.name for value in model.graph.input] == ["x"]
    assert "keep_prob" in author_facts(model)["notes"][0]
    y = tf.nn.relu(tf.nn.conv2d(X, tf.ones((3, 3, 3, 4)) / 9, 1, "SAME"))
    np.testing.assert_allclose(predict(model, X), tf.nn.softmax(tf.reduce_mean(y, [1, 2])).numpy(), atol=1e-6)


def save_signatures(folder: Path) -> Path:
    module = Net()
    spec = tf.TensorSpec((None, None, None, 3), tf.float32, name="images")
    calls = {
        "probabilities": tf.function(lambda images: {"p": module(images, training=False)}, input_signature=[spec]),
        "features": tf.function(lambda images: {"f": module.activation(images)}, input_signature=[spec]),
    }
    tf.saved_model.save(module, str(folder), {name: call.get_concrete_function() for name, call in calls.items()})
    return folder


def test_of_several_signatures_one_is_to_be_named(tmp_path):
    folder = save_signatures(tmp_path / "two")
    with pytest.raises(CannotConvert, match="probabilities"):
        converted(folder)
    assert [value.name for value in converted(folder, outputs=("probabilities",)).model.graph.output] == ["p"]


def test_an_open_size_can_be_settled(tmp_path):
    folder = save_signatures(tmp_path / "two")
    model = converted(folder, outputs=("probabilities",), input_size=(8, 12)).model
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [0, 8, 12, 3]


@needs_samples
def test_another_size_than_the_models_is_refused():
    with pytest.raises(WrongInputSize, match="64 x 64"):
        converted(HUB_STYLE, input_size=(64, 64))


# Bad input


def test_a_folder_without_a_model_is_refused(tmp_path):
    from onnxcam_converters.tensorflow import convert

    with pytest.raises(InvalidSource, match=r"saved_model\.pb"):
        convert(Request(source=tmp_path))


@needs_samples
def test_a_truncated_savedmodel_is_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(HUB_STYLE, folder)
    file = folder / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InvalidSource, match="damaged"):
        converted(folder)


@needs_samples
def test_a_savedmodel_without_its_variables_is_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(HUB_STYLE, folder)
    shutil.rmtree(folder / "variables")
    with pytest.raises(InvalidSource):
        converted(folder)


@pytest.mark.parametrize("content", [b"", b"not a graph at all", b"\x00" * 100], ids=["empty", "text", "zeros"])
def test_a_file_without_a_graph_is_refused(tmp_path, content):
    path = tmp_path / "model.pb"
    path.write_bytes(content)
    with pytest.raises(InvalidSource, match="graph"):
        converted(path)


@needs_samples
def test_a_truncated_graph_is_refused(tmp_path):
    path = tmp_path / "model.pb"
    path.write_bytes((ERAS / "k224" / "pure_tf1_frozen.pb").read_bytes()[:-1000])
    with pytest.raises(InvalidSource, match="damaged"):
        converted(path)


def test_a_graph_that_is_not_frozen_is_refused(tmp_path):
    def build() -> None:
        x = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), name="x")
        tf.reduce_mean(x * tf.compat.v1.get_variable("scale", (3,)), name="y")

    with pytest.raises(MissingWeights, match="scale"):
        converted(write_graph(tmp_path / "model.pb", build))


def test_a_graph_that_writes_files_is_refused(tmp_path):
    victim = tmp_path / "victim"

    def build() -> None:
        x = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), name="x")
        with tf.control_dependencies([tf.io.write_file(str(victim), "here")]):
            tf.reduce_mean(x, [1, 2], name="y")

    with pytest.raises(UnsafeSource, match="WriteFile"):
        converted(write_graph(tmp_path / "model.pb", build))
    assert not victim.exists()


def test_an_op_without_a_counterpart_is_named_in_one_line_and_logged():
    module = lambda_module(lambda x: tf.math.bessel_i0e(tf.reduce_mean(x, [1, 2])))
    with pytest.raises(CannotConvert, match="BesselI0e") as caught:
        converted(module, example=X)
    message = str(caught.value)
    log = Path(message.partition("(the whole of it: ")[2].rstrip(")"))
    assert "\n" not in message
    assert "BesselI0e" in log.read_text()
    log.unlink()
