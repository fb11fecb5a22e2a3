"""Methods that attribute the score to the pixels: against Captum, pytorch-grad-cam, zennit and torch.autograd."""

from __future__ import annotations

import copy
import re
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.helper
import onnx.parser
import pytest
from onnx_runs import session
from parity_peers import quiet
from small_nets import Array, cnn, net, pictures
from test_against_torch import relative_l2
from torch_support import torch

from onnxcam import convert
from onnxcam.conventions import CONVENTIONS
from onnxcam.conversion import Request, convert_source
from onnxcam.errors import IntegerTensor, NoAttribution, NoLayerNeeded, NoRelevanceRule, OneLayerOnly
from onnxcam.graph import Tape
from onnxcam.methods import METHODS
from onnxcam.normalizing import normalize

nn = torch.nn
PIXEL_METHODS = [name for name, row in METHODS.items() if row.attribute is not None]
TARGETS = (3, 0)


def outputs(model: Any, method: str, x: Array, *, targets: Any = TARGETS, **wish: Any) -> dict[str, Array]:
    """All outputs of the explain graph, `raw_map` and `attribution` among them."""
    graph = convert(model, method=method, outputs=["raw_map", "attribution"], **wish)
    runtime = session(graph.model)
    names = [output.name for output in runtime.get_outputs()]
    found = runtime.run(None, {runtime.get_inputs()[0].name: x, "target": np.array(targets)})
    return dict(zip(names, found, strict=True))


class Flattening(nn.Sequential):  # type: ignore[misc, name-defined]
    """Flattens before dense layers: Captum's LRP knows no module that does."""

    def forward(self, x: Any) -> Any:
        for part in self:
            x = part(x.flatten(1) if isinstance(part, nn.Linear) else x)
        return x


@cache
def torch_net(relu: type[Any] = nn.ReLU, *, bias: bool = True) -> Any:
    """Convolutions, a normalisation, both kinds of pool, dense layers; two pictures; the same net as ONNX."""
    torch.manual_seed(0)
    module = Flattening(
        nn.Conv2d(3, 8, 3, padding=1, bias=bias), relu(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, bias=False),
        *([nn.BatchNorm2d(12)] if bias else []), relu(), nn.AvgPool2d(2), nn.Linear(12 * 9, 10, bias=bias),
        relu(), nn.Linear(10, 5, bias=bias),
    ).eval()  # fmt: skip
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.normal_(part.bias)
        if isinstance(part, nn.Linear):  # scores far enough from 0 that LRP's quotients are well conditioned
            nn.init.normal_(part.weight, 0.05, 0.4)
    x = 2.0 * torch.randn(2, 3, 16, 16)
    return module, x, convert_source(Request(source=module, example=x[:1])).model


def close(found: Array, expected: Any, tolerance: float = 2e-5) -> None:
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


def captum() -> Any:
    return pytest.importorskip("captum.attr", reason="captum is not installed")


CAPTUM = [
    ("saliency", "Saliency", None),
    ("input-x-gradient", "InputXGradient", None),
    ("guided-backprop", "GuidedBackprop", "captum"),
    ("deconvnet", "Deconvolution", "captum"),
    ("lrp-epsilon", "LRP", "captum"),
]


@pytest.mark.parametrize(("method", "theirs", "like"), CAPTUM)
def test_the_attribution_is_captums(method: str, theirs: str, like: str | None):
    module, x, model = torch_net()
    with quiet():  # in float64, for LRP divides by sums near 0
        peer = getattr(captum(), theirs)(copy.deepcopy(module).double())
        expected = peer.attribute(x.double().requires_grad_(), target=list(TARGETS)).detach().numpy()
    found = outputs(model, method, x.numpy(), like=like)["attribution"]
    assert relative_l2(found, expected) <= (5e-3 if theirs == "LRP" else 1e-6)


def test_guided_gradcam_is_captums():
    module, x, model = torch_net()
    with quiet():
        theirs = captum().GuidedGradCam(module, module[5])
        expected = theirs.attribute(x.clone().requires_grad_(), target=list(TARGETS))
    layer = _output_of("Relu", 1, model)
    close(outputs(model, "guided-gradcam", x.numpy(), layer=layer, like="captum")["attribution"], expected)


