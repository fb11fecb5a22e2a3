"""Probes of models whose explanation is known: sums over regions, linear scores, small nets in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from onnxcam.drivers import Floats, Probe, from_functions

torch.set_num_threads(1)

WIDE = (20, 32)  # not square, so that swapped sides are noticed
REGION = (slice(3, 9), slice(20, 29))


def picture(size: tuple[int, int] = WIDE, *, channels: int = 3, seed: int = 0) -> Floats:
    """Random values in [0.2, 1], (C, H, W): none is 0, so that hiding one always shows."""
    return np.random.default_rng(seed).uniform(0.2, 1, (channels, *size)).astype(np.float32)


def linear(weights: NDArray[Any], x: Floats, **options: Any) -> Probe:
    """A probe of score = Σ weights·x, the weights like x."""
    return from_functions(x, score=lambda batch: (batch * weights).sum((1, 2, 3)), **options)


def on_region(x: Floats, **options: Any) -> Probe:
    """A probe whose score is the sum of x over `REGION`, and that looks at nothing else."""
    weights = np.zeros_like(x)
    weights[(slice(None), *REGION)] = 1
    return linear(weights, x, **options)


def share_in_region(heatmap: Floats) -> float:
    """How much of the positive map lies in `REGION`."""
    positive = heatmap.clip(0)
    return float(positive[REGION].sum() / positive.sum())


class Net(nn.Module):
    """A small convolutional net; `features` is the layer that is looked at."""

    def __init__(self, *, channels: int = 7, is_linear: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.features = nn.Sequential(nn.Conv2d(3, channels, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(channels * 4, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 5)."""
        return self.head(self.features(x)) * 8


def in_numpy(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Floats], Floats]:
    """The function on arrays."""

    def run(batch: Floats) -> Floats:
        with torch.no_grad():
            return function(torch.from_numpy(np.ascontiguousarray(batch))).numpy()

    return run


def probe_of(net: Net, x: Floats, *, target: int = 2, **options: Any) -> Probe:
    """A probe of one class of the net."""
    score = in_numpy(lambda batch: net(batch)[:, target])
    return from_functions(x, score=score, activation=in_numpy(net.features), **options)
