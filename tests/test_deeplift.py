"""DeepLIFT: that multipliers add up, op by op and in whole nets, and that Captum's form gives Captum's numbers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from architecture_nets import NETS
from backward_runs import Array, evaluated, model
from conformance import run as run_reference
from parity_peers import quiet
from small_nets import cnn, pictures
from small_nets import run as run_net
from test_against_torch import relative_l2
from test_pixel_methods import captum, half, outputs, torch_net
from torch_support import torch

from onnxcam import convert
from onnxcam.autodiff import differentiate
from onnxcam.autodiff.backward import Reference, rescale_table
from onnxcam.conversion import Request, convert_source
from onnxcam.errors import InvalidOption
from onnxcam.graph import Tape

nn = torch.nn
TARGETS = (3, 0)

# Of each op what is computed from x; the changes of x times their multipliers must add up to that of y.
OPS = [
    "y = Relu(x)", "y = LeakyRelu<alpha=0.1>(x)", "y = PRelu(x, slope)", "y = ThresholdedRelu<alpha=0.5>(x)",
    "y = Elu(x)", "y = Selu(x)", "y = Clip(x, low, high)", "y = Sigmoid(x)", "y = HardSigmoid(x)", "y = HardSwish(x)",
    "y = Tanh(x)", "y = Softplus(x)", "y = Softsign(x)", "y = Mish(x)", "y = Shrink<lambd=0.3>(x)", "y = Abs(x)",
    "y = Exp(x)", "y = Erf(x)", "y = Sin(x)", "y = Cos(x)", "y = Atan(x)", "y = Asinh(x)",
    "a = Abs(x); y = Log(a)", "a = Abs(x); y = Sqrt(a)", "y = Reciprocal(x)", "y = Pow(x, two)", "y = Pow(x, three)",
    "a = Abs(x); y = Pow(a, half)",
    "s = Sigmoid(x); y = Mul(x, s)", "a = Sin(x); y = Mul(x, a)", "a = Exp(x); y = Div(x, a)", "y = Div(one, x)",
    "y = Mul(x, x)", "a = Sin(x); y = Max(x, a, zero)", "a = Sin(x); y = Min(a, x)", "y = Max(x, zero)",
    "a = Div(x, high); b = Erf(a); c = Add(b, one); d = Mul(x, c); y = Mul(d, half)",
    "t = Transpose<perm=[0,1,3,2]>(x); y = MatMul(x, t)", "y = Einsum<equation=\"abcd,abed->abce\">(x, x)",
    "y = MaxPool<kernel_shape=[2,2]>(x)", "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)",
    "y = GlobalMaxPool(x)", "y = ReduceMax<keepdims=0>(x, axes)", "y = ReduceMin(x, axes)",
    "y = ReduceL1(x, axes)", "y = ReduceL2(x, axes)", "y = ReduceSumSquare<keepdims=0>(x, axes)",
    "y = LpNormalization(x)", "y = LpNormalization<p=1, axis=1>(x)",
    "y = Softmax(x)", "y = Softmax<axis=1>(x)", "y = LogSoftmax(x)", "y = LayerNormalization(x, five, bias5)",
    "y = InstanceNormalization(x, four, bias4)", "y = LRN<size=3, alpha=0.5>(x)",
    "c = Greater(x, half); s = Softplus(x); y = Where(c, x, s)", "c = Less(x, half); s = Sin(x); y = Where(c, s, two)",
    "t = Exp(x); m = ReduceMean<keepdims=1>(t, axes); d = Sub(t, m); y = Tanh(d)",
]  # fmt: skip
LINEAR = ["y = Conv(x, kernel)", "y = AveragePool<kernel_shape=[2,2]>(x)", "y = Add(x, x)", "y = Concat<axis=1>(x, x)"]
CONSTANTS: dict[str, Any] = {
    "low": np.float64(-0.5), "high": np.float64(1.5), "two": np.float64(2.0), "three": np.float64(3.0),
    "half": np.float64(0.5), "one": np.float64(1.0), "zero": np.float64(0.0), "axes": np.array([1, 3]),
    "slope": np.array(0.25), "five": np.linspace(0.5, 2.0, 5), "bias5": np.linspace(-1.0, 1.0, 5),
    "four": np.linspace(0.5, 2.0, 4), "bias4": np.linspace(-1.0, 1.0, 4),
    "kernel": np.random.default_rng(5).normal(size=(3, 4, 2, 2)),
}  # fmt: skip


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def multipliers(proto: onnx.ModelProto, x: Array, baseline: Array, start: Array) -> Array:
    """What the rescale rule makes of `start` at y."""
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    tape = Tape(changed)
    y, given = tape.outputs[0], tape.value("x")
    blank, seed = tape.add_input("blank", given.dtype, given.shape), tape.add_input("start", y.dtype, y.shape)
    (found,) = differentiate({y: seed}, [given], rescale_table(Reference(given, blank, y)))
    assert found is not None
    tape.add_output(found, "found", shape=given.shape)
    return run_reference(tape.model, {"x": x, "blank": baseline, "start": start}, ["found"])[0]


def model_of(text: str, x: Array) -> onnx.ModelProto:
    return model(text, x, **{name: value for name, value in CONSTANTS.items() if name in text})


@pytest.mark.parametrize("text", [*OPS, *LINEAR])
def test_what_the_inputs_add_is_what_the_output_has_changed(text: str):
    x, baseline = normal(2, 4, 3, 5), normal(2, 4, 3, 5, seed=1)
    baseline[0, 0] = x[0, 0]  # nothing changes there
    proto = model_of(text, x)
    after, before = (np.asarray(evaluated(proto, given)) for given in (x, baseline))
    start = normal(*after.shape, seed=2)
    found = (multipliers(proto, x, baseline, start) * (x - baseline)).sum()
    assert found == pytest.approx((start * (after - before)).sum(), rel=2e-8, abs=1e-9)


@pytest.mark.parametrize(
    "text", ["n = ReduceL2(x, axes); m = Max(n, tiny); y = Div(x, m)", "y = LayerNormalization(x, five, bias5)"]
)
def test_a_norm_of_nothing_on_the_baseline_blows_nothing_up(text: str):
    """Black pixels have no length and no deviation; the multipliers stay as large as what they explain."""
    x = normal(2, 4, 3, 5)
    used = {name: value for name, value in {**CONSTANTS, "tiny": np.array(1e-12)}.items() if name in text}
    proto = model(text, x, **used)
    after, before = (np.asarray(evaluated(proto, given)) for given in (x, np.zeros_like(x)))
    start = normal(*after.shape, seed=2)
    found = multipliers(proto, x, np.zeros_like(x), start)
    assert np.abs(found).max() < 100.0
    assert (found * x).sum() == pytest.approx((start * (after - before)).sum(), rel=1e-8)


def scores_of(model: onnx.ModelProto, x: Array) -> Array:
    given = model.graph.input[0].name
    return run_net(model, {given: x})[model.graph.output[0].name]


def changes(model: onnx.ModelProto, x: Array, baseline: Array | float, targets: tuple[int, ...] = TARGETS) -> Array:
    """What the scores of the targets are more than on the baseline."""
    blank = np.broadcast_to(np.asarray(baseline, x.dtype), x.shape).copy()
    return (scores_of(model, x) - scores_of(model, blank))[np.arange(len(x)), list(targets)]


def totals(model: Any, x: Array, method: str = "deeplift", **wish: Any) -> Array:
    """The sums of the attributions."""
    return outputs(model, method, x, **wish)["attribution"].sum((1, 2, 3), np.float64)


@pytest.mark.parametrize("name", NETS)
def test_the_attribution_adds_up_to_what_the_score_has_changed(name: str):
    proto = NETS[name]()
    x = pictures(2, *((16, 16, 3) if name == "channels last" else (3, 16, 16)))
    if len(proto.graph.input) > 1:
        pytest.skip("the other input is filled in by the explain graph")
    # Not from 0, where tokens without a bias have no variance: layer normalisations magnify rounding there.
    expected = changes(proto, x, 0.5)
    np.testing.assert_allclose(totals(proto, x, options={"baseline": "0.5"}), expected, rtol=1e-4, atol=2e-5)


BASELINES = {"zero": 0.0, "black": 0.0, "white": 1.0, "grey": 0.5, "0.25": 0.25, "-1": -1.0}


@pytest.mark.parametrize("name", BASELINES)
def test_the_baseline_may_be_a_colour_or_a_number(name: str):
    x = pictures(2)
    found = totals(cnn(), x, options={"baseline": name})
    np.testing.assert_allclose(found, changes(cnn(), x, BASELINES[name]), atol=1e-5)


def test_the_baseline_may_be_the_mean_of_each_channel():
    x = pictures(2)
    found = totals(cnn(), x, options={"baseline": "mean"})
    np.testing.assert_allclose(found, changes(cnn(), x, x.mean((2, 3), keepdims=True)), atol=1e-5)


def test_black_is_what_the_preprocessing_makes_of_black():
    x, mean, std = pictures(2), np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    found = totals(cnn(), x, preprocess="torchvision")
    np.testing.assert_allclose(found, changes(cnn(), x, (-mean / std)[:, None, None]), atol=2e-5)


@pytest.mark.parametrize("options", [{"baseline": "pink"}, {"black": (1.0, 2.0)}, {"baseline": ""}])
def test_what_is_no_baseline_is_refused(options: dict[str, Any]):
    with pytest.raises(InvalidOption, match="must be"):
        convert(cnn(), method="deeplift", options=options)


def test_several_targets_of_a_picture_have_each_their_own_attribution():
    x, targets = pictures(2), [[3, 1, 4], [0, 2, 2]]
    several = outputs(cnn(), "deeplift", x, targets=targets, multi_target=True)["attribution"]
    for column, pair in enumerate(zip(*targets, strict=True)):
        alone = outputs(cnn(), "deeplift", x, targets=pair)["attribution"]
        np.testing.assert_allclose(several[:, column], alone, atol=1e-5)


def test_a_picture_has_the_same_attribution_in_any_company():
    x = pictures(3)
    together = outputs(cnn(), "deeplift", x, targets=[1, 2, 3])["attribution"]
    for index in range(3):
        alone = outputs(cnn(), "deeplift", x[index : index + 1], targets=[index + 1])["attribution"]
        np.testing.assert_allclose(together[index : index + 1], alone, atol=1e-5)


def test_float16_comes_near_float32():
    x = pictures(2)
    wide = outputs(cnn(), "deeplift", x)["attribution"]
    found = outputs(half(cnn()), "deeplift", x.astype(np.float16))["attribution"]
    assert relative_l2(found, wide) <= 2e-2


def test_a_probability_is_shared_out_as_well():
    model = cnn("z = Gemm(flat, w3, b3) y = Softmax<axis=1>(z)")
    x = pictures(2)
    np.testing.assert_allclose(totals(model, x, score="probability"), changes(model, x, 0.0), atol=1e-5)


def test_several_baselines_are_averaged():
    x = pictures(2)
    each = [
        outputs(cnn(), "deeplift", x, options={"baseline": name})["attribution"] for name in ("zero", "0.5", "mean")
    ]
    found = outputs(cnn(), "deeplift-shap", x, options={"baselines": "zero,0.5,mean"})["attribution"]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-5)


def test_masked_attention_adds_up_too():
    text = "s = Add(x, mask); a = Softmax(s); t = Transpose<perm=[0,1,3,2]>(x); y = MatMul(a, t)"
    x, baseline = normal(2, 4, 3, 5), normal(2, 4, 3, 5, seed=1)
    mask = np.where(np.arange(5) < 3, 0.0, -np.inf)
    proto = model(text, x, mask=mask)
    start = normal(*np.shape(evaluated(proto, x)), seed=2)
    expected = (start * (evaluated(proto, x) - evaluated(proto, baseline))).sum()
    assert (multipliers(proto, x, baseline, start) * (x - baseline)).sum() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("text", ["y = Sigmoid(x)", "y = Tanh(x)", "y = Exp(x)", "y = Softplus(x)"])
@pytest.mark.parametrize("step", [1e-12, 1e-9, 1e-7])
def test_next_to_the_baseline_the_multiplier_is_the_derivative(text: str, step: float):
    x = normal(2, 4, 3, 5)
    proto, start = model(text, x), np.ones((2, 4, 3, 5))
    slope = (evaluated(proto, x + 1e-6) - evaluated(proto, x - 1e-6)) / 2e-6
    np.testing.assert_allclose(multipliers(proto, x, x - step, start), slope, rtol=1e-6)


# Captum.


class Residual(nn.Module):  # type: ignore[misc, name-defined]
    """A stem with a pool, a block that adds, a mean and a dense layer, as in ResNet-18; each ReLU is a module."""

    def __init__(self, relu: Any) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), relu(), nn.MaxPool2d(3, 2, 1))
        self.one = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8), relu())
        self.two = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8))
        self.last, self.head = relu(), nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        return self.head(self.last(x + self.two(self.one(x))).mean((2, 3)))


def residual(relu: Any) -> Any:
    torch.manual_seed(0)
    module = Residual(relu).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, 0.0, 0.3)
            nn.init.normal_(part.bias, 0.0, 0.3)
    x = torch.randn(2, 3, 32, 32)
    return module, x, convert_source(Request(source=module, example=x[:1])).model


MODULES = {
    "ReLU": nn.ReLU, "ELU": nn.ELU, "LeakyReLU": nn.LeakyReLU, "Tanh": nn.Tanh, "Sigmoid": nn.Sigmoid,
    "Softplus": nn.Softplus,
}  # fmt: skip


@pytest.mark.parametrize("build", [torch_net, residual], ids=["plain", "residual"])
@pytest.mark.parametrize("name", MODULES)
def test_deeplift_is_captums(name: str, build: Any):
    module, x, model = build(MODULES[name])
    assert relative_l2(outputs(model, "deeplift", x.numpy(), like="captum")["attribution"], theirs(module, x)) <= 1e-4


def theirs(module: Any, x: Any, *, baselines: Any = None, name: str = "DeepLift") -> Array:
    """Captum's attribution, each picture by itself: its rule of MaxPool takes the gradient of the first for all."""
    with quiet():
        peer = getattr(captum(), name)(copy.deepcopy(module))
        given = {} if baselines is None else {"baselines": baselines}
        found = [peer.attribute(x[[n]], target=TARGETS[n], **given).detach().numpy() for n in range(len(x))]
    return np.concatenate(found)


