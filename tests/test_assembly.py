"""The explain graph: its contract, its targets, what it leaves unchanged."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnx.checker
import pytest
from formulas import numpy_pytorch_grad_cam
from samples import model_path, needs_samples
from small_nets import CNN, cnn, net, pictures, run

import onnxcam
from onnxcam.api import explainer_of
from onnxcam.assembly import ExplainGraph
from onnxcam.errors import NameTaken, NoLinearHead, NotRepeatable, UnknownChoice
from onnxcam.metadata import KEY, parse


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def explain(model: onnx.ModelProto, target: object = None, count: int = 3, **options: object) -> dict[str, np.ndarray]:
    feeds = {"x": pictures(count)}
    if target is not None:
        feeds["target"] = np.array(target, np.int64)
    return run(onnxcam.convert(model, **options).model, feeds)


def test_inputs_and_outputs_are_the_models_own_and_then_ours():
    graph = onnxcam.convert(cnn()).model.graph
    assert [x.name for x in graph.input] == ["x", "target"]
    assert [y.name for y in graph.output] == ["y", "heatmap", "target_index", "target_score"]


def test_outputs_have_the_shapes_of_the_contract():
    found = explain(cnn())
    assert found["heatmap"].shape == (3, 16, 16)
    assert found["heatmap"].dtype == np.float32
    assert found["target_index"].shape == found["target_score"].shape == (3,)
    assert found["target_index"].dtype == np.int64


def test_the_models_own_output_does_not_change():
    own = run(cnn(), {"x": pictures(3)})["y"]
    assert relative(explain(cnn())["y"], own) <= 1e-6


def test_the_given_model_is_left_as_it_is():
    model = cnn()
    before = model.SerializeToString()
    onnxcam.convert(model)
    assert model.SerializeToString() == before


def test_the_file_passes_the_full_checker_and_uses_the_default_domain_only():
    model = onnxcam.convert(cnn(), method="eigencam").model
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]


def test_added_nodes_say_what_they_are():
    names = {node.name for node in onnxcam.convert(cnn(), layer="r1").model.graph.node}
    assert any(name.startswith("gradient/p1/") for name in names)


def test_heatmap_lies_between_zero_and_one():
    heatmap = explain(cnn())["heatmap"]
    assert heatmap.min() >= 0
    assert heatmap.max() <= 1
    assert heatmap.max() > 0.99


def test_without_a_target_the_best_class_is_explained():
    found = explain(cnn())
    np.testing.assert_array_equal(found["target_index"], found["y"].argmax(1))
    np.testing.assert_allclose(found["target_score"], found["y"].max(1))


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_a_negative_target_is_a_rank(rank: int):
    found = explain(cnn(), [-rank] * 3)
    np.testing.assert_array_equal(found["target_index"], np.argsort(-found["y"], axis=1)[:, rank - 1])


def test_each_image_has_its_own_target():
    found = explain(cnn(), [4, 0, -1])
    for row, target in enumerate([4, 0, int(found["y"][2].argmax())]):
        single = run(onnxcam.convert(cnn()).model, {"x": pictures(3)[row : row + 1], "target": np.array([target])})
        np.testing.assert_allclose(found["heatmap"][row], single["heatmap"][0], atol=1e-5)
        assert found["target_index"][row] == target


def test_one_target_stands_for_all_images():
    np.testing.assert_array_equal(explain(cnn(), [2])["target_index"], [2, 2, 2])


def test_the_other_side_of_a_class_is_explained_by_minus_its_logit():
    found = explain(cnn(), [5 + 3] * 3, outputs=["gradient"])
    positive = explain(cnn(), [3] * 3, outputs=["gradient"])
    np.testing.assert_array_equal(found["target_index"], 8)
    np.testing.assert_allclose(found["target_score"], -found["y"][:, 3])
    np.testing.assert_allclose(found["gradient"], -positive["gradient"])


ONE_OUTPUT = "z = Gemm(flat, w4, b4)\n y = Sigmoid(z)"


def test_a_one_output_sigmoid_net_is_explained_for_the_side_that_it_takes():
    found = explain(cnn(ONE_OUTPUT, y="float[N,1] y"), count=20)
    np.testing.assert_array_equal(found["target_index"], (found["y"][:, 0] < 0.5).astype(int))
    assert (found["target_score"] >= 0).all()


def test_a_one_output_sigmoid_net_has_two_opposite_sides():
    model = cnn(ONE_OUTPUT, y="float[N,1] y")
    yes, no = (explain(model, [side] * 3, outputs=["raw_map"]) for side in (0, 1))
    np.testing.assert_allclose(yes["raw_map"], -no["raw_map"], atol=1e-7)
    np.testing.assert_allclose(yes["target_score"], -no["target_score"])


ENDINGS = {
    "softmax": "z = Gemm(flat, w3, b3)\n y = Softmax(z)",
    "log softmax": "z = Gemm(flat, w3, b3)\n y = LogSoftmax(z)",
    "sigmoid": "z = Gemm(flat, w3, b3)\n y = Sigmoid(z)",
    "matrix product and sum": "m = MatMul(flat, w3)\n y = Add(m, b3)",
    "softmax, then plumbing": "z = Gemm(flat, w3, b3)\n s = Softmax(z)\n y = Identity(s)",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_final_squashing_is_stepped_over(ending: str):
    expected, found = explain(cnn(), [1, 2, 3]), explain(cnn(ending), [1, 2, 3])
    np.testing.assert_allclose(found["heatmap"], expected["heatmap"], atol=1e-5)
    np.testing.assert_allclose(found["target_score"], expected["target_score"], rtol=1e-5)


def test_probability_is_explained_on_request():
    found = explain(cnn(ENDINGS["softmax"]), [1, 1, 1], score="probability", outputs=["gradient"])
    np.testing.assert_allclose(found["target_score"], found["y"][:, 1], rtol=1e-6)
    # d softmax_t / d pooled = p_t · (W_t − Σ_c p_c W_c), spread evenly over 8 × 8 places.
    model = cnn()
    w = next(onnx.numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "w3")
    p = found["y"]
    expected = p[:, 1:2] * (w[:, 1] - p @ w.T) / 64
    np.testing.assert_allclose(found["gradient"].mean((2, 3)), expected, atol=1e-6)


def test_a_saturated_softmax_still_has_a_map():
    model = cnn("z = Gemm<alpha=1000.0>(flat, w3, b3)\n y = Softmax(z)")
    found = explain(model)
    assert (found["y"].max(1) == 1).any()
    assert found["heatmap"].max(axis=(1, 2)).min() > 0.99


def test_the_gradient_is_that_of_the_score():
    found = explain(cnn(), [2, 2, 2], layer="r2", outputs=["gradient", "activation", "raw_map"])
    w = next(onnx.numpy_helper.to_array(t) for t in cnn().graph.initializer if t.name == "w3")
    expected = np.broadcast_to(w[:, 2][None, :, None, None] / 64, found["gradient"].shape)
    np.testing.assert_allclose(found["gradient"], expected, rtol=1e-5)
    raw = (expected.mean((2, 3), keepdims=True) * found["activation"]).sum(1)
    np.testing.assert_allclose(found["raw_map"], raw, atol=1e-6)


@pytest.mark.parametrize("layer", [None, "r1", "x1"], ids=["last", "first", "input side"])
def test_several_targets_give_the_maps_of_single_ones(layer: str | None):
    model = cnn() if layer != "x1" else net("x1 = Relu(x)\n" + cnn_from("x1"))
    feeds = {"x": pictures(2)}
    targets = np.array([[0, 3, -1], [4, 4, -2]])
    many = run(onnxcam.convert(model, layer=layer, multi_target=True).model, {**feeds, "target": targets})
    assert many["heatmap"].shape == (2, 3, 16, 16)
    assert many["target_index"].shape == many["target_score"].shape == (2, 3)
    one = onnxcam.convert(model, layer=layer).model
    for place in range(3):
        single = run(one, {**feeds, "target": targets[:, place]})
        np.testing.assert_allclose(many["heatmap"][:, place], single["heatmap"], atol=1e-5)
        np.testing.assert_array_equal(many["target_index"][:, place], single["target_index"])
        np.testing.assert_allclose(many["target_score"][:, place], single["target_score"], rtol=1e-5)


def test_several_targets_of_several_layers_give_the_maps_of_single_ones():
    feeds, targets = {"x": pictures(2)}, np.array([[0, 3], [4, -1]])
    options = {"layer": ["r1", "r2"], "outputs": ["raw_map", "gradient"]}
    many = run(onnxcam.convert(cnn(), multi_target=True, **options).model, {**feeds, "target": targets})
    assert many["gradient"].shape == (2, 2, 6, 16, 16)
    one = onnxcam.convert(cnn(), **options).model
    for place in range(2):
        single = run(one, {**feeds, "target": targets[:, place]})
        for name in ("heatmap", "raw_map", "gradient"):
            np.testing.assert_allclose(many[name][:, place], single[name], atol=1e-5)


def cnn_from(start: str) -> str:
    return CNN.replace("Conv<pads=[1,1,1,1]>(x,", f"Conv<pads=[1,1,1,1]>({start},") + "y = Gemm(flat, w3, b3)"


def test_several_targets_repeat_only_what_lies_above_the_layer():
    single, many = (onnxcam.convert(cnn(), multi_target=many).model.graph.node for many in (False, True))
    count = [sum(node.op_type == "Conv" for node in nodes) for nodes in (single, many)]
    assert count == [2, 2]


def test_a_batch_of_one_is_opened():
    fixed = cnn(x="float[1,3,16,16] x", y="float[1,5] y")
    found, expected = explain(fixed), explain(cnn())
    np.testing.assert_allclose(found["heatmap"], expected["heatmap"], atol=1e-6)


def test_height_and_width_may_stay_open():
    open_sizes = cnn(x="float[N,3,H,W] x")
    feeds = {"x": pictures(2)}
    for layer in ("r1", "r2"):
        found = run(onnxcam.convert(open_sizes, layer=layer).model, feeds)
        expected = run(onnxcam.convert(cnn(), layer=layer).model, feeds)
        np.testing.assert_allclose(found["heatmap"], expected["heatmap"], atol=1e-5)
    wide = run(onnxcam.convert(open_sizes, layer="r1").model, {"x": pictures(1, 3, 12, 22)})
    assert wide["heatmap"].shape == (1, 12, 22)


def test_pictures_with_channels_last_are_explained_in_their_own_layout():
    model = net(
        "t = Transpose<perm=[0,3,1,2]>(x)\n" + cnn_from("t"),
        x="float[N,16,16,3] x",
    )
    x = pictures(2)
    found = run(onnxcam.convert(model).model, {"x": x.transpose(0, 2, 3, 1).copy()})
    expected = run(onnxcam.convert(cnn()).model, {"x": x})
    np.testing.assert_allclose(found["heatmap"], expected["heatmap"], atol=1e-6)


def test_a_layer_with_channels_last_gives_the_same_map():
    model = cnn().SerializeToString()
    swapped = onnx.load_from_string(model)
    for node in swapped.graph.node:
        if node.op_type == "GlobalAveragePool":
            node.input[0] = "back"
    place = next(i for i, node in enumerate(swapped.graph.node) if node.op_type == "GlobalAveragePool")
    last = onnx.helper.make_node("Transpose", ["r2"], ["last"], perm=[0, 2, 3, 1])
    back = onnx.helper.make_node("Transpose", ["last"], ["back"], perm=[0, 3, 1, 2])
    nodes = list(swapped.graph.node)
    del swapped.graph.node[:]
    swapped.graph.node.extend([*nodes[:place], last, back, *nodes[place:]])
    found, expected = explain(swapped, layer="last"), explain(cnn(), layer="r2")
    np.testing.assert_allclose(found["heatmap"], expected["heatmap"], atol=1e-6)


def test_several_layers_are_fused():
    both = explain(cnn(), [1, 1, 1], layer=["r1", "r2"])["heatmap"]
    raw = [explain(cnn(), [1, 1, 1], layer=layer, outputs=["raw_map"])["raw_map"] for layer in ("r1", "r2")]
    for row, found in enumerate(both):
        np.testing.assert_allclose(found, numpy_pytorch_grad_cam([maps[row] for maps in raw], (16, 16)), atol=1e-5)


def test_metadata_says_how_the_file_was_made():
    graph = onnxcam.convert(cnn(), layer="r1", method="layercam", labels=list("abcde"), preprocess="tf")
    text = next(entry.value for entry in graph.model.metadata_props if entry.key == KEY)
    assert next(iter(json.loads(text))) == "schema"
    found = parse(text)
    assert found == graph.metadata
    assert (found.method, found.layers, found.score, found.input, found.scores) == (
        "layercam",
        ("r1",),
        "logit",
        "x",
        "y",
    )
    assert (found.classes, found.labels, found.normalize) == (5, tuple("abcde"), "pytorch-grad-cam")
    assert found.preprocessing is not None
    assert found.preprocessing["size"] == (16, 16) or found.preprocessing["size"] == [16, 16]
    assert len(found.source["sha256"]) == 64
    assert found.versions["onnxcam"] == onnxcam.__version__


def test_the_class_weights_of_cam_are_those_of_the_dense_layer():
    found = explain(cnn(), [1, 1, 1], method="cam", outputs=["raw_map", "activation"])
    w = next(onnx.numpy_helper.to_array(t) for t in cnn().graph.initializer if t.name == "w3")
    np.testing.assert_allclose(found["raw_map"], np.einsum("nchw,c->nhw", found["activation"], w[:, 1]), atol=1e-5)


def test_cam_takes_a_head_whose_reshape_reads_the_batch_off_the_layer():
    """As torch writes x.view(x.size(0), -1) with an open batch."""
    sized = """s = Shape(gap) first = Constant<value_int=0>() n = Gather(s, first) axis = Constant<value_ints=[0]>()
        lead = Unsqueeze(n, axis) rest = Constant<value_ints=[-1]>() to = Concat<axis=0>(lead, rest)
        rows = Reshape(gap, to) y = Gemm(rows, w3, b3)"""
    found = explain(cnn(sized), [1, 1, 1], method="cam", layer="r2", outputs=["raw_map"])
    plain = explain(cnn(), [1, 1, 1], method="gradcam", layer="r2", outputs=["activation"])
    w = next(onnx.numpy_helper.to_array(t) for t in cnn().graph.initializer if t.name == "w3")
    np.testing.assert_allclose(found["raw_map"], np.einsum("nchw,c->nhw", plain["activation"], w[:, 1]), atol=1e-5)


def test_cam_names_what_is_not_linear_and_not_what_takes_a_size():
    bent = "s = Shape(r2) t = Tanh(r2) q = Reshape(t, s) m = GlobalAveragePool(q) f = Flatten(m) y = Gemm(f, w3, b3)"
    with pytest.raises(NoLinearHead, match="Tanh"):
        onnxcam.convert(cnn(bent), method="cam", layer="r2")


def test_cam_is_refused_where_more_than_a_linear_head_lies_above():
    with pytest.raises(NoLinearHead, match=r"'cam'.*Conv|MaxPool|Relu"):
        onnxcam.convert(cnn(), method="cam", layer="r1")


def test_a_name_of_ours_that_the_model_has_already_is_refused():
    with pytest.raises(NameTaken, match="'heatmap'"):
        onnxcam.convert(cnn("heatmap = Gemm(flat, w3, b3)\n y = Identity(heatmap)"))


def test_an_unknown_convention_is_refused_with_the_near_one():
    with pytest.raises(UnknownChoice, match="torchcam"):
        onnxcam.convert(cnn(), normalize="torchcamm")


def test_the_gradient_of_any_tensor_can_be_had_by_itself():
    model = onnxcam.gradient(cnn(), of="y", wrt=["x", "r2"])
    assert [x.name for x in model.graph.input] == ["x", "cotangent"]
    assert [y.name for y in model.graph.output] == ["y", "gradient/x", "gradient/r2"]
    x, cotangent = pictures(2), np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    found = run(model, {"x": x, "cotangent": cotangent})
    slope = float(np.linalg.norm(found["gradient/x"]))
    step = 0.02 * found["gradient/x"] / slope
    up, down = (run(cnn(), {"x": x + side * step})["y"] for side in (1, -1))
    assert ((up - down) * cotangent).sum() / 0.04 == pytest.approx(slope, rel=1e-2)


@needs_samples
def test_the_file_is_hardly_larger_than_the_model(tmp_path):
    source = model_path("squeezenet1.1_fp32")
    path = onnxcam.convert(source).save(tmp_path / "out.onnx")
    assert path.stat().st_size <= 1.03 * source.stat().st_size


BRANCH = """
  yes = Greater(total, zero)
  picked = If (yes) <
    then_branch = one () => (float[N,8] t) { t = Mul(flat, flat) },
    else_branch = two () => (float[N,8] e) { e = Neg(flat) }
  >
  both = Add(picked, flat)
  y = Gemm(both, w3, b3)
