"""Pictures with several handwritten digits in clutter, and the boxes of the digits: a pointing game with known truth.

A scene is fixed by its seed alone: the same seed rendered larger is the same scene, only sharper.
The digits are scikit-learn's; those held out here are never seen in training (scripts/train_demo.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZE_PX = 96
HELD_OUT = 0.25  # share of the handwritten samples

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]
Colour = NDArray[np.float32]


@dataclass(frozen=True)
class Box:
    """Where a digit's ink lies, in pixels of the picture; x1 and y1 are exclusive."""

    digit: int
    x0: int
    y0: int
    x1: int
    y1: int

    def holds(self, x: float, y: float, *, tolerance_px: float = 0.0) -> bool:
        """Whether the point lies in the box, give or take the tolerance."""
        inside_x = self.x0 - tolerance_px <= x < self.x1 + tolerance_px
        return inside_x and self.y0 - tolerance_px <= y < self.y1 + tolerance_px


@dataclass(frozen=True)
class Scene:
    """An RGB picture (size, size, 3) and one box per digit; no digit occurs twice."""

    image: Image
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Handwriting:
    """Samples (n, 8, 8) in [0, 1] and the digit that each one shows, (n,)."""

    samples: Plane
    digits: NDArray[np.int64]


def handwriting(*, held_out: bool) -> Handwriting:
    """scikit-learn's digits, either those for training or those held out from it."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    cut = round(len(order) * HELD_OUT)
    chosen = order[:cut] if held_out else order[cut:]
    return Handwriting((bunch.images[chosen] / 16.0).astype(np.float32), bunch.target[chosen])


def compose(seed: int, source: Handwriting, *, size: int = SIZE_PX) -> Scene:
    """A scene of 2 to 4 different digits over a cluttered ground, as a picture of size × size pixels."""
    rng = np.random.default_rng(seed)
    dark = bool(rng.random() < 0.6)
    count = int(rng.integers(2, 5))
    image = clutter(rng, ground(rng, size, dark=dark), dark=dark)
    boxes = []
    for digit, (x, y, height) in zip(rng.permutation(10), places(rng, count), strict=False):
        sample = source.samples[rng.choice(np.flatnonzero(source.digits == digit))]
        ink = place(sample, size, centre=(x, y), height=height, angle_deg=rng.normal(0.0, 6.0))
        image = paint(image, ink, bright(rng) if dark else deep(rng))
        boxes.append(box_of(int(digit), ink))
    image = image + rng.uniform(0.0, 0.03) * rng.standard_normal(image.shape, np.float32)
    levels = (np.clip(image, 0.0, 1.0) * 255.0).round().astype(np.uint8)
    return Scene(np.ascontiguousarray(levels.transpose(1, 2, 0)), tuple(boxes))


def places(rng: np.random.Generator, count: int) -> list[tuple[float, float, float]]:
    """Centres and heights (x, y, height), in shares of the picture's side, that hardly overlap."""
    found: list[tuple[float, float, float]] = []
    while len(found) < count:
        height = rng.uniform(0.22, 0.42)
        x, y = rng.uniform(height / 2, 1.0 - height / 2, 2)
        if all(np.hypot(x - u, y - v) > 0.47 * (height + other) for u, v, other in found):
            found.append((x, y, height))
        elif rng.random() < 0.02:
            found.clear()
    return found


def place(sample: Plane, size: int, *, centre: tuple[float, float], height: float, angle_deg: float) -> Plane:
    """The sample as ink (size, size) in [0, 1]: scaled smoothly, turned, moved to its centre."""
    zoom = height * size / 8.0
    padded = np.pad(sample, 2)
    turn = cv2.getRotationMatrix2D((5.5, 5.5), angle_deg, zoom)
    turn[:, 2] += np.array(centre) * size - 6.0
    ink = cv2.warpAffine(padded, turn, (size, size), flags=cv2.INTER_CUBIC)
    return smoothstep((ink - 0.35) / 0.3)


