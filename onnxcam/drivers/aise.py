"""Where to look is searched for: the place of a soft spot that shows, or hides, what the score lives from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.table import driver
from onnxcam.errors import MissingExtra
from onnxcam.ranges import Count, Positive

PASSES = 2  # for each place: the spot alone, and all but the spot


@driver("aise", source="AISE, as in OpenVINO XAI 1.1, 2024", needs="score", score="probability")
def aise(
    probe: Probe, *, places: Count = 50, narrow: Positive = 0.1, wide: Positive = 0.25, widths: Count = 3
) -> Floats:
    """Spots weighed by the score with only them shown less the score with only them hidden, where DIRECT looks.

    For each of `widths` widths from `narrow` to `wide`, as shares of the shorter side, about `places` places are tried,
    and the width's map is divided by its maximum. Where nothing in it is above 0, as when no spot is worth more than
    all the rest, gains count from the lowest of them; OpenVINO XAI divides by 0 there, or turns the map over.
    """
    probe.require(narrow <= wide, "narrow", narrow, f"must be at most wide, {wide}")
    probe.expect(widths * places * PASSES)
    total, blank = np.zeros(probe.size), probe.blank("zero")
    with probe.keeping():
        for width in np.linspace(narrow, wide, widths):
            trial = Trial(probe, blank, float(width))
            try:
                search(trial, places)
            finally:
                total += trial.map()
    return np.asarray(total / widths, np.float32)


class Trial:
    """The places that were tried with one width, and what they gained."""

    def __init__(self, probe: Probe, blank: Floats, width: float) -> None:
        self._probe, self._blank, self._width = probe, blank, width
        self._found: list[tuple[NDArray[np.float64], float]] = []

    def __call__(self, place: NDArray[np.float64]) -> float:
        """What to minimise at a place (y, x) in [0, 1]²."""
        mask = spot(self._probe.size, place, self._width)
        kept, lost = self._probe.scores(self._probe.masked(share, self._blank) for share in (mask, 1 - mask))
        self._found.append((np.array(place), float(kept - lost)))
        return float(lost - kept)

    def map(self) -> NDArray[np.float64]:
        """Σ gain·spot, its maximum 1; all zero where no place gains more than another."""
        found = self._added(0.0)
        if self._found and found.max() <= 0:
            found = self._added(min(gain for _, gain in self._found))
        top = found.max()
        return found / top if top > 0 else np.zeros(self._probe.size)

    def _added(self, least: float) -> NDArray[np.float64]:
        total = np.zeros(self._probe.size)
        for place, gain in self._found:
            total += (gain - least) * spot(self._probe.size, place, self._width)
        return total


def spot(size: tuple[int, int], place: NDArray[np.float64], width: float) -> Floats:
    """A round Gaussian (H, W), 1 at its middle; `width` is its sigma as a share of the shorter side."""
    sigma = width * min(size)
    down, across = (
        np.exp(-0.5 * ((np.arange(length) + 0.5 - at * length) / sigma) ** 2)
        for length, at in zip(size, place, strict=True)
    )
    return np.asarray(down[:, None] * across, np.float32)


def search(objective: Callable[[NDArray[np.float64]], float], places: int) -> None:
    """DIRECT over the unit square, `places` calls or a few more; `eps` and the bias are OpenVINO XAI's."""
    direct = _direct()
    direct(objective, bounds=[(0.0, 1.0), (0.0, 1.0)], maxfun=places, eps=0.1, locally_biased=False)


def _direct() -> Callable[..., Any]:
    try:
        from scipy.optimize import direct  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtra("the search of aise", "superpixels") from error
    found: Callable[..., Any] = direct
    return found
