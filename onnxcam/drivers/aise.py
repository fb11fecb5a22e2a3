"""Where to look is searched for: the place of a soft spot that shows, or hides, what the score lives from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.drivers.table import driver
from onnxcam.errors import MissingExtra
from onnxcam.ranges import Count, Positive

Scoring: TypeAlias = Callable[[Iterable[Floats]], NDArray[np.float64]]
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
    sigmas = np.linspace(narrow, wide, widths) * min(probe.size)
    return searched(probe, sigmas, Search(places, eps=0.1), probe.scores)


@dataclass(frozen=True, slots=True)
class Search:
    """How places are looked for: how many of them, DIRECT's `eps`, and the part of the picture, y then x, in [0, 1]."""

    places: int
    eps: float
    bounds: tuple[tuple[float, float], ...] = ((0.0, 1.0), (0.0, 1.0))


def searched(probe: Probe, sigmas: NDArray[np.float64], search: Search, scores: Scoring) -> Floats:
    """The mean over the widths of Σ gain·spot over the maximum of that. `sigmas`: in pixels."""
    probe.expect(len(sigmas) * search.places * PASSES)
    total, blank = np.zeros(probe.size), probe.blank("zero")
    with probe.keeping():
        for sigma in sigmas:
            trial = Trial(probe, blank, float(sigma), scores)
            try:
                minimise(trial, search)
            finally:
                total += trial.map()
    return np.asarray(total / len(sigmas), np.float32)


class Trial:
    """The places that were tried with one width, and what they gained."""

    def __init__(self, probe: Probe, blank: Floats, sigma: float, scores: Scoring) -> None:
        self._probe, self._blank, self._sigma, self._scores = probe, blank, sigma, scores
        self._found: list[tuple[NDArray[np.float64], float]] = []

    def __call__(self, place: NDArray[np.float64]) -> float:
        """What to minimise at a place (y, x) in [0, 1]²."""
        mask = spot(self._probe.size, place, self._sigma)
        kept, lost = self._scores(self._probe.masked(share, self._blank) for share in (mask, 1 - mask))
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
            total += (gain - least) * spot(self._probe.size, place, self._sigma)
        return total


def spot(size: tuple[int, int], place: NDArray[np.float64], sigma: float) -> Floats:
    """A round Gaussian (H, W), 1 at its middle; `sigma` in pixels."""
    down, across = (
        np.exp(-0.5 * ((np.arange(length) + 0.5 - at * length) / sigma) ** 2)
        for length, at in zip(size, place, strict=True)
    )
    return np.asarray(down[:, None] * across, np.float32)


def minimise(objective: Callable[[NDArray[np.float64]], float], search: Search) -> None:
    """DIRECT, with the search's number of calls or a few more; `eps` and the bias are OpenVINO XAI's."""
    direct = _direct()
    direct(objective, bounds=search.bounds, maxfun=search.places, eps=search.eps, locally_biased=False)


def _direct() -> Callable[..., Any]:
    try:
        from scipy.optimize import direct  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtra("the search of aise", "superpixels") from error
    found: Callable[..., Any] = direct
    return found