def smoothstep(x: Plane) -> Plane:
    """0 below 0, 1 above 1, and a smooth rise between."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def box_of(digit: int, ink: Plane) -> Box:
    """The smallest box around the pixels that are more ink than ground."""
    rows, columns = np.flatnonzero((ink > 0.5).any(axis=1)), np.flatnonzero((ink > 0.5).any(axis=0))
    return Box(digit, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def paint(image: Plane, ink: Plane, colour: Colour) -> Plane:
    """The picture (3, h, w) with the colour laid on where there is ink (h, w)."""
    return image + ink * (colour - image)


def ground(rng: np.random.Generator, size: int, *, dark: bool) -> Plane:
    """A gradient between two near colours with a soft cloudy texture, (3, size, size)."""
    shade = deep if dark else pale
    first, second = shade(rng), shade(rng)
    angle = rng.uniform(0.0, 2.0 * math.pi)
    steps = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slope = 0.5 + 0.7 * (math.cos(angle) * steps[None, :] + math.sin(angle) * steps[:, None])
    clouds = rng.standard_normal((7, 7), np.float32)
    clouds = cv2.resize(clouds, (size, size), interpolation=cv2.INTER_CUBIC)
    mix: Plane = np.clip(slope + rng.uniform(0.05, 0.2) * clouds, 0.0, 1.0)
    return paint(np.broadcast_to(first, (3, size, size)), mix, second)


def clutter(rng: np.random.Generator, image: Plane, *, dark: bool) -> Plane:
    """The picture with blobs, and strokes as thick and as bright as a digit's but none of a digit's shape."""
    for _ in range(rng.integers(2, 6)):
        image = paint(image, blob(rng, image.shape[-1]), (deep if dark else pale)(rng))
    for _ in range(rng.integers(3, 9)):
        strength = rng.uniform(0.3, 0.9)
        image = paint(image, strength * stroke(rng, image.shape[-1]), (bright if dark else deep)(rng))
    return image


def blob(rng: np.random.Generator, size: int) -> Plane:
    """A soft-edged disc, (size, size) in [0, 0.7]."""
    x, y, radius = rng.uniform(0.0, 1.0), rng.uniform(0.0, 1.0), rng.uniform(0.05, 0.22)
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size
    distance = np.hypot(steps[None, :] - x, steps[:, None] - y)
    return rng.uniform(0.3, 0.7) * smoothstep(((radius - distance) / (0.25 * radius)).astype(np.float32))


def stroke(rng: np.random.Generator, size: int) -> Plane:
    """A thin curve, from straight to a shallow arc, (size, size) in [0, 1]."""
    ink = np.zeros((size, size), np.uint8)
    start, angle = rng.uniform(0.0, 1.0, 2), rng.uniform(0.0, 2.0 * math.pi)
    length, bend = rng.uniform(0.08, 0.4), rng.uniform(-1.2, 1.2)
    along = np.linspace(0.0, 1.0, 12)
    heading = angle + bend * along
    path = start + length * np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0) / 12.0
    points = np.round(path * size * 16.0).astype(np.int32)  # 4 fractional bits
    thickness = max(1, round(rng.uniform(0.008, 0.03) * size))
    cv2.polylines(ink, [points], False, 255, thickness, cv2.LINE_AA, 4)  # smooth edges in 8 bits only
    return ink.astype(np.float32) / 255.0


def deep(rng: np.random.Generator) -> Colour:
    """A dark colour of any hue, RGB in [0, 1]."""
    return colour(rng.uniform(0.0, 360.0), rng.uniform(0.3, 0.75), rng.uniform(0.12, 0.42))


def pale(rng: np.random.Generator) -> Colour:
    """A light, quiet colour of any hue, RGB in [0, 1]."""
    return colour(rng.uniform(0.0, 360.0), rng.uniform(0.05, 0.3), rng.uniform(0.82, 1.0))


def bright(rng: np.random.Generator) -> Colour:
    """A light colour of any hue, fuller than a pale one, RGB in [0, 1]."""
    return colour(rng.uniform(0.0, 360.0), rng.uniform(0.1, 0.6), rng.uniform(0.85, 1.0))


def colour(hue_deg: float, saturation: float, value: float) -> Colour:
    """The colour as RGB, (3, 1, 1) in [0, 1]."""
    hsv = np.array([[[hue_deg, saturation, value]]], np.float32)
    rgb: Colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).reshape(3, 1, 1)
    return rgb
