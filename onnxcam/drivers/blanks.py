"""Pictures that say nothing: what takes the place of pixels that are taken away, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import UnknownChoice

BLUR_SHARE = 1 / 12  # sigma of the blur that leaves nothing to recognise, as a share of the longer side


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a blank is made from.

    Attributes:
        picture: float32 (H, W, C), in the model's units; of a signal (L, C), of a volume (D, H, W, C).
        black, white: (C,), these colours in the same units.
        rng: for what is drawn.
    """

    picture: NDArray[np.float32]
    black: NDArray[np.float32]
    white: NDArray[np.float32]
    rng: np.random.Generator

    def plain(self, colour: NDArray[Any]) -> NDArray[np.float32]:
        """A picture of one colour."""
        return np.array(np.broadcast_to(colour, self.picture.shape), np.float32)


def blurred(sample: Sample) -> NDArray[np.float32]:
    """The picture, so blurred that nothing can be recognised."""
    picture = sample.picture
    found = cv2.GaussianBlur(picture, (0, 0), max(picture.shape[:2]) * BLUR_SHARE)
    return np.asarray(found, np.float32).reshape(picture.shape)


def noise(sample: Sample) -> NDArray[np.float32]:
    """Uniform between black and white; of a signal or volume between each channel's own lowest and highest value."""
    drawn, low, high = sample.rng.random(sample.picture.shape, np.float32), sample.black, sample.white
    if sample.picture.ndim != 3:
        space = tuple(range(sample.picture.ndim - 1))
        low, high = sample.picture.min(space), sample.picture.max(space)
    return low + drawn * (high - low)


BLANKS: dict[str, Callable[[Sample], NDArray[np.float32]]] = {
    "zero": lambda sample: sample.plain(np.zeros_like(sample.black)),  # in the model's units
    "mean": lambda sample: sample.plain(sample.picture.mean(tuple(range(sample.picture.ndim - 1)))),
    "black": lambda sample: sample.plain(sample.black),
    "white": lambda sample: sample.plain(sample.white),
    "grey": lambda sample: sample.plain((sample.black + sample.white) / 2),
    "blur": blurred,
    "noise": noise,
}
# Signals and volumes have no colours: black, white and grey are 0.
ANY_AXES = tuple(kind for kind in BLANKS if kind != "blur")


def blank(kind: str, sample: Sample) -> NDArray[np.float32]:
    """A picture of that kind, (H, W, C).

    Raises:
        UnknownChoice: if there is none, or none of a signal or volume.
    """
    known = BLANKS if sample.picture.ndim == 3 else ANY_AXES
    if kind not in known:
        raise UnknownChoice("blank", kind, known)
    return BLANKS[kind](sample)
