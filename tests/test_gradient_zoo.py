"""Gradients of whole nets, by the picture and by the default layer from one file, against torch.autograd."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from double_runs import evaluate, widened
from numpy.typing import NDArray
from onnx_runs import run
from torch_support import timm, torch, torchvision

import onnxcam
from onnxcam.conversion import Request, convert_source

Array = NDArray[Any]
TOLERANCE, TOLERANCE_64 = 1e-3, 1e-7
TINY = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 7}


@dataclass(frozen=True)
class Net:
    """A network with random weights, and the module whose output is its default layer."""

    name: str
    create: Callable[[], Any]
    layer: str
    size: int = 64
    layout: str = "NCHW"

    def __repr__(self) -> str:
        return self.name


def from_timm(name: str, **options: Any) -> Callable[[], Any]:
    return lambda: timm.create_model(name, **options)


def vit() -> Any:
    return timm.models.VisionTransformer(img_size=64, patch_size=16, **TINY)


def cait() -> Any:
    return timm.models.Cait(img_size=64, patch_size=16, depth_token_only=1, **TINY)


def swin() -> Any:
    windows = {"window_size": 4, "depths": (1, 2), "num_heads": (2, 4), "embed_dim": 16}
    return timm.models.SwinTransformer(img_size=64, patch_size=4, num_classes=7, **windows)


def densenet() -> Any:
    return torchvision.models.DenseNet(8, (2, 2, 2), 16, num_classes=7)


def shufflenet() -> Any:
    return torchvision.models.ShuffleNetV2([2, 2, 2], [8, 16, 32, 64, 48], num_classes=7)


def poolformer() -> Any:
    return timm.models.MetaFormer(
        depths=(1, 1), dims=(16, 32), token_mixers=timm.models.metaformer.Pooling, num_classes=7, use_mlp_head=False
    )


def sequencer() -> Any:
    """Long short-term memories along rows and columns."""
    sizes = {"layers": (1, 1), "patch_sizes": (8, 2), "embed_dims": (16, 32), "hidden_sizes": (8, 16)}
    return timm.models.Sequencer2d(mlp_ratios=(2, 2), num_classes=7, **sizes)


NETS = [
    Net("ResNet", from_timm("test_resnet"), "layer4"),
    Net("EfficientNet", from_timm("test_efficientnet"), "bn2"),
    Net("ConvNeXt", from_timm("test_convnext"), "stages"),
    Net("MambaOut", from_timm("test_mambaout"), "stages"),
    Net("SqueezeNet", lambda: torchvision.models.SqueezeNet("1_1", num_classes=7), "classifier.2"),
    Net("DenseNet", densenet, "features.norm5"),
    Net("ShuffleNet", shufflenet, "conv5"),
    Net("PoolFormer", poolformer, "stages"),
    Net("ViT", vit, "blocks.1.norm1"),
    Net("CaiT", cait, "blocks_token_only.0.norm1"),
    Net("Swin", swin, "norm"),
    Net("Sequencer", sequencer, "norm"),
]


@dataclass(frozen=True)
class Known:
    """A net's pictures, cotangents of their top logits, PyTorch's gradients of these, and its ONNX model."""

    x: Array
    cotangent: Array
    by_input: Array
    by_layer: Array
    model: Any


@pytest.fixture(scope="module", params=NETS, ids=repr)
def known(request: pytest.FixtureRequest) -> Known:
    net: Net = request.param
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision announces another initialisation
        module = net.create().eval()
    x = smooth_noise(8, net.size)
    settle(module, x)
    x = x[:3]
    model = convert_source(Request(source=module, example=x[:1])).model
    logits = module(x).detach().numpy()
    cotangent = np.eye(logits.shape[1])[logits.argmax(axis=1)]
    return Known(x.numpy(), cotangent, *torch_gradients(net, module.double(), x.double(), cotangent), model)


def settle(module: Any, x: Any) -> None:
    """Random scales where authors begin with zeros, and batch normalisation well above the kink of ReLU."""
    for name, weights in module.named_parameters():
        if weights.abs().max() < 1e-3 and not name.endswith("bias"):
            torch.nn.init.uniform_(weights, 0.1, 0.3)
    for part in module.modules():
        if isinstance(part, torch.nn.Linear):
            torch.nn.init.xavier_normal_(part.weight)
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(part.bias, 3.0)
            part.reset_running_stats()
            part.momentum = None
            part.train()
    with torch.no_grad():
        module(x)
    module.eval()


def smooth_noise(count: int, size: int) -> Any:
    """Random pictures with structure at all scales: of white noise all places of a late map look the same."""
    stretch = torch.nn.functional.interpolate
    return sum(stretch(torch.randn(count, 3, n, n), (size, size), mode="bilinear") for n in (4, 8, 16, 32, size)) / 2


def torch_gradients(net: Net, module: Any, x: Any, cotangent: Array) -> tuple[Array, Array]:
    """By the picture, and by what the layer's module gives."""
    added: list[Any] = []

    def add_nothing(_module: Any, _given: Any, output: Any) -> Any:
        added.append(torch.zeros_like(output, requires_grad=True))
        return output + added[-1]

    hook = module.get_submodule(net.layer).register_forward_hook(add_nothing)
    leaf = x.clone().requires_grad_()
    output = module(leaf)
    hook.remove()
    by_input, by_layer = torch.autograd.grad(output, [leaf, added[-1]], torch.from_numpy(cotangent))
    return by_input.numpy(), by_layer.numpy()


def gradient_model(model: Any) -> Any:
    """With the gradients by the picture and by the default layer."""
    return onnxcam.gradient(model, wrt=[model.graph.input[0].name, onnxcam.layers(model)[0].tensor])


def distance(found: Array, expected: Array) -> float:
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("count", [1, 3])
def test_gradients_in_float32_equal_autograd(known, count):
    model = gradient_model(known.model)
    feeds = {model.graph.input[0].name: known.x[:count], "cotangent": known.cotangent[:count].astype(np.float32)}
    _, by_input, by_layer = run(model, feeds)
    assert distance(by_input, known.by_input[:count]) <= TOLERANCE
    assert distance(by_layer, known.by_layer[:count]) <= TOLERANCE


def test_gradients_in_float64_equal_autograd(known):
    model = gradient_model(widened(known.model))
    feeds = {model.graph.input[0].name: known.x.astype(np.float64), "cotangent": known.cotangent}
    by_input, by_layer = evaluate(model, feeds, [info.name for info in model.graph.output[1:]])
    assert by_input.dtype == by_layer.dtype == np.float64
    assert distance(by_input, known.by_input) <= TOLERANCE_64
    assert distance(by_layer, known.by_layer) <= TOLERANCE_64
