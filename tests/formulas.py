"""Formulas of other libraries in numpy, shared by tests."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import KernelPCA

Array = NDArray[np.float32]


def upsampled(raw: Array, size: tuple[int, int]) -> Array:
    return cv2.resize(raw, size[::-1], interpolation=cv2.INTER_LINEAR)


def scaled(raw: Array, epsilon: float) -> Array:
    raw = raw - raw.min()
    return raw / (raw.max() + epsilon)


def numpy_pytorch_grad_cam(maps: list[Array], size: tuple[int, int]) -> Array:
    per_layer = [upsampled(scaled(np.maximum(raw, 0), 1e-7), size) for raw in maps]
    return scaled(np.mean(per_layer, axis=0), 1e-7)


def component(x: Array, *, rises: bool = True) -> Array:
    """The first principal component of (N, C, h, w) over channels, (N, h, w).

    It rises with the mean over channels, or has its farthest place above zero.
    """
    found = []
    for image in x.astype(np.float64):
        rows = image.reshape(len(image), -1).T
        rows = rows - rows.mean(0)
        scores = rows @ np.linalg.svd(rows, full_matrices=False)[2][0]
        found.append(_turned(scores, rows, rises=rises).reshape(x.shape[2:]))
    return np.stack(found)


def kernel_component(x: Array, kernel: str, *, gamma: float | None = None, rises: bool = True) -> Array:
    """The first component of scikit-learn's kernel PCA over places, signed likewise."""
    found = []
    for image in x.astype(np.float64):
        rows = image.reshape(len(image), -1).T
        rows = rows - rows.mean(0)
        solver = KernelPCA(1, kernel=kernel, gamma=gamma, eigen_solver="dense")
        found.append(_turned(solver.fit_transform(rows)[:, 0], rows, rises=rises).reshape(x.shape[2:]))
    return np.stack(found)


def _turned(scores: Array, rows: Array, *, rises: bool) -> Array:
    sign = scores @ rows.mean(1) if rises else scores.max() + scores.min()
    return scores * (1 if sign >= 0 else -1)
