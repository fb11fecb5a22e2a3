"""Infidelity and max-sensitivity (Yeh et al., NeurIPS 2019), with captum's arithmetic and seeded draws."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.evaluation.blanks import Blank, blank
from onnxcam.evaluation.case import Array, Case, Flags, asked, batched
from onnxcam.evaluation.table import metric

SOURCE = "Yeh et al. 2019"
Kind: TypeAlias = Literal["square", "gaussian"]


@metric("infidelity", source=SOURCE, better="lower", needs="scores")
def infidelity(
    case: Case,
    *,
    kind: Kind = "square",
    count: int = 64,
    side: float = 0.25,
    deviation: float = 0.02,
    baseline: Blank = "zero",
    normalize: bool = True,
) -> float:
    """Mean squared error of the map as a forecast of what perturbations take from the score that it explains.

    Args:
        case: the picture.
        kind: "square" blanks a random square, of which a map says what it is worth: the sum over it (Yeh's global
            attribution); "gaussian" adds noise, of which a gradient says what it does: the sum of noise × map.
        count: of perturbations.
        side: of a square, as a share of the shorter side.
        deviation: of the noise, as a share of the way from black to white.
        baseline: what the squares are filled with.
        normalize: scale the map as fits best first, because the scale of a heatmap means nothing.
    """
    if kind == "square":
        forecasts, pictures = squares(case, count, side, baseline=baseline)
    else:
        forecasts, pictures = noises(case, count, deviation)
    drops = float(case.value(case.x[None])[0]) - asked(case.value, pictures)
    return error(forecasts, drops, normalize=normalize)


def error(forecasts: NDArray[np.float64], drops: NDArray[np.float64], *, normalize: bool) -> float:
    """The mean of (forecast − drop)²; normalised, of the multiple of the forecasts that fits best."""
    length = float(forecasts @ forecasts)
    scale = (float(forecasts @ drops) / length if length else 0.0) if normalize else 1.0
    return float(((scale * forecasts - drops) ** 2).mean())


def squares(case: Case, count: int, side: float, *, baseline: Blank) -> tuple[NDArray[np.float64], list[Array]]:
    """The map's sum over each of `count` random squares, and the pictures without them."""
    blanked, masks = blank(case, baseline), random_squares(case, count, side)
    forecasts = np.array([case.map[mask].sum(dtype=np.float64) for mask in masks])
    return forecasts, [case.mixed(~mask, blanked) for mask in masks]


def random_squares(case: Case, count: int, side: float) -> list[Flags]:
    """Bool (h, w) each, with a square anywhere inside."""
    rng, (height, width) = case.rng(2), case.map.shape
    length = max(1, round(side * min(height, width)))
    masks = []
    for _ in range(count):
        top, left = rng.integers(0, height - length + 1), rng.integers(0, width - length + 1)
        mask = np.zeros((height, width), bool)
        mask[top : top + length, left : left + length] = True
        masks.append(mask)
    return masks


def noises(case: Case, count: int, deviation: float) -> tuple[NDArray[np.float64], list[Array]]:
    """The sum of noise × map for each of `count` draws, and the pictures less the noise."""
    rng, channels = case.rng(3), 0 if case.layout == "CHW" else -1
    draws = [rng.normal(0.0, deviation, case.x.shape) * case.span for _ in range(count)]
    forecasts = np.array([(draw.sum(axis=channels) * case.map).sum() for draw in draws])
    return forecasts, [case.typed(case.x - draw) for draw in draws]


@metric("max-sensitivity", source=SOURCE, better="lower", needs="explain")
def max_sensitivity(case: Case, *, count: int = 10, radius: float = 0.02) -> float:
    """Largest change of the map, as a share of its length, under noise too small to see.

    `radius`: of the uniform noise, as a share of the way from black to white: captum's, where pictures go from 0 to 1.
    """
    assert case.explain is not None  # noqa: S101 - whoever measures has seen to it
    rng = case.rng(4)
    pictures = (case.typed(case.x + rng.uniform(-radius, radius, case.x.shape) * case.span) for _ in range(count))
    length = float(np.linalg.norm(case.map)) or 1.0
    changes = [np.linalg.norm(found - case.map) for batch in batched(pictures, count) for found in case.explain(batch)]
    return float(max(changes)) / length
