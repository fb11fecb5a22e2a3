"""Heatmaps of transformers at their default layer, tokens or windows, against the same formula by torch.autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from torch_support import timm, torch, torchvision

import onnxcam
from onnxcam.conversion import Request, convert_source
from onnxcam.graph import Tape, load
from onnxcam.layer import find_layers, resolve
from onnxcam.scores import find_scores

TOLERANCE = 1e-3
TINY = {"embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 7}


def vit(**options: Any) -> Any:
    return timm.models.VisionTransformer(**{"img_size": (48, 64), "patch_size": 16, **TINY, **options})


def swin() -> Any:
    windows = {"window_size": 4, "depths": (1, 2), "num_heads": (2, 4), "embed_dim": 16}
    return timm.models.SwinTransformer(img_size=64, patch_size=4, num_classes=7, **windows)


def cait() -> Any:
    return timm.models.Cait(img_size=64, patch_size=16, depth_token_only=2, **TINY)


def torchvision_vit() -> Any:
    return torchvision.models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=7)


@dataclass(frozen=True)
class Net:
    """A transformer, the module that gives its default layer, and how that lays out its places."""

    name: str
    create: Callable[[], Any]
    default: str
    layout: str
    grid: tuple[int, int]
    prefix: int = 0
    size: tuple[int, int] = (64, 64)
    targets: tuple[int, ...] = (1, 4, 6)

    def __repr__(self) -> str:
        return self.name


NETS = [
    Net("ViT with registers", lambda: vit(reg_tokens=4), "blocks.1.norm1", "NTC", (3, 4), 5, (48, 64)),
    Net(
        "ViT that averages beside a class token", lambda: vit(global_pool="avg"), "blocks.1", "NTC", (3, 4), 1, (48, 64)
    ),
    Net("CaiT", cait, "blocks_token_only.1.norm1", "NTC", (4, 4), 1, targets=(1, 3, 5)),
    Net("Swin", swin, "norm", "NHWC", (8, 8)),
    Net("torchvision's ViT", torchvision_vit, "encoder.layers.encoder_layer_1.ln_1", "NTC", (4, 4), 1),
]


@pytest.fixture(scope="module", params=NETS, ids=repr)
def exported(request: pytest.FixtureRequest) -> tuple[Net, Any, Any, Any]:
    """The net, its module with random weights, three images, and its ONNX model."""
    net: Net = request.param
    torch.manual_seed(0)
    module = net.create().eval()
    for name, weights in module.named_parameters():
        if weights.ndim > 1 or "token" in name:
            torch.nn.init.normal_(weights, std=0.3)
    x = torch.randn(3, 3, *net.size)
    return net, module, x, convert_source(Request(source=module, example=x[:1])).model


def torch_heatmap(net: Net, module: Any, x: Any, targets: tuple[int, ...]) -> NDArray[np.float32]:
    """Grad-CAM as pytorch-grad-cam defines it, with tokens reshaped to their grid, by autograd."""
    kept: list[Any] = []
    hook = module.get_submodule(net.default).register_forward_hook(lambda _, __, output: kept.append(output))
    scores = module(x)
    hook.remove()
    (g,) = torch.autograd.grad(scores[range(len(x)), targets].sum(), kept[0])
    a, g = (on_grid(net, value) for value in (kept[0], g))
    raw = torch.relu((g.mean((2, 3), keepdim=True) * a).sum(1, keepdim=True))
    low = scaled(raw)
    return scaled(torch.nn.functional.interpolate(low, net.size, mode="bilinear"))[:, 0].detach().numpy()


def on_grid(net: Net, value: Any) -> Any:
    """(N, C, h, w)."""
    if net.layout == "NTC":
        value = value[:, net.prefix :].reshape(len(value), *net.grid, -1)
    return value.permute(0, 3, 1, 2)


def scaled(raw: Any) -> Any:
    raw = raw - raw.amin((2, 3), keepdim=True)
    return raw / (raw.amax((2, 3), keepdim=True) + 1e-7)


def run(model: Any, x: Any, targets: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = session.run(None, {session.get_inputs()[0].name: x.numpy(), "target": targets})
    return found


def test_the_default_layer_is_the_last_whose_places_reach_the_score(exported):
    net, _, _, model = exported
    tape = Tape(load(model).proto)
    layers = find_layers(tape, find_scores(tape).values)
    assert layers[0] == resolve(tape, layers, net.default)
    assert (layers[0].layout, layers[0].grid, layers[0].prefix) == (net.layout, net.grid, net.prefix)


def test_heatmap_equals_autograd(exported):
    net, module, x, model = exported
    targets = net.targets
    _, heatmap, _, _ = run(onnxcam.convert(model).model, x, np.array(targets))
    expected = torch_heatmap(net, module.double(), x.double(), targets)
    module.float()
    assert expected.any(axis=(1, 2)).all(), "the map is all zero and shows nothing"
    assert np.linalg.norm(heatmap - expected) / np.linalg.norm(expected) <= TOLERANCE


def test_several_targets_give_the_maps_of_each(exported):
    _, _, x, model = exported
    targets = np.array([[1, 2], [4, 0], [6, 5]])
    _, together, _, _ = run(onnxcam.convert(model, multi_target=True).model, x, targets)
    single = onnxcam.convert(model).model
    for column in range(2):
        _, alone, _, _ = run(single, x, targets[:, column])
        np.testing.assert_allclose(together[:, column], alone, atol=1e-5)
