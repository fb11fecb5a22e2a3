"""Deletion and insertion: the score while the most relevant pixels go, or come (Petsiuk et al., BMVC 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np

from onnxcam.evaluation.blanks import Blank, blank
from onnxcam.evaluation.case import Array, Case, Curve, area, asked
from onnxcam.evaluation.table import metric

SOURCE = "Petsiuk et al. 2018"
Scale: TypeAlias = Literal["raw", "relative"]


@metric("deletion", source=SOURCE, better="lower", needs="scores", quick=True)
def deletion(case: Case, *, steps: int = 20, baseline: Blank = "zero", scale: Scale = "raw") -> Curve:
    """Area under the score while the most relevant pixels are blanked, the first first.

    `scale`: "relative" divides by the score of the whole picture, so that unsure pictures count as much as sure ones.
    """
    counts = steps_of(case.map.size, steps)
    blanked = blank(case, baseline)
    pictures = (case.mixed(~chosen, blanked) for chosen in most_relevant(case, counts))
    return curve_of(case, counts, pictures, scale=scale)


@metric("insertion", source=SOURCE, better="higher", needs="scores", quick=True)
def insertion(case: Case, *, steps: int = 20, baseline: Blank = "blur", scale: Scale = "raw") -> Curve:
    """Area under the score while the most relevant pixels come back into a blurred picture, the first first."""
    counts = steps_of(case.map.size, steps)
    blanked = blank(case, baseline)
    pictures = (case.mixed(chosen, blanked) for chosen in most_relevant(case, counts))
    return curve_of(case, counts, pictures, scale=scale)


def steps_of(pixels: int, steps: int) -> Array:
    """How many pixels are changed at each point of the curve: none, ever more in equal parts, all."""
    return np.append(np.arange(0, pixels, -(-pixels // steps)), pixels)


def most_relevant(case: Case, counts: Array) -> Iterator[Array]:
    """For each count, bool (h, w): so many of the most relevant pixels."""
    ranks = np.empty(case.map.size, np.intp)
    ranks[case.order] = np.arange(case.map.size)
    for count in counts:
        yield (ranks < count).reshape(case.map.shape)


def curve_of(case: Case, counts: Array, pictures: Iterator[Array], *, scale: Scale) -> Curve:
    """The scores of the pictures over the share of pixels that were changed."""
    scores = asked(case.scores, pictures)
    if scale == "relative":
        scores = scores / case.score if case.score else np.full_like(scores, np.nan)
    shares = counts / case.map.size
    return Curve(shares, scores, area(shares, scores))
