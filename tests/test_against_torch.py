"""Heatmaps of whole networks against the same formula by torch.autograd: random weights, three images and targets."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from torch_support import timm, torch, torchvision

from onnxcam import convert, layers
from onnxcam.graph import Tape, load
from onnxcam.layer import find_layers, resolve
from onnxcam.scores import find_scores

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Net:
    """A network, the module whose output is its default layer, and one in its middle."""

    name: str
    default: str
    middle: str
    seed: int  # one for which no map is all zero
    size: int = 224
    create: Callable[..., Any] = torchvision.models.get_model

    def __repr__(self) -> str:
        return self.name


NETS = [
    Net("resnet18", "layer4", "layer2", 2),
    Net("resnet50", "layer4", "layer3", 3),
    Net("vgg11_bn", "features.27", "features.17", 0),
    Net("densenet121", "features.norm5", "features.denseblock3", 2, create=timm.create_model),
    Net("googlenet", "inception5b", "inception4a", 3),
    Net("inception_v3", "Mixed_7c", "Mixed_6b", 2, size=299),
    Net("mobilenet_v2", "features.18", "features.10", 2),
    Net("mobilenetv3_small_100", "blocks.5", "blocks.3", 1, create=timm.create_model),
    Net("shufflenet_v2_x1_0", "conv5", "stage3", 0),
    Net("squeezenet1_1", "classifier.2", "features.7", 0),
    Net("mnasnet1_0", "layers.16", "layers.10", 0),
    Net("regnet_y_400mf", "trunk_output", "trunk_output.block2", 0),
    Net("efficientnet_b0", "features.8", "features.4", 0),
    Net("convnext_tiny", "features", "features.3", 0),
]


def build(net: Net, seed: int) -> tuple[Any, Any]:
    """The net with random weights, and three images."""
    torch.manual_seed(seed)
    options = {"pretrained": False} if net.create is timm.create_model else {"weights": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision announces another initialisation; ours follows
        module = net.create(net.name, **options)
    settle(module, net.size)
    return module, smooth_noise(3, net.size)


def settle(module: Any, size: int) -> None:
    """Batch normalisation with the statistics of real signals, three standard deviations above the kink of ReLU.

    With its own statistics a deep random net magnifies rounding a hundredfold; and on a kink the gradient jumps, to a
    side that rounding decides. torch in float32 and in float64 then differ by 1 % in relative L2 themselves.
    """
    for part in module.eval().modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(part.bias, 3.0)
            part.reset_running_stats()
            part.momentum = None  # the mean over all batches seen
            part.train()
    with torch.no_grad():
        module(smooth_noise(8, size))
    module.eval()


def smooth_noise(count: int, size: int) -> Any:
    """Random images with structure at all scales, as photos have; white noise looks the same to a deep net."""
    scales = (4, 8, 16, 32, size)
    stretch = torch.nn.functional.interpolate
    return sum(stretch(torch.randn(count, 3, n, n), (size, size), mode="bilinear") for n in scales) / 2


def torch_heatmap(module: Any, layer: str, x: Any, targets: list[int], size: int) -> NDArray[np.float32]:
    """Grad-CAM as pytorch-grad-cam defines it, by autograd."""
    kept: list[Any] = []
    hook = module.get_submodule(layer).register_forward_hook(lambda _, __, output: kept.append(output))
    scores = module(x)
    hook.remove()
    a = kept[-1]
    (g,) = torch.autograd.grad(scores[range(len(x)), targets].sum(), a)
    if layer_is_channels_last(module, a):
        a, g = a.permute(0, 3, 1, 2), g.permute(0, 3, 1, 2)
    raw = torch.relu((g.mean((2, 3), keepdim=True) * a).sum(1, keepdim=True))
    low = scaled(raw)
    return scaled(torch.nn.functional.interpolate(low, (size, size), mode="bilinear"))[:, 0].detach().numpy()


def distinct_best(scores: NDArray[np.float32]) -> list[int]:
    """For each image its best class that no other has taken: active ones, which random classes need not be."""
    taken: list[int] = []
    for row in scores:
        taken.append(next(int(c) for c in np.argsort(-row) if int(c) not in taken))
    return taken


def layer_is_channels_last(module: Any, a: Any) -> bool:
    return a.ndim == 4 and a.shape[1] == a.shape[2] != a.shape[3]


def scaled(raw: Any) -> Any:
    raw = raw - raw.amin((2, 3), keepdim=True)
    return raw / (raw.amax((2, 3), keepdim=True) + 1e-7)


def relative_l2(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def session_of(model: Any) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


@pytest.fixture(scope="module", params=NETS, ids=repr)
def exported(request: pytest.FixtureRequest) -> tuple[Net, Any, Any, Any]:
    """The net, its module, three images, and its ONNX model."""
    from onnxcam.conversion import Request, convert_source

    net: Net = request.param
    module, x = build(net, net.seed)
    return net, module, x, convert_source(Request(source=module, example=x[:1])).model


def check(exported: tuple[Net, Any, Any, Any], layer: str | None, path: str) -> None:
    net, module, x, model = exported
    own = module(x).detach().numpy()
    targets = distinct_best(own)
    session = session_of(convert(model, layer=layer).model)
    feeds = {session.get_inputs()[0].name: x.numpy(), "target": np.array(targets)}
    scores, heatmap, index, score = session.run(None, feeds)
    expected = torch_heatmap(copy.deepcopy(module).double(), path, x.double(), targets, net.size)
    assert len(set(targets)) == len(targets)
    assert relative_l2(scores, own) <= 1e-4
    np.testing.assert_array_equal(index, targets)
    np.testing.assert_allclose(score, scores[range(3), targets], rtol=1e-6)
    assert expected.any(axis=(1, 2)).all(), "the map is all zero and shows nothing"
    assert relative_l2(heatmap, expected) <= TOLERANCE


def test_the_default_layer_is_the_last_spatial_activation(exported):
    net, _, _, model = exported
    tape = Tape(load(model).proto)
    known = find_layers(tape, find_scores(tape).values)
    assert resolve(tape, known, net.default).tensor == layers(model)[0].tensor


def test_heatmap_of_the_default_layer_equals_autograd(exported):
    check(exported, None, exported[0].default)


def test_heatmap_of_a_middle_layer_equals_autograd(exported):
    check(exported, exported[0].middle, exported[0].middle)
