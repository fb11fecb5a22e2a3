"""Probes of functions whose gradients are known by hand, and of small PyTorch nets, for the tests of drivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers import Floats, Probe, from_functions

Array = NDArray[Any]
SHAPE = (3, 12, 10)


def picture(*shape: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(size=shape or SHAPE).astype(np.float32)


def weights(*shape: int, seed: int = 2) -> Array:
    return np.random.default_rng(seed).normal(size=shape or SHAPE)


def linear(x: Floats, w: Array, **options: Any) -> Probe:
    """Score Σ w·x + 1."""
    return from_functions(
        x,
        score=lambda batch: (batch * w).sum((1, 2, 3)) + 1,
        gradient=lambda batch: np.broadcast_to(w, batch.shape),
        **options,
    )


def cubic(x: Floats, w: Array, **options: Any) -> Probe:
    """Score Σ w·x³/3, gradient w·x²."""
    return from_functions(
        x,
        score=lambda batch: (batch.astype(np.float64) ** 3 * w).sum((1, 2, 3)) / 3,
        gradient=lambda batch: batch.astype(np.float64) ** 2 * w,
        **options,
    )


def of_torch(net: Any, x: Floats, target: int, **options: Any) -> Probe:
    """A probe of a PyTorch net (N, C, H, W) → (N, classes)."""
    import torch

    def score(batch: Floats) -> Array:
        with torch.no_grad():
            return np.asarray(net(torch.from_numpy(batch))[:, target])

    def gradient(batch: Floats) -> Array:
        inputs = torch.from_numpy(batch).requires_grad_()
        return np.asarray(torch.autograd.grad(net(inputs)[:, target].sum(), inputs)[0])

    return from_functions(x, score=score, gradient=gradient, **options)


def small_net(activation: str = "Softplus", size: tuple[int, int] = (12, 10), classes: int = 4) -> Any:
    """Two convolutions, a pool and a dense layer in PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        getattr(nn, activation)(),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        getattr(nn, activation)(),
        nn.Flatten(),
        nn.Linear(8 * (size[0] // 2) * (size[1] // 2), classes),
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 3  # so that the score moves by more than its rounding
    return net.eval()


def stopping(ask: Callable[..., Any], after: int) -> Callable[..., Any]:
    """The same, until it is interrupted at call number `after` + 1."""
    calls = 0

    def asked(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return ask(*given)

    return asked
