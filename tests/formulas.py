"""Formulas of other libraries in numpy, shared by tests."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def upsampled(raw: Array, size: tuple[int, int]) -> Array:
    return cv2.resize(raw, size[::-1], interpolation=cv2.INTER_LINEAR)


def scaled(raw: Array, epsilon: float) -> Array:
    raw = raw - raw.min()
    return raw / (raw.max() + epsilon)


def numpy_pytorch_grad_cam(maps: list[Array], size: tuple[int, int]) -> Array:
    per_layer = [upsampled(scaled(np.maximum(raw, 0), 1e-7), size) for raw in maps]
    return scaled(np.mean(per_layer, axis=0), 1e-7)
