"""Pictures without information, to put in the place of what is taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import cv2
import numpy as np

from onnxcam.evaluation.case import Array, Case

BLUR_SIDE, BLUR_SIGMA = 11, 5.0  # pixels; RISE's own, for pictures of 224


def zero(case: Case) -> Array:
    """0 in the model's own numbers: mid-grey for most, black for some. What all other libraries take."""
    return np.zeros_like(case.x)


def black(case: Case) -> Array:
    """Black pixels; 0 where it is not known what black is."""
    colour = case.colour(np.zeros(1) if case.black is None else case.black)
    return np.broadcast_to(colour, case.x.shape).astype(case.x.dtype)


def mean(case: Case) -> Array:
    """The picture's own mean colour."""
    axes = (1, 2) if case.layout == "CHW" else (0, 1)
    colour = case.x.mean(axis=axes, keepdims=True, dtype=np.float64)
    return np.broadcast_to(colour, case.x.shape).astype(case.x.dtype)


def blur(case: Case) -> Array:
    """The picture blurred, 11 × 11 pixels, sigma 5."""
    return blurred(case.x, case.layout, side=BLUR_SIDE, sigma=BLUR_SIGMA)


def blurred(x: Array, layout: str, *, side: int, sigma: float) -> Array:
    """The picture through a Gaussian of `side` pixels, each channel for itself."""
    planes = np.moveaxis(x, 0, -1) if layout == "CHW" else x
    soft = cv2.GaussianBlur(np.ascontiguousarray(planes, np.float32), (side, side), sigma).reshape(planes.shape)
    return np.asarray(np.moveaxis(soft, -1, 0) if layout == "CHW" else soft, x.dtype)


Blank: TypeAlias = Literal["zero", "black", "mean", "blur"]
BLANKS: dict[str, Callable[[Case], Array]] = {"zero": zero, "black": black, "mean": mean, "blur": blur}


def blank(case: Case, kind: Blank) -> Array:
    """The picture of that kind, in the shape of the case's."""
    return BLANKS[kind](case)