def test_guided_gradcam_enlarges_the_layers_map_bilinearly_as_in_the_paper():
    module, x, model = torch_net()
    given = x.clone().requires_grad_()
    with quiet():
        guided = captum().GuidedBackprop(module).attribute(given, target=list(TARGETS))
        coarse = captum().LayerGradCam(module, module[5]).attribute(given, list(TARGETS), relu_attributions=True)
    expected = guided * nn.functional.interpolate(coarse, (16, 16), mode="bilinear")
    close(outputs(model, "guided-gradcam", x.numpy(), layer=_output_of("Relu", 1, model))["attribution"], expected)


def _output_of(op_type: str, index: int, model: onnx.ModelProto) -> str:
    return [node.output[0] for node in model.graph.node if node.op_type == op_type][index]


@pytest.mark.parametrize("method", ["guided-backprop", "deconvnet"])
def test_captum_leaves_relu6_its_derivative_and_we_do_not(method: str):
    module, x, model = torch_net(nn.ReLU6)
    theirs = {"guided-backprop": "GuidedBackprop", "deconvnet": "Deconvolution"}[method]
    with quiet():
        expected = getattr(captum(), theirs)(module).attribute(x.clone().requires_grad_(), target=list(TARGETS))
    close(outputs(model, method, x.numpy(), like="captum")["attribution"], expected)
    own = outputs(model, method, x.numpy())["attribution"]
    assert np.abs(own - expected.numpy()).max() > 0.1 * np.abs(own).max()


def test_guided_backpropagation_is_that_of_pytorch_grad_cam():
    module, x, model = torch_net()
    library = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")
    with quiet():
        theirs = library.GuidedBackpropReLUModel(model=module, device="cpu")
        expected = [theirs(x[i : i + 1], target_category=target) for i, target in enumerate(TARGETS)]
    found = outputs(model, "guided-backprop", x.numpy(), like="pytorch-grad-cam")["attribution"]
    close(found.transpose(0, 2, 3, 1), np.stack(expected))


ZENNITS = {
    "lrp-epsilon-plus": "EpsilonPlus", "lrp-epsilon-plus-flat": "EpsilonPlusFlat", "lrp": "EpsilonPlusFlat",
    "lrp-epsilon-alpha2beta1": "EpsilonAlpha2Beta1", "lrp-epsilon-alpha2beta1-flat": "EpsilonAlpha2Beta1Flat",
}  # fmt: skip


@pytest.mark.parametrize("method", ZENNITS)
def test_a_composite_begun_with_the_score_is_zennits(method: str):
    composites = pytest.importorskip("zennit.composites", reason="zennit is not installed")
    from zennit.attribution import Gradient
    from zennit.canonizers import SequentialMergeBatchNorm

    module, x, model = torch_net()
    start = module(x).detach() * nn.functional.one_hot(torch.tensor(TARGETS), 5)
    composite = getattr(composites, ZENNITS[method])(canonizers=[SequentialMergeBatchNorm()])
    with Gradient(model=module, composite=composite) as attributor:
        expected = attributor(x, start)[1]
    close(outputs(model, method, x.numpy())["attribution"], expected, 2e-4)


@pytest.mark.parametrize("target", [3, 5 + 3, 2 * 5 + 3 * 5 + 1], ids=["a class", "its other side", "a difference"])
@pytest.mark.parametrize("method", ["lrp-epsilon", "lrp-attention", "input-x-gradient"])
def test_of_a_net_without_biases_the_shares_add_up_to_what_is_explained(method: str, target: int):
    _, x, model = torch_net(bias=False)
    found = outputs(model, method, x.numpy(), targets=[target, target])
    np.testing.assert_allclose(found["attribution"].sum((1, 2, 3)), found["target_score"], rtol=1e-3)


@pytest.mark.parametrize("method", PIXEL_METHODS)
def test_several_targets_give_the_maps_that_each_gives_alone(method: str):
    x = pictures(2)
    many = outputs(cnn(), method, x, targets=[[0, 3], [4, 1]], multi_target=True)
    for place in range(2):
        alone = outputs(cnn(), method, x, targets=[[0, 4], [3, 1]][place])
        for name in ("heatmap", "raw_map", "attribution"):
            np.testing.assert_allclose(many[name][:, place], alone[name], atol=1e-5 * np.abs(alone[name]).max())


JOINED = {
    "maximum": lambda attribution: np.abs(attribution).max(1),
    "absolute": lambda attribution: np.abs(attribution).sum(1),
    "sum": lambda attribution: attribution.sum(1),
}


