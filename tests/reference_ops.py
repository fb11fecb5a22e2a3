"""Ops evaluated in float64 with numpy: those that ONNX's reference evaluator gets wrong, or does not know."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]
ERF = np.vectorize(math.erf, otypes=[np.float64])


class Erf(OpRun):
    """ONNX's own rounds to float32."""

    def _run(self, x: Array) -> tuple[Array]:
        return (ERF(x),)


class LRN(OpRun):
    """ONNX's own (1.23) goes through as many channels as there are images."""

    def _run(self, x: Array, alpha: float, beta: float, bias: float, size: int) -> tuple[Array]:
        before, after = (size - 1) // 2, size // 2
        squares = np.stack(
            [(x[:, max(0, c - before) : c + after + 1] ** 2).sum(axis=1) for c in range(x.shape[1])], axis=1
        )
        return (x / (bias + alpha / size * squares) ** beta,)


class MeanVarianceNormalization(OpRun):
    """ONNX's own is made of nodes with float32 constants, which then refuse float64."""

    def _run(self, x: Array, axes: list[int]) -> tuple[Array]:
        axes = tuple(axes)
        return ((x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-9),)


class Gelu(OpRun):
    op_domain = "com.microsoft"

    # The evaluator takes attributes from the op of that name in ONNX's own domain.
    def _run(self, x: Array, approximate: str | None = None) -> tuple[Array]:
        return (x * (1 + ERF(x / np.sqrt(2))) / 2,)


class BiasGelu(OpRun):
    op_domain = "com.microsoft"

    def _run(self, x: Array, bias: Array) -> tuple[Array]:
        v = x + bias
        return (v * (1 + ERF(v / np.sqrt(2))) / 2,)


class FastGelu(OpRun):
    op_domain = "com.microsoft"

    def _run(self, x: Array, bias: Array | None = None) -> tuple[Array]:
        v = x if bias is None else x + bias
        return (v / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3))),)


class QuickGelu(OpRun):
    op_domain = "com.microsoft"

    def _run(self, x: Array, alpha: float = 1.702) -> tuple[Array]:
        return (x / (1 + np.exp(-alpha * x)),)


REFERENCE_OPS: list[type[OpRun]] = [Erf, LRN, MeanVarianceNormalization, Gelu, BiasGelu, FastGelu, QuickGelu]
