"""Several targets an image where heads lie among the images, on an axis of which nothing is known."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from torch_support import timm, torch

import onnxcam
from onnxcam.conversion import Request, convert_source


class Halo(torch.nn.Module):
    """Attention within blocks and a halo around them: places relative to queries are (N·heads, …) and padded apart."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 16, 3, 2, 1)
        self.attention = timm.layers.halo_attn.HaloAttn(16, num_heads=4, block_size=4, halo_size=1, dim_head=4)
        self.head = torch.nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.attention(torch.relu(self.stem(x))).tanh().mean((2, 3)))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    module = Halo().eval()
    for weights in module.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    return convert_source(Request(source=module, example=torch.randn(1, 3, 16, 16))).model


def raw_maps(model, x, targets, **options):
    graph = onnxcam.convert(model, layer="attention.kv", method="layercam", outputs=["raw_map"], **options)
    session = onnxruntime.InferenceSession(graph.to_bytes(), providers=["CPUExecutionProvider"])
    return session.run(["raw_map"], {session.get_inputs()[0].name: x, "target": targets})[0]


def test_queries_from_beside_the_layer_stay_with_their_image(model):
    x = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)
    targets = np.array([[1, 4, 2], [0, 3, 1]])
    together = raw_maps(model, x, targets, multi_target=True)
    for column in range(3):
        alone = raw_maps(model, x, targets[:, column])
        np.testing.assert_allclose(together[:, column], alone, atol=1e-5 * np.abs(alone).max())
