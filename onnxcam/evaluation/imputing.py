"""Missing pixels worked out of their neighbours, as ROAD does it (Rong et al., ICML 2022).

Each missing pixel is the weighted mean of its eight neighbours, those at the sides with 1/6 and those at the corners
with 1/12, less what lies outside the picture. As the weights are symmetric, so is the system of equations, and
conjugate gradients solve it with no matrix and no sparse solver; they start from a coarse-to-fine guess.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.evaluation.case import Array, Flags

System: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
WEIGHTS = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
TOLERANCE = 1e-6  # of the residual, in units of the right-hand side
ROUNDS = 2000


def impute(planes: Array, kept: Flags) -> NDArray[np.float64]:
    """The picture (h, w, C) with the pixels that are not `kept` (h, w) worked out of the others."""
    given = np.asarray(planes, np.float64)
    if kept.all() or not kept.any():
        return given.copy()
    missing = ~kept[..., None]
    known = np.where(missing, 0.0, given)
    weight = neighbours(np.ones(known.shape))

    def system(values: NDArray[np.float64]) -> NDArray[np.float64]:
        pushed = weight * values
        pushed -= neighbours(values)
        pushed *= missing
        return pushed

    wanted = missing * neighbours(known)
    return known + solved(system, wanted, missing * guess(known, kept))


def neighbours(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weighted sum of the eight neighbours; what lies outside is 0."""
    summed = np.asarray(cv2.filter2D(planes, -1, WEIGHTS, borderType=cv2.BORDER_CONSTANT), np.float64)
    return np.asarray(summed.reshape(planes.shape))  # OpenCV drops the axis of a single channel


def guess(known: NDArray[np.float64], kept: Flags) -> NDArray[np.float64]:
    """Every pixel from the finest scale at which one near it is known."""
    height, width = kept.shape
    if kept.all() or min(height, width) == 1:
        return np.asarray(known + ~kept[..., None] * (known.sum(axis=(0, 1)) / kept.sum()))
    half = (-(-width // 2), -(-height // 2))
    share = cv2.resize(kept.astype(np.float64), half, interpolation=cv2.INTER_AREA)
    summed = cv2.resize(known, half, interpolation=cv2.INTER_AREA).reshape(*share.shape, -1)
    coarse = summed / np.where(share > 0, share, 1.0)[..., None]
    filled = guess(coarse * (share > 0)[..., None], share > 0)
    fine = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR).reshape(known.shape)
    return np.asarray(np.where(kept[..., None], known, fine))


def solved(system: System, wanted: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `system`, symmetric and positive, makes `wanted` of."""
    found, residual = start.copy(), wanted - system(start)
    direction, size = residual.copy(), squared(residual)
    enough = TOLERANCE**2 * squared(wanted)
    for _ in range(ROUNDS):
        if size <= enough:
            break
        pushed = system(direction)
        step = size / float(np.vdot(direction, pushed))
        found += step * direction
        residual -= step * pushed
        before, size = size, squared(residual)
        direction *= size / before
        direction += residual
    return found


def squared(planes: NDArray[np.float64]) -> float:
    """The squared length of all channels."""
    return float(np.vdot(planes, planes))