def pooled(activation: Any) -> Any:
    """A pool behind a convolution, which Captum's hooks come to, then an activation of which it knows nothing."""
    torch.manual_seed(0)
    first = (nn.Conv2d(3, 6, 3), nn.MaxPool2d(2)) if activation is nn.ReLU else (nn.Conv2d(3, 6, 3),)
    module = nn.Sequential(*first, nn.Conv2d(6, 4, 3), activation(), nn.Flatten(), nn.LazyLinear(5)).eval()
    x = 2.0 * torch.randn(2, 3, 16, 16)
    module(x)
    return module, x, convert_source(Request(source=module, example=x[:1])).model


@pytest.mark.parametrize("like", [None, "captum"])
def test_maxima_behind_a_convolution_are_captums_with_and_without_its_name(like: str | None):
    module, x, model = pooled(nn.ReLU)
    found = outputs(model, "deeplift", x.numpy(), like=like, options={"baseline": "zero"})["attribution"]
    assert relative_l2(found, theirs(module, x)) <= 1e-5


@pytest.mark.parametrize("activation", [nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish])
def test_activations_that_captum_does_not_know_keep_their_derivative(activation: Any):
    module, x, model = pooled(activation)
    own = outputs(model, "deeplift", x.numpy(), options={"baseline": "zero"})["attribution"]
    found = outputs(model, "deeplift", x.numpy(), like="captum")["attribution"]
    assert relative_l2(found, theirs(module, x)) <= 1e-5 < relative_l2(own, theirs(module, x))


def test_deeplift_through_a_softmax_is_captums():
    module, x, _ = torch_net()
    module = nn.Sequential(module, nn.Softmax(1))
    model = convert_source(Request(source=module, example=x[:1])).model
    found = outputs(model, "deeplift", x.numpy(), like="captum", score="probability")["attribution"]
    assert relative_l2(found, theirs(module, x)) <= 1e-5


def test_deeplift_shap_is_captums():
    module, x, model = residual(nn.ReLU)
    blanks = torch.stack([torch.full((3, 32, 32), level) for level in (0.0, 0.5, -1.0)])
    expected = theirs(module, x, baselines=blanks, name="DeepLiftShap")
    found = outputs(model, "deeplift-shap", x.numpy(), like="captum", options={"baselines": "0,0.5,-1"})["attribution"]
    assert relative_l2(found, expected) <= 1e-5
