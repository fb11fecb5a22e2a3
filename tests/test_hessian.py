"""Hessian-vector products of whole networks: the gradient of the gradient graph, against PyTorch's double backward."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx_runs import session
from torch_support import timm, torch

import onnxcam

nn = torch.nn


def convolutional() -> Any:
    """Smooth, with everything that a small net of today has."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.SiLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.GroupNorm(2, 8), nn.GELU(), nn.AvgPool2d(2),
        nn.Conv2d(8, 12, 1), nn.Mish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5), nn.Softmax(-1),
    )  # fmt: skip


def transformer() -> Any:
    return timm.create_model("test_vit", num_classes=5, img_size=32)


@pytest.mark.parametrize("build", [convolutional, transformer])
def test_a_hessian_vector_product_is_pytorchs(build: Callable[[], Any]):
    torch.manual_seed(0)
    module = build().eval()
    x = torch.randn(2, 3, 32, 32)
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = exported(module, x)
    logging.disable(logging.NOTSET)
    twice = onnxcam.gradient(onnxcam.gradient(model, wrt="x"), of="gradient/x", wrt="x")
    seed, direction = torch.randn(2, 5), torch.randn_like(x)
    feeds = {"x": x.numpy(), "cotangent": seed.numpy(), "cotangent_2": direction.numpy()}
    found = session(twice).run(["gradient/x_2"], feeds)[0]
    expected = by_torch(module.double(), x.double(), seed.double(), direction.double())
    assert np.linalg.norm(found - expected) <= 1e-3 * np.linalg.norm(expected)


def exported(module: Any, x: Any) -> Any:
    sizes = {0: torch.export.Dim("N")}
    return torch.onnx.export(
        module, (x,), dynamo=True, dynamic_shapes=(sizes,), input_names=["x"], verbose=False
    ).model_proto


def by_torch(module: Any, x: Any, seed: Any, direction: Any) -> Any:
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        x = x.requires_grad_()
        (g,) = torch.autograd.grad(module(x), x, seed, create_graph=True)
        return torch.autograd.grad(g, x, direction)[0].numpy()
