"""Ablation-CAM like pytorch-grad-cam's against that library itself, on small nets with the heads of well-known ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_nets import run

import onnxcam
from onnxcam.conversion import Request, convert_source

torch = pytest.importorskip("torch_support", reason="extra `torch` is not installed").torch
peer = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")
nn = torch.nn


def heads() -> dict[str, list[Any]]:
    """What follows 70 channels, three batches of pytorch-grad-cam's."""
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return {
        # Tanh keeps what lies 1e7 below from going off to infinity.
        "Tanh, dense": [nn.Conv2d(70, 9, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(9 * 36, 5)],
        "squeezenet": [nn.Dropout(), nn.Conv2d(70, 5, 1), nn.ReLU(), *pooled],
        "mobilenet_v3": [*pooled, nn.Linear(70, 24), nn.Hardswish(), nn.Dropout(), nn.Linear(24, 5)],
        "mobilenet_v3 of timm": [
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(70, 24, 1), nn.Hardswish(), nn.Flatten(), nn.Linear(24, 5),
        ],
        "densenet": [nn.BatchNorm2d(70), nn.ReLU(), *pooled, nn.Linear(70, 5)],
        "mobilenet_v2": [nn.Conv2d(70, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU6(), *pooled, nn.Linear(24, 5)],
        "vgg": [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(70 * 49, 12), nn.ReLU(), nn.Linear(12, 5)],
    }  # fmt: skip


@pytest.mark.parametrize("head", heads())
def test_ablation_like_pytorch_grad_cam_gives_its_map(head: str):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 70, 3), nn.ReLU(), *heads()[head]).eval()
    x, targets = torch.randn(2, 3, 16, 16), np.array([3, 1])
    model = convert_source(Request(source=module, example=x)).model
    for layer in ("0", "1"):  # with values below zero, and without
        graph = onnxcam.convert(model, method="ablationcam", layer=layer, like="pytorch-grad-cam").model
        found = run(graph, {graph.graph.input[0].name: x.numpy(), "target": targets})["heatmap"]
        expected = peer_map(module, layer, x=x, targets=targets)
        assert expected.any(axis=(1, 2)).all(), "the map is all zero and shows nothing"
        np.testing.assert_allclose(found, expected, atol=2e-3)
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.9999


def peer_map(module: Any, layer: str, *, x: Any, targets: Any) -> Any:
    """The other library's, (N, H, W)."""
    wanted = [peer.utils.model_targets.ClassifierOutputTarget(target) for target in targets]
    with peer.AblationCAM(model=module, target_layers=[module[int(layer)]]) as cam:
        return cam(input_tensor=x, targets=wanted)
