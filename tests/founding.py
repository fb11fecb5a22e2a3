"""What the founding cases have in common: pictures with one thing in them, and frameworks where they are installed."""

from __future__ import annotations

import importlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

CAFFE_MEAN = np.array([103.939, 116.779, 123.68], np.float32)
# What is to be told apart, by colour, each a disc; a cat is the square.
DOG, CAT = (240, 150, 40), (20, 40, 160)
FLOWERS = {
    "daisy": (220, 60, 40),
    "dandelion": (60, 190, 60),
    "rose": (50, 80, 220),
    "sunflower": (230, 210, 60),
    "tulip": (190, 70, 200),
}


@dataclass(frozen=True)
class Picture:
    """A thing on a clouded ground: RGB (size, size, 3), and where the thing lies, in pixels."""

    image: NDArray[np.uint8]
    x: int
    y: int
    radius: int

    def save(self, path: Path) -> Path:
        """The path, after the picture was written there."""
        assert cv2.imwrite(str(path), self.image[..., ::-1])
        return path

    def is_pointed_at(self, heatmap: NDArray[np.float32]) -> bool:
        """Whether the heatmap's highest point lies within 1.5 radii of the thing's centre."""
        y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
        return max(abs(x - self.x), abs(y - self.y)) <= 1.5 * self.radius


def picture(rng: np.random.Generator, colour: tuple[int, int, int], *, size: int, is_square: bool = False) -> Picture:
    """A disc or square of that colour."""
    clouds = rng.integers(90, 150, (10, 10, 3)).astype(np.uint8)
    image = cv2.resize(clouds, (size, size), interpolation=cv2.INTER_CUBIC)
    x, y = (int(n) for n in rng.integers(size // 4, size - size // 4, 2))
    radius = int(rng.integers(size // 7, size // 5))
    if is_square:
        cv2.rectangle(image, (x - radius, y - radius), (x + radius, y + radius), colour, -1)
    else:
        cv2.circle(image, (x, y), radius, colour, -1)
    return Picture(image, x, y, radius)


def library(name: str) -> Any:
    """The framework, or a test skipped where it is not installed. What it says while it is imported is its own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow", reason="extra `keras` is not installed")
        pytest.importorskip(name, reason=f"{name} is not installed")
        return importlib.import_module(name)


def pet(rng: np.random.Generator, *, is_dog: bool) -> Picture:
    """A dog or a cat, 150 x 150."""
    return picture(rng, DOG if is_dog else CAT, size=150, is_square=not is_dog)


def flower(rng: np.random.Generator, kind: int, *, size: int = 64) -> Picture:
    """One of the five."""
    return picture(rng, list(FLOWERS.values())[kind], size=size)


def as_caffe(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """BGR without the mean, as Keras's `preprocess_input` of mode caffe gives it."""
    return image[..., ::-1] - CAFFE_MEAN
