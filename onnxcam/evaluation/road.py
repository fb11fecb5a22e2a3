"""ROAD: the score after the most, or least, relevant pixels are imputed from the others (Rong et al., ICML 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from onnxcam.evaluation.case import Array, Case, Curve, Flags, asked
from onnxcam.evaluation.imputing import impute
from onnxcam.evaluation.table import metric

SOURCE = "Rong et al. 2022"
SHARES = tuple(number / 10 for number in range(1, 10))
NOISE = 0.01  # in standard deviations of the picture


@metric("road", source=SOURCE, better="higher", needs="scores")
def combined(case: Case, *, shares: tuple[float, ...] = SHARES, noise: float = NOISE) -> float:
    """Score after the least relevant pixels are imputed, less that after the most relevant, halved; −0.5 to 0.5.

    The mean over the shares of pixels imputed. pytorch-grad-cam's `percentile="auto"` has the two sides swapped, and
    is not offered here.
    """
    least, most = after(case, shares, noise, most=False), after(case, shares, noise, most=True)
    return float((least - most).mean() / 2)


@metric("road-morf", source=SOURCE, better="lower", needs="scores")
def most_first(case: Case, *, shares: tuple[float, ...] = SHARES, noise: float = NOISE) -> Curve:
    """Mean score after the most relevant pixels are imputed from the others."""
    scores = after(case, shares, noise, most=True)
    return Curve(np.array(shares), scores, float(scores.mean()))


@metric("road-lerf", source=SOURCE, better="higher", needs="scores")
def least_first(case: Case, *, shares: tuple[float, ...] = SHARES, noise: float = NOISE) -> Curve:
    """Mean score after the least relevant pixels are imputed from the others."""
    scores = after(case, shares, noise, most=False)
    return Curve(np.array(shares), scores, float(scores.mean()))


def after(case: Case, shares: Sequence[float], noise: float, *, most: bool) -> NDArray[np.float64]:
    """The score after each share of the pixels is imputed, the most or the least relevant."""
    key = "road", tuple(shares), noise, most
    if key not in case.memory:
        case.memory[key] = asked(case.scores, imputed(case, shares, noise, most=most))
    found: NDArray[np.float64] = case.memory[key]
    return found


def imputed(case: Case, shares: Sequence[float], noise: float, *, most: bool) -> Iterator[Array]:
    """The pictures with each share of their pixels imputed, and noise on those."""
    rng, deviation = case.rng(int(most)), noise * float(case.x.std(dtype=np.float64))
    planes = np.moveaxis(case.x, 0, -1) if case.layout == "CHW" else case.x
    for share in shares:
        kept = remaining(case, share, most=most)
        filled = impute(planes, kept)
        filled += ~kept[..., None] * rng.normal(0.0, 1.0, filled.shape) * deviation
        yield case.typed(np.moveaxis(filled, -1, 0) if case.layout == "CHW" else filled)


def remaining(case: Case, share: float, *, most: bool) -> Flags:
    """Bool (h, w): what stays when that share of the pixels is taken away, the most or the least relevant.

    By rank, so that a map with large flat parts loses what is asked for, not all or nothing as by a threshold. The
    count is that of the pixels at or above the linear percentile 1 − share.
    """
    pixels = case.map.size
    count = pixels - int(np.ceil(round((1 - share) * (pixels - 1), 6)))
    taken = case.order[:count] if most else case.order[pixels - count :]
    kept = np.ones(pixels, bool)
    kept[taken] = False
    return kept.reshape(case.map.shape)
