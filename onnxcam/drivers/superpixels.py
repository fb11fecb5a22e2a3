"""Superpixels: the picture's pieces that are shown and hidden together, and how a number for each becomes a map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.errors import MissingExtra

Cover: TypeAlias = Literal["segment", "zero", "mean", "black", "white", "grey", "blur", "noise"]
# Weight of nearness against likeness of colour: scikit-image's, and more where a picture is so noisy that pieces of
# one colour hang together nowhere and SLIC joins them all.
COMPACTNESS = (10.0, 100.0, 1000.0)


class Pieces:
    """The superpixels of a probe's picture.

    Attributes:
        numbers: (H, W), of which superpixel each pixel is one, from 0.
        count: how many there are.
    """

    def __init__(self, probe: Probe, count: int, *, fill: str, seed: int) -> None:
        """The picture cut up by SLIC.

        Args:
            probe: with the picture.
            count: about how many there shall be.
            fill: what a hidden one shows: a blank of `Probe.blank`, or "segment", its own mean colour.
            seed: of a blank that is drawn.

        Raises:
            MissingExtra: without scikit-image.
        """
        self.numbers = cut(probe, count)
        self.count = int(self.numbers.max()) + 1
        self._probe = probe
        self._blank = self.averages() if fill == "segment" else probe.blank(fill, seed=seed)

    def averages(self) -> Floats:
        """An input like x in which each superpixel has its mean colour."""
        picture, flat = self._probe.picture(), self.numbers.ravel()
        sizes = np.bincount(flat)
        means = [np.bincount(flat, plane.ravel()) / sizes for plane in np.moveaxis(picture, 2, 0)]
        return self._probe.laid(np.stack(means, axis=1)[self.numbers])

    def shown(self, row: NDArray[np.bool_]) -> Floats:
        """The input in which the superpixels of the row (count,) are shown."""
        return self._probe.masked(row[self.numbers].astype(np.float32), self._blank)

    def map(self, values: NDArray[np.float64]) -> Floats:
        """(H, W): at each pixel the number of its superpixel."""
        return np.asarray(values[self.numbers], np.float32)


def cut(probe: Probe, count: int) -> NDArray[np.intp]:
    """The superpixel of each pixel, (H, W), numbered from 0 without gaps."""
    slic = _slic()
    unit = (probe.picture() - probe.black) / np.where(probe.white == probe.black, 1, probe.white - probe.black)
    for compactness in COMPACTNESS:
        # LAB only where there are three colours; a picture in BGR merely has other hues.
        found = slic(
            unit.astype(np.float64),
            n_segments=count,
            compactness=compactness,
            channel_axis=2,
            convert2lab=unit.shape[2] == 3,
            start_label=0,
        )
        known, numbers = np.unique(found, return_inverse=True)
        if len(known) >= count / 2:
            break
    return np.asarray(numbers.reshape(unit.shape[:2]), np.intp)


def _slic() -> Callable[..., NDArray[np.intp]]:
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise MissingExtra("cutting a picture into superpixels", "superpixels") from error
    found: Callable[..., NDArray[np.intp]] = slic
    return found


def fitted(
    rows: NDArray[np.float64], scores: NDArray[np.float64], weights: NDArray[np.float64], ridge: float
) -> tuple[NDArray[np.float64], float]:
    """Coefficients and intercept of the weighted ridge regression of scores on rows; the intercept is not shrunk."""
    share = weights / weights.sum()
    middle, level = share @ rows, share @ scores
    centred = rows - middle
    square = (centred * weights[:, None]).T @ centred + ridge * np.eye(rows.shape[1])
    values = np.linalg.lstsq(square, (centred * weights[:, None]).T @ (scores - level), rcond=None)[0]
    return values, float(level - middle @ values)


def explained(scores: NDArray[np.float64], guesses: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """The share of the scores' weighted variance that the guesses explain, at most 1."""
    if not len(scores):
        return 1.0
    level = np.average(scores, weights=weights)
    spread = float(weights @ (scores - level) ** 2)
    return 1 - float(weights @ (scores - guesses) ** 2) / spread if spread > 0 else 1.0
