"""Whether a map can be trusted, and if not why and what may help."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxcam.explanation import ALL_ZERO, FLAT, NOT_FINITE, NOT_FOUND, OK

ROUNDING = 8 * float(np.finfo(np.float32).eps)  # of the largest value: what sums of equal numbers may differ by
OF_CLASSES = ("logit", "probability", "rest", "segmentation", "detector")


@dataclass(frozen=True, slots=True)
class Explained:
    """The number that a map explains.

    Attributes:
        kind: of the score, as the graph's metadata has it.
        index: of the class, or of the number that was picked.
        label: what it is called, if it has a name.
        score: the number.
    """

    kind: str
    index: int
    label: str | None
    score: float

    @property
    def raised(self) -> str:
        """What a place does that the map shows, in words."""
        if self.label is not None or self.kind in OF_CLASSES:
            return f"speaks for {self.label or f'class {self.index}'}"
        return "makes the picture more like the reference" if self.kind == "similarity" else "raises the score"

    @property
    def other(self) -> str:
        """What else could be asked about, in words."""
        if self.label is not None or self.kind in OF_CLASSES:
            return "a class that the model sees in the picture"
        return "another reference" if self.kind == "similarity" else "another score"


def is_flat(values: NDArray[np.float32]) -> bool:
    """Whether all are the same number but 0, as far as float32 can tell after some sums."""
    largest = float(np.abs(values).max(initial=0))
    return largest > 0 and float(np.ptp(values)) <= ROUNDING * largest


def judged(
    heatmap: NDArray[np.float32],
    explained: Explained,
    *,
    layer: str | None,
    has_gradient: bool = True,
    has_filling: bool = False,
    raw: NDArray[np.float32] | None = None,
) -> tuple[str, str]:
    """Status and reason of a map.

    Args:
        heatmap: the map.
        explained: what it explains; an index below 0: there is no such detection in the picture.
        layer: that the method looked at; None where it looks at the input itself.
        has_gradient: whether it may come of a gradient.
        has_filling: whether something was hidden, behind what an option says.
        raw: the map before it was normalised, where that is known.
    """
    if not np.isfinite(explained.score):
        return NOT_FINITE, (
            f"the score that is explained is {explained.score}, so the map stands for nothing: a number overflowed, or "
            f"a score that is an expression takes the logarithm or root of what it cannot, or divides by 0."
        )
    if explained.index < 0:
        return NOT_FOUND, (
            "there is no such detection: none of that rank above the threshold, or no candidate at that box. Name a "
            "class, whose best candidate is explained however unlikely, or convert with a lower threshold: "
            "--score detector:threshold=0.1."
        )
    odd = int(np.count_nonzero(~np.isfinite(heatmap)))
    if odd:
        return NOT_FINITE, (
            f"{odd} of {heatmap.size} values of the map are not finite and are shown as 0: a number overflowed in the "
            f"model. Look at the scores; a float16 model may need its float32 original."
        )
    place = layer or "the input"
    if is_flat(heatmap if raw is None else raw):
        return FLAT, (
            f"the map is the same everywhere, but for rounding: in {place} all places are alike, as in a picture of "
            f"one colour, or the method cannot tell them apart. Try another method, or a picture with something in it."
        )
    if heatmap.any():
        return OK, ""
    others = ["another layer"] * (layer is not None) + ["another filling (option fill)"] * has_filling
    tries = ", ".join([*others, "another method"])
    return ALL_ZERO, f"the map is zero everywhere: {_why_zero(explained, place, tries, has_gradient=has_gradient)}"


def _why_zero(explained: Explained, place: str, tries: str, *, has_gradient: bool) -> str:
    """What a map of zeros may come of, and what may help."""
    if explained.kind == "segmentation" and explained.score == 0:
        return (
            f"the net sees {explained.label or f'class {explained.index}'} nowhere in the picture, so that there is no "
            f"place to explain it at. Say where: region=, a mask of the photo (on the command line: --region MASK)."
        )
    is_saturated = has_gradient and explained.kind == "probability"
    saturated = " A probability near 0 or 1 has no gradient left: convert with the logit as score." * is_saturated
    return f"nothing in {place} {explained.raised}.{saturated} Try {tries}, or {explained.other}."
