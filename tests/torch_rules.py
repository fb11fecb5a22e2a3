"""Ops in ONNX Runtime, float32, against torch.autograd in float64; skips what needs it where there is no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from conformance import Array
from test_rules_float import gradient, normal

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")
F = torch.nn.functional


@dataclass(frozen=True)
class Case:
    """An op as ONNX text and in torch, and its inputs in the order of torch's arguments."""

    name: str
    text: str
    function: Callable[..., Any]
    inputs: dict[str, Array]
    tolerance: float = 3e-6

    def __str__(self) -> str:
        return self.name

    def check(self) -> None:
        tensors = [torch.tensor(x.astype(np.float64), requires_grad=True) for x in self.inputs.values()]
        y = self.function(*tensors)
        cotangent = normal(*y.shape, seed=9)
        y.backward(torch.tensor(cotangent.astype(np.float64)))
        found = gradient(self.text, cotangent=cotangent, **self.inputs)[1:]
        for ours, theirs in zip(found, (tensor.grad.numpy() for tensor in tensors), strict=True):
            assert np.linalg.norm(ours - theirs) <= self.tolerance * np.linalg.norm(theirs)


def rounded(*shape: int, seed: int = 0) -> Array:
    """Many equal numbers, zeros among them."""
    return np.round(normal(*shape, seed=seed)) + np.float32(0.0)