@pytest.mark.parametrize("channels", JOINED)
def test_the_channels_are_joined_as_the_option_says(channels: str):
    found = outputs(cnn(), "input-x-gradient", pictures(2), options={"channels": channels})
    np.testing.assert_allclose(found["raw_map"], JOINED[channels](found["attribution"]), atol=1e-5)


@pytest.mark.parametrize(
    ("method", "channels"),
    [("saliency", "maximum"), ("guided-backprop", "maximum"), ("input-x-gradient", "sum"), ("lrp", "sum")],
)
def test_each_method_has_its_own_way_to_join_channels(method: str, channels: str):
    found = outputs(cnn(), method, pictures(2))
    np.testing.assert_allclose(found["raw_map"], JOINED[channels](found["attribution"]), atol=1e-5)


# How their maps become heatmaps.


def numpy_percentile(raw: Array) -> Array:
    positive = np.maximum(raw, 0)
    high = np.percentile(positive.astype(np.float64), 99)
    return np.minimum(positive / (high if high > 0 else max(positive.max(), 1e-30)), 1)


def heatmap(raw: Array, convention: str = "percentile", *, is_open: bool = False) -> Array:
    sizes = "N,H,W" if is_open else f"N,{raw.shape[1]},{raw.shape[2]}"
    tape = Tape(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> m (float[{sizes}] m) => () {{}}'))
    size = tape.Shape(tape.value("m"), start=1) if is_open else tape.ints(*raw.shape[1:])
    tape.add_output(CONVENTIONS[convention]([tape.value("m")], size), "heatmap")
    return np.asarray(session(tape.model).run(None, {"m": raw})[0])


RAW = {
    "noise": np.random.default_rng(0).normal(size=(3, 20, 31)),
    "one bright pixel": np.eye(1, 144).reshape(1, 12, 12) + 0.001,
    "nought but for a pixel": np.eye(1, 900).reshape(1, 30, 30),
    "nothing": np.zeros((2, 5, 5)),
    "nothing positive": -np.ones((1, 6, 6)),
    "two pixels": np.array([[[1.0, 3.0]]]),
    "one pixel": np.array([[[2.0]]]),
}


@pytest.mark.parametrize("is_open", [False, True], ids=["fixed size", "open size"])
@pytest.mark.parametrize("name", RAW)
def test_pixel_maps_are_cut_at_their_99th_percentile(name: str, is_open: bool):
    raw = RAW[name].astype(np.float32)
    found = heatmap(raw, is_open=is_open)
    np.testing.assert_allclose(found, np.stack([numpy_percentile(row) for row in raw]), atol=1e-6)
    twin = np.stack([normalize([row], row.shape, "percentile") for row in raw])
    np.testing.assert_allclose(twin, found, atol=1e-6)


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_what_is_not_finite_is_not_cut_off(wrong: float):
    raw = np.ones((1, 8, 8), np.float32)
    raw[0, 2, 2] = wrong
    assert not np.isfinite(heatmap(raw)).all()
    assert not np.isfinite(normalize([raw[0]], (8, 8), "percentile")).all()


def test_pixel_maps_are_cut_unless_another_library_or_convention_is_named():
    model = cnn()
    assert convert(model, method="saliency").metadata.normalize == "percentile"
    assert convert(model, method="saliency", like="captum").metadata.normalize == "captum"
    assert convert(model, method="saliency", normalize="keras").metadata.normalize == "keras"
    assert convert(model, method="gradcam").metadata.normalize == "pytorch-grad-cam"


# What depends on the model.

ATTENTION = """
  c1 = Conv<pads=[1,1,1,1]>(x, w1, b1)
  r1 = Relu(c1)
  p1 = Softmax<axis=1>(r1)
  c2 = Conv<pads=[1,1,1,1]>(p1, w2, b2)
  gap = GlobalAveragePool(c2)
  flat = Flatten(gap)
  y = Gemm(flat, w3, b3)
"""


def test_lrp_takes_the_rules_that_suit_the_net():
    assert convert(cnn(), method="lrp").metadata.options["composite"] == "epsilon-plus-flat"
    assert convert(net(ATTENTION), method="lrp").metadata.options["composite"] == "attention"
    given = convert(cnn(), method="lrp", options={"composite": "gamma"}).metadata.options
    assert given["composite"] == "gamma"


def test_the_box_ends_at_what_a_prepared_pixel_can_be():
    options = convert(cnn(), method="lrp-epsilon-gamma-box", preprocess="torchvision").metadata.options
    np.testing.assert_allclose(options["low"], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    np.testing.assert_allclose(options["high"], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])


def test_of_a_net_that_prepares_pixels_itself_the_box_is_that_of_the_picture_at_hand():
    inside = cnn().graph
    body = "h = Mul(x, two)\n" + "c1 = Conv<pads=[1,1,1,1]>(h, w1, b1) gap = GlobalAveragePool(c1) flat = Flatten(gap)"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[N,3,16,16] x) => (float[N,6] flat) '
        f"<float two = {{2.0}}> {{ {body} }}"
    )
    model.graph.initializer.extend(tensor for tensor in inside.initializer if tensor.name in ("w1", "b1"))
    assert convert(model, method="lrp-epsilon-gamma-box", preprocess="unit").metadata.options == {}


