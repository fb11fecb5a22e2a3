"""Ablation-CAM in a net of shifted windows, whose tail reads masks and sizes from beside the layer."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from torch_support import timm, torch

import onnxcam
from onnxcam.conversion import Request, convert_source
from onnxcam.methods import reruns

LAYER = "layers.1.blocks.0.norm1"


@pytest.fixture(scope="module")
def swin():
    """The module, two pictures, and its ONNX model."""
    torch.manual_seed(0)
    options = {"window_size": 4, "depths": (1, 2), "num_heads": (2, 4), "embed_dim": 8, "num_classes": 5}
    module = timm.models.SwinTransformer(img_size=64, patch_size=4, **options).eval()
    for weights in module.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.2)
    x = torch.randn(2, 3, 64, 64)
    return module, x, convert_source(Request(source=module, example=x[:1])).model


def raw_map(model, x, **options):
    graph = onnxcam.convert(model, method="ablationcam", layer=LAYER, outputs=["raw_map"], **options)
    session = onnxruntime.InferenceSession(graph.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["raw_map"], {session.get_inputs()[0].name: x.numpy(), "target": np.array([3, 1])})[0]


def by_hooks(module, x, targets):
    """Each channel of the layer set to zero in turn, by PyTorch: (N, h, w)."""
    kept, gone = [], [None]

    def hook(_, __, output):
        kept.append(output)
        return output if gone[0] is None else output * (torch.arange(output.shape[-1]) != gone[0])

    handle = module.get_submodule(LAYER).register_forward_hook(hook)
    with torch.no_grad():
        score = module(x)[range(len(x)), targets]
        a = kept[0]
        lost = []
        for channel in range(a.shape[-1]):
            gone[0] = channel
            lost.append((score - module(x)[range(len(x)), targets]) / score.abs())
    handle.remove()
    return torch.einsum("cn,nhwc->nhw", torch.stack(lost), a).numpy()


@pytest.mark.parametrize("form", ["whole", "chunks", "scan"])
def test_what_comes_from_beside_the_layer_is_repeated_in_each_form(swin, form, monkeypatch):
    """In a Scan it is repeated once, outside of the body."""
    module, x, model = swin
    if form != "whole":
        monkeypatch.setattr(reruns, "at_once", lambda _, __: 5)
        monkeypatch.setattr(reruns, "MOST_NODES", 0 if form == "scan" else 1 << 30)
    expected = by_hooks(module, x, [3, 1])
    np.testing.assert_allclose(raw_map(model, x), expected, atol=1e-4 * np.abs(expected).max())