"""


def branching() -> onnx.ModelProto:
    model = net(CNN + "total = ReduceSum<keepdims=0>(x)\n" + BRANCH)
    model.graph.initializer.append(onnx.helper.make_tensor("zero", 1, [], [0.0]))
    return model


def test_a_branch_between_layer_and_score_is_gone_through_and_not_stepped_over():
    photo = np.random.default_rng(2).integers(1, 255, (16, 16, 3), np.uint8)
    plain = net(CNN + "square = Mul(flat, flat)\nboth = Add(square, flat)\ny = Gemm(both, w3, b3)")
    found, expected = (explainer_of(onnxcam.convert(m, preprocess="unit"))(photo).heatmap for m in (branching(), plain))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_several_targets_an_image_cannot_be_had_through_a_branch():
    with pytest.raises(NotRepeatable, match="If, a branch or loop"):
        onnxcam.convert(branching(), multi_target=True)


def test_a_graph_over_two_gigabytes_is_run_from_a_file(monkeypatch: pytest.MonkeyPatch):
    graph = onnxcam.convert(cnn(), preprocess="unit")
    photo = np.full((16, 16, 3), 128, np.uint8)
    expected = explainer_of(graph)(photo).heatmap
    monkeypatch.setattr(ExplainGraph, "is_large", property(lambda _: True))
    monkeypatch.setattr(ExplainGraph, "to_bytes", None)
    np.testing.assert_array_equal(explainer_of(graph)(photo).heatmap, expected)
