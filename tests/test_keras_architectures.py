"""Architectures of every era, written by hand, against numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_files import Array, convert, correlate, entry, functional, layer, run, sequential, write
from onnxcam_converters.keras.calls import parse_call
from onnxcam_converters.keras.specs import Ref, Spec

from onnxcam.facts import author_facts

RNG = np.random.default_rng(0)
DENSE: dict[str, Any] = {"use_bias": False, "activation": "linear"}
CONV = {"filters": 4, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", **DENSE}
OLD_CONV: dict[str, Any] = {
    "nb_filter": 4, "nb_row": 3, "nb_col": 2, "border_mode": "valid", "subsample": [1, 1], "bias": True,
    "activation": "relu", "init": "glorot_uniform", "W_regularizer": None, "b_regularizer": None,
}  # fmt: skip


def array(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def dense(name: str, units: int, *inbound: Any) -> Any:
    return layer("Dense", name, *inbound, units=units, **DENSE)


def tensors(model: Any) -> set[str]:
    return {name for node in model.graph.node for name in node.output}


def test_keras_1_with_channels_last(tmp_path: Path) -> None:
    kernel, bias, matrix, x = array(3, 2, 3, 4), array(4), array(60, 2), array(2, 6, 7, 3)[:, :5, :6]
    model = {
        "class_name": "Sequential",
        "config": [
            layer("Convolution2D", "c", batch_input_shape=[None, 5, 6, 3], dim_ordering="tf", **OLD_CONV),
            layer("Flatten", "f"),
            layer("Dense", "d", output_dim=2, bias=False, activation="linear", input_dim=None),
        ],
    }
    weights = {"c": {"c_W": kernel, "c_b": bias}, "f": {}, "d": {"d_W": matrix}}
    (found,) = run(write(tmp_path / "a.h5", model, weights, keras="1.2.2"), x)
    wanted = np.maximum(correlate(x, kernel) + bias, 0).reshape(2, -1) @ matrix
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_keras_1_with_channels_first_has_kernels_with_channels_first_too(tmp_path: Path) -> None:
    kernel, bias, x = array(3, 2, 3, 4), array(4), array(2, 5, 6, 3)
    conv = layer("Convolution2D", "c", batch_input_shape=[None, 3, 5, 6], dim_ordering="th", **OLD_CONV)
    model = {"class_name": "Sequential", "config": [conv]}
    old = {"c": {"c_W": kernel.transpose(3, 2, 0, 1), "c_b": bias}}
    (found,) = run(write(tmp_path / "a.h5", model, old, keras="1.2.2"), x.transpose(0, 3, 1, 2))
    wanted = np.maximum(correlate(x, kernel) + bias, 0).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_kernels_written_by_theano_are_turned_round(tmp_path: Path) -> None:
    kernel, x = array(3, 3, 3, 4), array(2, 5, 6, 3)
    model = sequential(layer("Conv2D", "c", batch_input_shape=[None, 5, 6, 3], **CONV))
    (found,) = run(write(tmp_path / "a.h5", model, {"c": {"c/kernel:0": kernel}}, backend="theano"), x)
    np.testing.assert_allclose(found, correlate(x, kernel[::-1, ::-1]), rtol=1e-4, atol=1e-4)


def test_a_sequential_model_of_keras_1_may_begin_by_merging_others(tmp_path: Path) -> None:
    left, right, x, y = array(3, 2), array(5, 2), array(4, 3), array(4, 5)
    branches = [
        {"class_name": "Sequential", "config": [layer("Dense", name, batch_input_shape=[None, n], output_dim=2,
                                                      bias=False, activation="linear")]}
        for name, n in (("left", 3), ("right", 5))
    ]  # fmt: skip
    merge = {"class_name": "Merge", "config": {"name": "m", "layers": branches, "mode": "sum", "concat_axis": -1,
             "dot_axes": -1, "mode_type": "raw", "output_shape": None, "output_shape_type": "raw"}}  # fmt: skip
    model = {"class_name": "Sequential", "config": [merge]}
    path = write(tmp_path / "a.h5", model, {"left": {"left_W": left}, "right": {"right_W": right}}, keras="1.2.0")
    np.testing.assert_allclose(run(path, x, y)[0], x @ left + y @ right, rtol=1e-5, atol=1e-5)


def test_a_layer_called_twice_gives_two_tensors_by_one_weight(tmp_path: Path) -> None:
    matrix, x = array(3, 3), array(4, 3)
    model = functional(
        [entry("x", 3), dense("d", 3, [["x", 0, 0, {}]], [["d", 0, 0, {}]])], [["x", 0, 0]], [["d", 1, 0]]
    )
    path = write(tmp_path / "a.h5", model, {"d": {"d/kernel:0": matrix}})
    np.testing.assert_allclose(run(path, x)[0], x @ matrix @ matrix, rtol=1e-4, atol=1e-4)
    converted = convert(path)
    assert {"d", "d@2"} <= tensors(converted)
    assert len(converted.graph.initializer) == 1


@pytest.mark.parametrize("first", [0, 1], ids=["counted from 0, as by Keras 3", "counted from 1, as by Keras 2"])
def test_a_model_called_twice_gives_each_call_its_own_tensors(tmp_path: Path, first: int) -> None:
    matrix, x, y = array(3, 2), array(4, 3), array(4, 3)
    inner = functional([entry("in", 3), dense("d", 2, [["in", 0, 0, {}]])], [["in", 0, 0]], [["d", 0, 0]], "base")
    base = inner | {"inbound_nodes": [[["x", 0, 0, {}]], [["y", 0, 0, {}]]]}
    calls = [["base", first, 0, {}], ["base", first + 1, 0, {}]]
    layers = [entry("x", 3), entry("y", 3), base, layer("Subtract", "s", calls)]
    model = functional(layers, [["x", 0, 0], ["y", 0, 0]], [["s", 0, 0]])
    path = write(tmp_path / "a.h5", model, {"base": {"d/kernel:0": matrix}})
    np.testing.assert_allclose(run(path, x, y)[0], x @ matrix - y @ matrix, rtol=1e-4, atol=1e-4)
    assert {"base/d", "base/d@2"} <= tensors(convert(path))


def test_inputs_and_outputs_keep_their_names_and_order(tmp_path: Path) -> None:
    p, q, x, y = array(3, 2), array(2, 5), array(4, 2), array(4, 3)
    layers = [entry("b", 2), entry("a", 3), dense("p", 2, [["a", 0, 0, {}]]), dense("q", 5, [["b", 0, 0, {}]])]
    model = functional(layers, [["b", 0, 0], ["a", 0, 0]], [["q", 0, 0], ["p", 0, 0]])
    path = write(tmp_path / "a.h5", model, {"p": {"p/kernel:0": p}, "q": {"q/kernel:0": q}})
    converted = convert(path)
    assert [info.name for info in converted.graph.input] == ["b", "a"]
    assert [info.name for info in converted.graph.output] == ["q", "p"]
    for found, wanted in zip(run(path, x, y), (x @ q, y @ p), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_weights_in_a_model_are_found_by_their_order_where_its_layers_were_renamed(tmp_path: Path) -> None:
    p, q, x = array(3, 2), array(2, 5), array(4, 3)
    inner = [entry("in", 3), dense("my_p", 2, [["in", 0, 0, {}]]), dense("my_q", 5, [["my_p", 0, 0, {}]])]
    base = functional(inner, [["in", 0, 0]], [["my_q", 0, 0]], "base") | {"inbound_nodes": [[["x", 0, 0, {}]]]}
    model = functional([entry("x", 3), base], [["x", 0, 0]], [["base", 1, 0]])
    path = write(tmp_path / "a.h5", model, {"base": {"p/kernel:0": p, "q/kernel:0": q}})
    np.testing.assert_allclose(run(path, x)[0], x @ p @ q, rtol=1e-4, atol=1e-4)


def test_weights_in_a_model_are_found_by_name_where_frozen_layers_come_last(tmp_path: Path) -> None:
    p, q, x = array(3, 3), array(3, 3), array(4, 3)
    inner = [entry("in", 3), dense("p", 3, [["in", 0, 0, {}]]), dense("q", 3, [["p", 0, 0, {}]])]
    base = functional(inner, [["in", 0, 0]], [["q", 0, 0]], "base") | {"inbound_nodes": [[["x", 0, 0, {}]]]}
    model = functional([entry("x", 3), base], [["x", 0, 0]], [["base", 1, 0]])
    path = write(tmp_path / "a.h5", model, {"base": {"q_1/kernel:0": q, "p_1/kernel:0": p}})
    np.testing.assert_allclose(run(path, x)[0], x @ p @ q, rtol=1e-4, atol=1e-4)


def test_pictures_of_any_size_stay_so_and_a_size_can_be_given(tmp_path: Path) -> None:
    kernel, x = array(3, 3, 3, 4), array(2, 9, 8, 3)
    same = {**CONV, "padding": "same", "strides": [2, 2]}
    model = sequential(layer("Conv2D", "c", batch_input_shape=[None, None, None, 3], **same))
    path = write(tmp_path / "a.h5", model, {"c": {"c/kernel:0": kernel}})
    # TensorFlow's SAME: 9 needs 1 before and 1 after, 8 nothing before and 1 after.
    wanted = correlate(np.pad(x, ((0, 0), (1, 1), (0, 1), (0, 0))), kernel)[:, ::2, ::2]
    assert [d.dim_param or d.dim_value for d in convert(path).graph.input[0].type.tensor_type.shape.dim] == [
        "N",
        "H",
        "W",
        3,
    ]
    np.testing.assert_allclose(run(path, x)[0], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run(path, x, input_size=(9, 8))[0], wanted, rtol=1e-4, atol=1e-4)
    assert "Pad" not in {node.op_type for node in convert(path, input_size=(9, 8)).graph.node}


def test_a_layer_called_like_an_output_of_explain_graphs_is_known_by_its_name_all_the_same(tmp_path: Path) -> None:
    conv = layer("Conv2D", "activation", batch_input_shape=[None, 5, 6, 3], **CONV)
    path = write(tmp_path / "a.h5", sequential(conv, layer("Flatten", "f")), {"activation": {"k:0": array(3, 3, 3, 4)}})
    model = convert(path)
    assert author_facts(model)["layers"]["activation"] == "activation:0"
    assert "activation" not in tensors(model)
    assert "activation:0" in tensors(model)


def test_half_precision_is_computed_in_float32_and_said(tmp_path: Path) -> None:
    conv = layer("Conv2D", "c", batch_input_shape=[None, 5, 6, 3], dtype={"class_name": "Policy", "config": {
        "name": "mixed_float16"}}, **CONV)  # fmt: skip
    path = write(tmp_path / "a.h5", sequential(conv), {"c": {"k:0": array(3, 3, 3, 4)}})
    assert any("mixed_float16" in note for note in author_facts(convert(path))["notes"])


CALLS = [
    # the inbound node, the first argument, the others
    ("Keras 1", "Add", [["a", 0, 0], ["b", 0, 0]], [Ref("a", 0, 0), Ref("b", 0, 0)], {}),
    ("Keras 2, one tensor", "Dense", [["a", 0, 0, {}]], Ref("a", 0, 0), {}),
    ("Keras 2, a tensor by name", "LSTM", [["a", 0, 0, {"mask": ["b", 1, 2]}]], Ref("a", 0, 0),
     {"mask": Ref("b", 1, 2)}),
    ("tf.keras, a number", "TFOpLambda", ["a", 0, 0, {"y": 2.0}], Ref("a", 0, 0), {"y": 2.0}),
    ("tf.keras, a constant first", "TFOpLambda", ["_CONSTANT_VALUE", -1, 1.5, {"y": ["a", 0, 0]}], 1.5,
     {"y": Ref("a", 0, 0)}),
    ("tf.keras, a list of one", "TFOpLambda", [["a", 0, 0, {"axis": 1}]], [Ref("a", 0, 0)], {"axis": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "node", "first", "others"), CALLS, ids=[row[0] for row in CALLS])
def test_calls_of_keras_2_are_read(name: str, kind: str, node: Any, first: Any, others: Any) -> None:
    call = parse_call(node, Spec("l", kind, {}))
    assert (call.args, dict(call.kwargs)) == ((first,), others)


def test_calls_of_keras_3_are_read() -> None:
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "keras_history": ["a", 0, 1]}}
    part = {"class_name": "__slice__", "config": {"start": 1, "stop": None, "step": 2}}
    node = {"args": [tensor, {"class_name": "__tuple__", "items": [part, 4]}, 2.0], "kwargs": {"mask": None}}
    call = parse_call(node, Spec("l", "GetItem", {}))
    assert call.args == (Ref("a", 0, 1), (slice(1, None, 2), 4), 2.0)
    assert call.kwargs == {"mask": None}