def test_a_box_of_the_users_own_is_kept():
    wish = {"options": {"low": "-1", "high": "1,1,2"}, "preprocess": "unit"}
    options = convert(cnn(), method="lrp-epsilon-gamma-box", **wish).metadata.options
    assert (options["low"], options["high"]) == ((-1.0,), (1.0, 1.0, 2.0))


def test_the_box_is_the_one_of_the_options():
    from onnxcam.autodiff import differentiate
    from onnxcam.autodiff.backward import epsilon_gamma_box

    x, tape = pictures(2), Tape(cnn())
    (y,) = tape.outputs
    start = np.zeros((2, 5), np.float32)
    found = outputs(cnn(), "lrp-epsilon-gamma-box", x, options={"low": "-5", "high": "6"})
    for row, target in enumerate(TARGETS):
        start[row, target] = found["target_score"][row]
    (value,) = differentiate(
        {y: tape.add_input("start", np.float32, [2, 5])}, tape.inputs[:1], epsilon_gamma_box(-5, 6)
    )
    assert value is not None
    tape.add_output(value, "found")
    close(found["attribution"], session(tape.model).run(["found"], {"x": x, "start": start})[0])


# Inputs of other kinds.

LAST = "t = Transpose<perm=[0,3,1,2]>(x)\n"


def test_channels_last_give_the_attribution_in_their_own_layout():
    x = pictures(2)
    body = (LAST + cnn_body()).replace("Conv<pads=[1,1,1,1]>(x, w1", "Conv<pads=[1,1,1,1]>(t, w1")
    last = net(body, x="float[N,16,16,3] x")
    for method in ("saliency", "guided-gradcam", "lrp", "fullgrad"):
        names = ["raw_map"] if method == "fullgrad" else ["raw_map", "attribution"]
        first, found = (
            dict(zip(names, session(convert(m, method=method, outputs=names).model).run(names, {"x": a}), strict=True))
            for m, a in ((cnn(), x), (last, np.ascontiguousarray(x.transpose(0, 2, 3, 1))))
        )
        close(found["raw_map"], first["raw_map"])
        if method != "fullgrad":
            close(found["attribution"], first["attribution"].transpose(0, 2, 3, 1))


def cnn_body() -> str:
    from small_nets import CNN

    return CNN + "y = Gemm(flat, w3, b3)"


