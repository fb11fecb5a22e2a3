"""How alike two maps are: Pearson, Spearman, SSIM, and the correlation of their oriented gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.evaluation.case import Floats

WINDOW_SIGMA, WINDOW = 1.5, 11  # pixels
C1, C2 = 0.01**2, 0.03**2
CELL, BINS = 16, 9


def pearson(a: Floats, b: Floats) -> float:
    """Correlation of the values, −1 to 1; not a number where one of the maps is flat."""
    x, y = (values.reshape(-1).astype(np.float64) - values.mean(dtype=np.float64) for values in (a, b))
    length = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / length if length > 0 else float("nan")


def spearman(a: Floats, b: Floats) -> float:
    """Correlation of the ranks, equal values sharing their mean rank; not a number where one of the maps is flat."""
    return pearson(ranks(a), ranks(b))


def ranks(values: Floats) -> NDArray[np.float64]:
    """Each value's place among all, from 0; equal ones share the mean of theirs."""
    _, places, counts = np.unique(values.reshape(-1), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[places.reshape(-1)], np.float64)


def ssim(a: Floats, b: Floats) -> float:
    """Structural similarity of maps in [0, 1] (Wang et al. 2004: Gaussian window, sigma 1.5), −1 to 1."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = soft(x), soft(y)
    covariance = soft(x * y) - mean_x * mean_y
    spread = soft(x * x) - mean_x**2 + soft(y * y) - mean_y**2
    found = (2 * mean_x * mean_y + C1) * (2 * covariance + C2) / ((mean_x**2 + mean_y**2 + C1) * (spread + C2))
    edge = WINDOW // 2
    inner = found[edge:-edge, edge:-edge] if min(found.shape) > WINDOW else found
    return float(inner.mean())


def soft(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean around each pixel, weighted by the window."""
    return np.asarray(cv2.GaussianBlur(values, (WINDOW, WINDOW), WINDOW_SIGMA, borderType=cv2.BORDER_REFLECT))


def hog(a: Floats, b: Floats) -> float:
    """Correlation of the histograms of oriented gradients (Dalal and Triggs 2005; 9 bins, 16 × 16 cells)."""
    return pearson(oriented(a), oriented(b))


def oriented(values: Floats) -> NDArray[np.float64]:
    """Of each cell the gradient's length by direction, 0 to 180°, over the cell's whole length."""
    rows, columns = np.gradient(values.astype(np.float64))
    length = np.hypot(rows, columns)
    bins = np.floor(np.degrees(np.arctan2(rows, columns)) % 180 / (180 / BINS)).astype(int).clip(max=BINS - 1)
    height, width = (max(1, size // CELL) for size in values.shape)
    cells = np.arange(values.shape[0])[:, None] * height // values.shape[0] * width
    cells = cells + np.arange(values.shape[1]) * width // values.shape[1]
    flat = np.bincount((cells * BINS + bins).reshape(-1), length.reshape(-1), height * width * BINS)
    histograms = flat.reshape(-1, BINS)
    whole = np.linalg.norm(histograms, axis=1, keepdims=True)
    return histograms / np.where(whole > 0, whole, 1.0)


Likeness: TypeAlias = Literal["spearman", "pearson", "ssim", "hog"]
LIKENESSES: dict[str, Callable[[Floats, Floats], float]] = {
    "spearman": spearman,
    "pearson": pearson,
    "ssim": ssim,
    "hog": hog,
}
