"""Ops evaluated in float64 with numpy: those that ONNX's reference evaluator gets wrong, or does not know."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_grid_sample import GridSample as RoundingGridSample
from onnx.reference.ops.op_scatter_elements import ScatterElements
from reference_recurrent import GRU, LSTM, RNN, Scan

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


class GridSample(RoundingGridSample):
    """ONNX's own places points in float32, does not know its modes by the names they had before opset 20, and moves
    points of a cubic to the border, where PyTorch and ONNX Runtime move the elements around them."""

    NAMES: ClassVar = {"bilinear": "linear", "bicubic": "cubic"}

    def _gs_denormalize_coordinates(self, n: Array, dims: tuple[int, ...], align_corners: bool) -> Array:
        return np.array([self._gs_denormalize(v, d, align_corners) for v, d in zip(n, dims, strict=False)])

    def _clamp(self, val: float, lo: float, hi: float) -> float:
        is_point = isinstance(val, float)
        return val if is_point and self.mode in ("cubic", "bicubic") else super()._clamp(val, lo, hi)

    def _run(self, x: Array, grid: Array, mode: str, padding_mode: str, align_corners: int) -> tuple[Array]:
        return super()._run(x, grid, self.NAMES.get(mode, mode), padding_mode, align_corners)


class MaxRoiPool(OpRun):
    """ONNX has none; this one is compared with ONNX Runtime's in test_sampling.py."""

    def _run(self, x: Array, rois: Array, pooled_shape: list[int], spatial_scale: float = 1.0) -> tuple[Array]:
        y = np.zeros((len(rois), x.shape[1], *pooled_shape), x.dtype)
        for r, (image, *corners) in enumerate(rois):
            left, top, right, bottom = (int(math.copysign(abs(c * spatial_scale) + 0.5, c)) for c in corners)
            for p, q in np.ndindex(*pooled_shape):
                rows = self.bin(p, top, bottom, count=pooled_shape[0], size=x.shape[2])
                columns = self.bin(q, left, right, count=pooled_shape[1], size=x.shape[3])
                found = x[int(image), :, rows, columns]
                if found.size:
                    y[r, :, p, q] = found.max(axis=(1, 2))
        return (y,)

    @staticmethod
    def bin(index: int, first: int, last: int, *, count: int, size: int) -> slice:
        width = max(last - first + 1, 1) / count
        edges = math.floor(index * width) + first, math.ceil((index + 1) * width) + first
        return slice(*np.clip(edges, 0, size))


class LpNormalization(OpRun):
    """ONNX's own (1.23) sums the numbers themselves where p is 1, not their sizes."""

    def _run(self, x: Array, axis: int = -1, p: int = 2) -> tuple[Array]:
        norm = (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
        return (np.where(norm == 0, 0, x / np.where(norm == 0, 1, norm)),)


class Scatter(ScatterElements):
    """ONNX has it no more: since opset 11 it is called ScatterElements."""


class MeanVarianceNormalization(OpRun):
    """ONNX's own is made of nodes with float32 constants, which then refuse float64."""

    def _run(self, x: Array, axes: list[int]) -> tuple[Array]:
        axes = tuple(axes)
        return ((x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + 1e-9),)


class LpPool(OpRun):
    """ONNX's own, with ceil_mode, scales a sum over part of a window as if it were whole; ONNX Runtime does not."""

    def _run(
        self, x: Array, auto_pad: str, ceil_mode: int, dilations: list[int] | None, kernel_shape: list[int], p: int,
        pads: list[int] | None, strides: list[int] | None,
    ) -> tuple[Array]:  # fmt: skip
        powers = np.abs(x) ** p
        for axis, kernel in enumerate(kernel_shape):
            stride, step = (strides or [1] * x.ndim)[axis], (dilations or [1] * x.ndim)[axis]
            reach, n = (kernel - 1) * step, x.shape[axis + 2]
            before, after = (pads or [0] * 2 * len(kernel_shape))[axis :: len(kernel_shape)]
            if auto_pad.startswith("SAME"):
                total = max((-(-n // stride) - 1) * stride + reach + 1 - n, 0)
                before, after = sorted((total // 2, total - total // 2), reverse=auto_pad == "SAME_LOWER")
            room = n + before + after - reach - 1
            count = (-(-room // stride) if ceil_mode else room // stride) + 1
            if (count - 1) * stride >= n + before:
                count -= 1
            wide = np.pad(powers, [(before, after + stride) if a == axis + 2 else (0, 0) for a in range(x.ndim)])
            places = np.arange(count)[:, None] * stride + np.arange(kernel) * step
            powers = wide.take(places, axis=axis + 2).sum(axis=axis + 3)
        return (powers ** (1 / p),)


class GlobalLpPool(OpRun):
    """ONNX has none."""

    def _run(self, x: Array, p: int = 2) -> tuple[Array]:
        return ((np.abs(x) ** p).sum(tuple(range(2, x.ndim)), keepdims=True) ** (1 / p),)


REFERENCE_OPS: list[type[OpRun]] = [
    GRU,
    LSTM,
    RNN,
    Scan,
    Erf,
    GridSample,
    LRN,
    LpPool,
    GlobalLpPool,
    LpNormalization,
    MaxRoiPool,
    MeanVarianceNormalization,
    Scatter,
]
