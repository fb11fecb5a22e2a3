"""FullGrad: its shares add up to the score, and its maps are those of the formula and of pytorch-grad-cam."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from backward_runs import model as float64_model
from backward_runs import normal
from conformance import run
from formulas import upsampled
from onnx_runs import session
from parity_peers import quiet
from small_nets import Array
from torch_support import torch

from onnxcam import convert
from onnxcam.assembly import ask
from onnxcam.conversion import Request, convert_source
from onnxcam.graph import load
from onnxcam.methods.fullgrad import BIASES, full_gradient
from onnxcam.planning import Wish, plan

nn = torch.nn
TARGETS = (3, 1)

# Every net gives `flat`, (N, 6), from `x`, (N, 3, 8, 8).
POOLED = "gap = GlobalAveragePool(r); flat = Flatten(gap);"
NETS = {
    "ReLU": "c = Conv<pads=[1,1,1,1]>(x, w, b); r = Relu(c);",
    "normalised before and behind": (
        "n = BatchNormalization<epsilon=0.1>(x, s3, b3, m3, v3); c = Conv(n, w, b);"
        "m = BatchNormalization<epsilon=0.1>(c, s6, b6, m6, v6); r = LeakyRelu<alpha=0.2>(m);"
    ),
    "with a skip": (
        "c = Conv<pads=[1,1,1,1]>(x, w, b); d = Conv(c, w66, b6); e = Add(c, d); f = Add(e, b6s); r = Relu(f);"
    ),
    "pooled": (
        "c = Conv(x, w, b); p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c);"
        "r = AveragePool<kernel_shape=[2,2]>(p);"
    ),
    "ReLU6": "c = Conv(x, w, b); r = Clip(c, zero, six);",
    "SiLU in two nodes": "c = Conv(x, w, b); g = Sigmoid(c); r = Mul(c, g);",
    "HardSwish": "c = Conv(x, w, b); r = HardSwish(c);",
    "HardSwish in four nodes": (
        "c = Conv(x, w, b); a = Add(c, three); k = Clip(a, zero, six); q = Mul(c, k); r = Div(q, six);"
    ),
    "Elu and Tanh": "c = Conv(x, w, b); e = Elu<alpha=0.7>(c); d = Conv(e, w66, b6); r = Tanh(d);",
    "bias of its own": "c = Conv(x, w); d = Sub(c, b6s); e = Sub(b6s, d); r = Softplus(e);",
    "transposed": "c = ConvTranspose(x, w36, b6); r = Sigmoid(c);",
}  # fmt: skip
WEIGHTS = {
    "w": (6, 3, 3, 3), "b": (6,), "w66": (6, 6, 1, 1), "w36": (3, 6, 2, 2), "b6s": (6, 1, 1), "wd": (6, 5), "bd": (5,),
    **{f"{name}{count}": (count,) for name in "sbm" for count in (3, 6)},
}  # fmt: skip


def float64_net(text: str, x: Array) -> onnx.ModelProto:
    weights: dict[str, Any] = {name: normal(*shape, seed=at) for at, (name, shape) in enumerate(WEIGHTS.items())}
    weights |= {f"v{count}": np.random.default_rng(count).uniform(0.5, 2, count) for count in (3, 6)}
    weights |= {"zero": np.array(0.0), "three": np.array(3.0), "six": np.array(6.0)}
    whole = f"{text} {POOLED} y = Gemm<beta=0.5>(flat, wd, bd)"
    built = float64_model(whole, x, **{name: array for name, array in weights.items() if f" {name}" in whole})
    built.graph.output[0].type.tensor_type.shape.dim.add(dim_param="n0")
    built.graph.output[0].type.tensor_type.shape.dim.add(dim_value=5)
    return built


@pytest.mark.parametrize("is_multi", [False, True], ids=["one target", "two targets"])
@pytest.mark.parametrize("name", NETS)
def test_the_shares_of_input_and_biases_add_up_to_the_score(name: str, is_multi: bool):
    x = normal(2, 3, 8, 8, seed=5)
    found = plan(load(float64_net(NETS[name], x)), Wish(method="fullgrad"))
    question = ask(found, is_multi=is_multi)
    op = found.tape
    sums = [
        op.ReduceSum(op.Flatten(share, axis=1), op.ints(1), keepdims=0) for share, _ in full_gradient(question, BIASES)
    ]
    op.add_output(sum(sums[1:], sums[0]), "sum")
    op.add_output(question.score, "score")
    target = np.array([[3, 1], [0, 4]]) if is_multi else np.array(TARGETS)
    total, score = run(found.tape.model, {"x": x, "target": target}, ["sum", "score"])
    assert total.dtype == np.float64
    np.testing.assert_allclose(total, score, rtol=1e-10)


def small_net(*, bias: bool, norm: bool) -> Any:
    """Three convolutions on two grids."""
    torch.manual_seed(3)
    parts: list[Any] = []
    for channels, out, stride in ((3, 8, 1), (8, 8, 2), (8, 12, 1)):
        parts += [
            nn.Conv2d(channels, out, 3, stride, 1, bias=bias),
            *([nn.BatchNorm2d(out)] if norm else []),
            nn.ReLU(),
        ]
    net = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5))
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.normal_(part.bias)
    return net.eval()


def maps(net: Any, x: Any, output: str, **wish: Any) -> Array:
    model = convert_source(Request(source=net, example=x[:1])).model
    runtime = session(convert(model, method="fullgrad", outputs=["raw_map"], **wish).model)
    feeds = {runtime.get_inputs()[0].name: x.numpy(), "target": np.array(TARGETS)}
    return np.asarray(runtime.run([output], feeds)[0])


@pytest.mark.parametrize(("bias", "norm"), [(True, False), (False, True)], ids=["biases", "batch normalisation"])
def test_the_heatmap_is_that_of_pytorch_grad_cam(bias: bool, norm: bool):
    library = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")
    net, x = small_net(bias=bias, norm=norm), torch.randn(2, 3, 24, 20)
    targets = [library.utils.model_targets.ClassifierOutputTarget(target) for target in TARGETS]
    with quiet(), library.FullGrad(net, []) as cam:
        expected = cam(x, targets)
    np.testing.assert_allclose(maps(net, x, "heatmap", like="pytorch-grad-cam"), expected, atol=1e-4)


RESCALED = {
    "layer": lambda size: (size - size.min()) / (size.max() - size.min() + 1e-6),
    "channel": lambda size: np.stack([(c - c.min()) / (c.max() - c.min() + 1e-7) for c in size]),
    "none": lambda size: size,
}


@pytest.mark.parametrize("rescale", RESCALED)
def test_the_map_is_the_sum_of_all_layers_rescaled_and_enlarged(rescale: str):
    net, x = small_net(bias=True, norm=False), torch.randn(2, 3, 24, 20)
    expected = np.zeros((2, 24, 20))
    for share in autograd_shares(net, x):
        for row in range(2):
            size = RESCALED[rescale](np.abs(share[row]))
            expected[row] += upsampled(size.sum(0), (24, 20))
    found = maps(net, x, "raw_map", options={"rescale": rescale})
    np.testing.assert_allclose(found, expected, atol=2e-5 * expected.max())


def autograd_shares(net: Any, x: Any) -> list[Array]:
    """x·∂s/∂x, then b·∂s/∂z for each convolution z = w·x + b."""
    given, outs, biases = x.clone().requires_grad_(), [], []
    value = given
    for part in net:
        value = part(value)
        if isinstance(part, nn.Conv2d):
            outs.append(value)
            biases.append(part.bias[:, None, None])
    score = value[torch.arange(2), torch.tensor(TARGETS)].sum()
    gradients = torch.autograd.grad(score, [given, *outs])
    return [(a * g).detach().numpy() for a, g in zip([given, *biases], gradients, strict=True)]


def test_the_map_is_at_the_size_of_the_picture_where_that_is_open():
    net, x = small_net(bias=True, norm=False), torch.randn(2, 3, 24, 20)
    model = convert_source(Request(source=net, example=x[:1])).model
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side{axis}"
    del model.graph.value_info[:]
    runtime = session(convert(model, method="fullgrad").model)
    feeds = {runtime.get_inputs()[0].name: x.numpy(), "target": np.array(TARGETS)}
    np.testing.assert_allclose(runtime.run(["heatmap"], feeds)[0], maps(net, x, "heatmap"), atol=1e-5)
