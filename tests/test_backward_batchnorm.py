"""Batch normalisation behind no linear layer, as in DenseNet and LeViT: relevance against zennit in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_against_torch import relative_l2
from test_backward_torch import Subject, zennit_composites
from torch_support import torch

from onnxcam.autodiff.backward import TABLES, transformers

nn = torch.nn


class DenseLayer(nn.Sequential):
    """What it is given, and twelve channels more: normalised before each convolution, as all earlier ones are."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 16, 1, bias=False),
            nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 12, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return torch.cat([x, super().forward(x)], 1)


class Rows(nn.Module):
    """Batch normalisation of (N, tokens, C): of their rows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Any) -> Any:
        return self.norm(x.flatten(0, 1)).reshape_as(x)


def dense_net(layers: int) -> Any:
    dense = [DenseLayer(12 * place) for place in range(1, layers + 1)]
    width = 12 * (layers + 1)
    stem = nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2)
    return nn.Sequential(
        *stem, *dense, nn.BatchNorm2d(width), nn.ReLU(), nn.AvgPool2d(8), nn.Flatten(), nn.Linear(width, 5)
    )


class Tokens(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.flatten(2).transpose(1, 2)


def token_net(layers: int) -> Any:
    """LeViT without its attention: linear layers of tokens, each normalised."""
    blocks = [part for _ in range(layers) for part in (nn.Linear(12, 12, bias=False), Rows(12), nn.ReLU())]
    return nn.Sequential(
        nn.Conv2d(3, 12, 4, stride=4, bias=False), nn.BatchNorm2d(12), nn.Hardswish(), Tokens(), *blocks, nn.Flatten(),
        nn.Linear(12 * 16, 5),
    )  # fmt: skip


def subject(net: Any) -> Subject:
    """With the statistics that training would leave: of the images that come."""
    torch.manual_seed(0)
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, part.weight[0].numel() ** -0.5)
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = None
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0.0, 0.3)
    net.train()(torch.randn(16, 3, 16, 16))
    return Subject(net.eval(), 16)


NETS = {"dense": (dense_net, TABLES["lrp-epsilon"]), "tokens": (token_net, transformers())}


def composite(norms: str) -> Any:
    """zennit's ε for linear layers, and that rule for all batch normalisations."""
    composites = zennit_composites()
    from zennit import rules, types

    rule = rules.Epsilon(1e-6) if norms == "epsilon" else rules.Pass()
    layers = [(types.BatchNorm, rule), *composites.layer_map_base(1e-6), (types.Linear, rules.Epsilon(1e-6))]
    return composites.LayerMapComposite(layers)


@pytest.mark.parametrize("name", NETS)
def test_a_batch_normalization_shares_as_a_layer_of_zennits_does(name: str):
    build, table = NETS[name]
    net = subject(build(3))
    assert relative_l2(net.found(table), net.by_zennit(composite("epsilon"))) <= 1e-3


@pytest.mark.parametrize("name", NETS)
def test_passed_on_whole_relevance_grows_from_layer_to_layer(name: str):
    """zennit's composites do so, where its canonizers have not merged the layer: what our tables stay clear of."""
    build, table = NETS[name]
    net = subject(build(12))
    found, passed = net.found(table), net.by_zennit(composite("pass"))
    score = np.abs(net.start.numpy()).sum()
    assert np.abs(found).sum() <= 100.0 * score
    assert np.abs(passed).sum() >= 1e5 * score