@pytest.mark.parametrize("before", ["f = Cast<to=1>(x)", "t = Transpose<perm=[0,3,1,2]>(x)\nf = Cast<to=1>(t)"])
@pytest.mark.parametrize("method", ["saliency", "input-x-gradient", "guided-gradcam", "lrp", "fullgrad"])
def test_a_picture_of_bytes_is_explained_where_it_first_is_floats(method: str, before: str):
    first = "Transpose" not in before
    body = before + "\n" + cnn_body().replace("Conv<pads=[1,1,1,1]>(x, w1", "Conv<pads=[1,1,1,1]>(f, w1")
    model = net(body, x="uint8[N,3,16,16] x" if first else "uint8[N,16,16,3] x")
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16)).astype(np.uint8)
    given = x if first else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    found = session(convert(model, method=method).model).run(["heatmap"], {"x": given})[0]
    expected = session(convert(cnn(), method=method).model).run(["heatmap"], {"x": x.astype(np.float32)})[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_bytes_that_become_floats_at_another_size_are_refused():
    body = "s = Slice(x, starts, ends, axes)\nf = Cast<to=1>(s)\n" + cnn_body().replace("1]>(x, w1", "1]>(f, w1")
    model = net(body, x="uint8[N,3,20,20] x")
    for name, values in (("starts", [2, 2]), ("ends", [18, 18]), ("axes", [2, 3])):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(values), name))
    with pytest.raises(IntegerTensor, match="uint8"):
        convert(model, method="saliency")


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with half the precision."""
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float16), tensor.name))
    for info in (*model.graph.input, *model.graph.output):
        info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return model


@pytest.mark.parametrize("method", [*PIXEL_METHODS, "fullgrad"])
def test_half_precision_gives_nearly_the_same_shares(method: str):
    x = pictures(2)
    name = "raw_map" if method == "fullgrad" else "attribution"
    wide, narrow = (
        session(convert(model, method=method, outputs=[name]).model).run([name], {"x": given})[0]
        for model, given in ((cnn(), x), (half(cnn()), x.astype(np.float16)))
    )
    assert narrow.dtype == np.float32
    # A baseline of one colour has equal elements in a pool's windows, of which rounding chooses one.
    close(narrow, wide, 0.1 if method == "deeplift-shap" else 0.05)


QUANTIZED = """
  c1 = Conv<pads=[1,1,1,1]>(x, w1, b1)
  q1 = QuantizeLinear(c1, s1, zero)
  r1 = DequantizeLinear(q1, s1, zero)
  p1 = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r1)
  c2 = Conv<pads=[1,1,1,1]>(p1, w2, b2)
  q2 = QuantizeLinear(c2, s2, zero)
  r2 = DequantizeLinear(q2, s2, zero)
  gap = GlobalAveragePool(r2)
  flat = Flatten(gap)
  y = Gemm(flat, w3, b3)
"""


@pytest.mark.parametrize("method", [*PIXEL_METHODS, "fullgrad"])
def test_a_relu_that_is_left_to_the_quantisation_still_is_one(method: str):
    model, x = net(QUANTIZED), pictures(2)
    for name, value in (("s1", np.float32(8 / 255)), ("s2", np.float32(16 / 255)), ("zero", np.uint8(0))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
    found, expected = (
        session(convert(m, method=method, outputs=["raw_map"]).model).run(
            ["raw_map"], {"x": x, "target": np.array([3, 0])}
        )[0]
        for m in (model, cnn())
    )
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95


# What cannot be had.


@pytest.mark.parametrize("method", ["saliency", "lrp", "fullgrad"])
def test_a_layer_named_for_a_method_of_the_picture_is_refused(method: str):
    with pytest.raises(NoLayerNeeded, match="'r2'"):
        convert(cnn(), method=method, layer="r2")


def test_guided_gradcam_looks_at_one_layer():
    with pytest.raises(OneLayerOnly, match="'r1', 'r2'"):
        convert(cnn(), method="guided-gradcam", layer=["r1", "r2"])


@pytest.mark.parametrize("method", ["gradcam", "fullgrad"])
def test_a_method_of_maps_has_no_attribution_and_names_those_that_have(method: str):
    with pytest.raises(NoAttribution, match="saliency"):
        convert(cnn(), method=method, outputs=["attribution"])


def test_a_relevance_that_would_pass_a_softmax_is_refused_with_what_to_do():
    with pytest.raises(NoRelevanceRule, match="logits"):
        convert(cnn("y = Gemm(flat, w3, b3)"), method="lrp-epsilon", score="probability")


# Their page.

PAGE = (Path(__file__).parent.parent / "docs" / "pixels.md").read_text()


def test_the_pages_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    onnx.save(cnn(), tmp_path / "model.onnx")
    photo = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photo.jpg"), photo)
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "pixels.md", "exec"), {})
    assert cv2.imread(str(tmp_path / "guided.png")).shape == (40, 30, 3)


def test_the_pages_table_is_that_of_the_methods():
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| (\w*) *\| (.*) *\|$", PAGE, re.MULTILINE)
    named = {name: (channels, set(re.findall(r"`([\w-]+)`", options))) for name, channels, options in rows}
    expected = {}
    for name in (*PIXEL_METHODS, "fullgrad"):
        own = METHODS[name].options
        expected[name] = (own["channels"].default if "channels" in own else "", set(own) - {"channels"})
    assert named == expected
