"""`onnxcam.gradient`: the differentiator by itself, what it promises and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import pytest
from command_line import Command, saved
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from small_nets import CNN, Array, cnn, net, pictures, run

import onnxcam
from onnxcam import errors
from onnxcam.autodiff import FLAT, RULES, vjp
from onnxcam.graph import Node, Value


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def slopes(model: ModelProto, gradient: ModelProto, wrt: str) -> tuple[Array, Array]:
    """The gradient by input `wrt` along itself, and the same by central differences, for a random cotangent."""
    x, rng = pictures(2), np.random.default_rng(0)
    cotangent = rng.normal(size=run(model, {"x": x})["y"].shape).astype(np.float32)
    g = run(gradient, {"x": x, "cotangent": cotangent})[f"gradient/{wrt}"]
    step = 0.02 * g / np.linalg.norm(g)
    up, down = (run(model, {"x": x + side * step})["y"] for side in (1, -1))
    return np.linalg.norm(g), ((up - down) * cotangent).sum() / 0.04


def test_inputs_and_outputs_are_the_models_own_and_then_ours():
    graph = onnxcam.gradient(cnn(), wrt=["r2", "x"]).graph
    assert [x.name for x in graph.input] == ["x", "cotangent"]
    assert [y.name for y in graph.output] == ["y", "gradient/r2", "gradient/x"]


def test_what_is_added_has_the_types_and_shapes_of_what_it_belongs_to():
    graph = onnxcam.gradient(cnn()).graph
    assert graph.input[1].type == cnn().graph.output[0].type
    assert graph.output[1].type == cnn().graph.input[0].type


def test_the_models_own_output_does_not_change():
    feeds = {"x": pictures(3)}
    cotangent = np.ones((3, 5), np.float32)
    found = run(onnxcam.gradient(cnn()), {**feeds, "cotangent": cotangent})
    np.testing.assert_array_equal(found["y"], run(cnn(), feeds)["y"])


def test_the_given_model_is_left_as_it_is():
    model = cnn()
    before = model.SerializeToString()
    onnxcam.gradient(model)
    assert model.SerializeToString() == before


def test_the_gradient_by_the_input_equals_differences():
    found, expected = slopes(cnn(), onnxcam.gradient(cnn()), "x")
    assert found == pytest.approx(expected, rel=1e-2)


def test_the_gradient_by_a_weight_equals_differences():
    model, x, cotangent = cnn(), pictures(2), np.ones((2, 5), np.float32)
    g = run(onnxcam.gradient(model, wrt="w1"), {"x": x, "cotangent": cotangent})["gradient/w1"]
    tensor = next(t for t in model.graph.initializer if t.name == "w1")
    w, step = onnx.numpy_helper.to_array(tensor), 1e-2 * g / np.linalg.norm(g)
    sums = []
    for side in (1, -1):
        tensor.CopyFrom(onnx.numpy_helper.from_array(w + side * step, "w1"))
        sums.append(run(model, {"x": x})["y"].sum())
    assert np.linalg.norm(g) == pytest.approx((sums[0] - sums[1]) / 2e-2, rel=1e-2)


def test_an_inner_tensor_can_be_differentiated():
    model = onnxcam.gradient(cnn(), of="r1", wrt=["x"])
    assert [d.dim_value or d.dim_param for d in model.graph.input[1].type.tensor_type.shape.dim] == ["N", 6, 16, 16]
    found = run(model, {"x": pictures(1), "cotangent": np.zeros((1, 6, 16, 16), np.float32)})
    assert not found["gradient/x"].any()


def test_tensors_can_be_named_as_their_author_does():
    model = cnn()
    model.graph.node[3].name = "/features/features.3/Conv"
    assert [y.name for y in onnxcam.gradient(model, wrt=["features.3"]).graph.output] == ["y", "gradient/features.3"]


def test_the_gradient_of_a_gradient_is_a_hessian_vector_product():
    model = net(CNN.replace("Relu", "Softplus") + "z = Gemm(flat, w3, b3) y = Mul(z, z)")
    first = onnxcam.gradient(model)
    second = onnxcam.gradient(first, of="gradient/x", wrt=["x"])
    assert [x.name for x in second.graph.input] == ["x", "cotangent", "cotangent_2"]
    x, v = pictures(1), np.eye(1, 5, dtype=np.float32)
    direction = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
    direction /= np.linalg.norm(direction)
    found = run(second, {"x": x, "cotangent": v, "cotangent_2": direction})["gradient/x_2"]
    up, down = (run(first, {"x": x + side * 0.05 * direction, "cotangent": v})["gradient/x"] for side in (1, -1))
    expected = (up - down) / 0.1
    assert np.linalg.norm(found - expected) <= 2e-2 * np.linalg.norm(expected)


def test_the_checker_accepts_it_at_opset_18():
    model = onnxcam.gradient(cnn())
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]


def test_the_command_writes_it(tmp_path: Path, command: Command):
    path = saved(cnn(), tmp_path / "net.onnx")
    ran = command("gradient", path, "-o", tmp_path / "g.onnx", "--wrt", "r2", "--wrt", "x", "--json")
    assert ran.code == 0, ran.err
    told = {"output": str(tmp_path / "g.onnx"), "gradients": ["gradient/r2", "gradient/x"]}
    assert json.loads(ran.out[0]) == told
    assert [x.name for x in onnx.load(tmp_path / "g.onnx").graph.input] == ["x", "cotangent"]


def test_the_command_does_not_write_over_its_source(tmp_path: Path, command: Command):
    path = saved(cnn(), tmp_path / "net.onnx")
    ran = command("gradient", path, "-o", path)
    assert ran.code == 1
    assert "overwrite" in ran.err[0]


class Refused(NamedTuple):
    name: str
    call: Callable[[], object]
    error: type[errors.OnnxCamError]
    words: str


def classified() -> ModelProto:
    """The class that was chosen, as a float."""
    return cnn("z = Gemm(flat, w3, b3) i = ArgMax<axis=1, keepdims=0>(z) y = Cast<to=1>(i)", y="float[N] y")


def two_inputs() -> ModelProto:
    """The second input has no part in y."""
    body = CNN + "y = Gemm(flat, w3, b3) u = Relu(t)"
    model = net(body, x="float[N,3,16,16] x, float[N,2] t", y="float[N,5] y, float[N,2] u")
    return model


def resized_by_itself() -> ModelProto:
    """By how much the picture is stretched depends on what it shows."""
    body = "m = ReduceMean<keepdims=1>(x) s = Div(m, m) y = Resize(x, , s)"
    return net(body, x="float[N] x", y="float[M] y")


def in_training(op: str) -> ModelProto:
    if op == "Dropout":
        model = net(CNN + "d = Dropout(flat, half, yes) y = Gemm(d, w3, b3)")
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half"))
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
        return model
    model = net("n, m, v = BatchNormalization<training_mode=1>(x, s, s, s, s) y = Relu(n)", y="float[N,3,16,16] y")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, np.float32), "s"))
    return model


REFUSED = [
    Refused("no such tensor", lambda: onnxcam.gradient(cnn(), of="logit"), errors.UnknownTensor, "no tensor .*'logit'"),
    Refused("near name", lambda: onnxcam.gradient(cnn(), wrt=["flatt"]), errors.UnknownTensor, "Did you mean 'flat'"),
    Refused(
        "integer end", lambda: onnxcam.gradient(classified(), of="i"), errors.IntegerTensor, "'i' holds .*type int64"
    ),
    Refused(
        "integer layer",
        lambda: onnxcam.gradient(classified(), wrt=["i"]),
        errors.IntegerTensor,
        "Name a tensor of float",
    ),
    Refused(
        "ArgMax before the score",
        lambda: onnxcam.gradient(classified()),
        errors.FlatPath,
        r"'x' has no gradient: the way to 'y' leads through ArgMax \(node .*no derivative",
    ),
    Refused(
        "disconnected",
        lambda: onnxcam.gradient(two_inputs(), wrt=["t"]),
        errors.DisconnectedTensor,
        "nothing leads from it to 'y'",
    ),
    Refused(
        "a layer behind the score",
        lambda: onnxcam.gradient(cnn(), of="r1", wrt=["r2"]),
        errors.DisconnectedTensor,
        "nothing leads from it to 'r1'",
    ),
    Refused(
        "an input that no rule answers for",
        lambda: onnxcam.gradient(resized_by_itself()),
        errors.NoGradientForm,
        "Resize .* an input 2 that depends on the layer",
    ),
    Refused(
        "BatchNormalization in training mode",
        lambda: onnxcam.gradient(in_training("BatchNormalization")),
        errors.TrainingModeBatchNormalization,
        r"model\.eval",
    ),
    Refused(
        "Dropout in training mode",
        lambda: onnxcam.gradient(in_training("Dropout")),
        errors.RandomDropout,
        r"model\.eval",
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_bad_input_is_refused(row: Refused):
    with pytest.raises(row.error, match=row.words):
        row.call()


class Cube(OpRun):
    """An operator of somebody else's: x³."""

    op_domain = "acme"

    def _run(self, x: Array) -> tuple[Array]:
        return (x**3,)


def with_cubes() -> ModelProto:
    model = net("c = acme.Cube(x) y = Identity(c)", x="float[N,4] x", y="float[N,4] y")
    model.opset_import.add(domain="acme", version=1)
    return model


def test_an_op_of_a_foreign_domain_is_refused_with_the_way_out():
    with pytest.raises(errors.UnknownDomain, match=r"onnxcam\.autodiff\.vjp\('acme\.Cube'\)"):
        onnxcam.gradient(with_cubes())


def test_a_rule_registered_from_outside_is_used():
    @vjp("acme.Cube")
    def cube(g: Value, node: Node) -> Value:
        """y = x³: y' = 3x²."""
        return g * node.x * node.x * 3.0

    try:
        model = onnxcam.gradient(with_cubes())
        x, cotangent = pictures(1, 4), pictures(1, 4, seed=5)
        found = ReferenceEvaluator(model, new_ops=[Cube]).run(["gradient/x"], {"x": x, "cotangent": cotangent})[0]
        np.testing.assert_allclose(found, 3 * x**2 * cotangent, rtol=1e-5)
    finally:
        del RULES["acme.Cube"]


def test_an_op_is_never_both_flat_and_differentiable():
    assert not FLAT & set(RULES)
