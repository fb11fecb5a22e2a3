"""Whether the map lies on the thing: pointing game, relevance mass and rank."""

from __future__ import annotations

import cv2
import numpy as np

from onnxcam.evaluation.case import Case, Flags
from onnxcam.evaluation.table import metric

TOLERANCE_PX = 15.0
CLEVR = "Arras et al. 2022"


@metric("pointing-game", source="Zhang et al. 2016", better="higher", needs="boxes", quick=True, nothing=0.0)
def pointing_game(case: Case, *, tolerance: float = TOLERANCE_PX) -> float:
    """Whether a maximum of the map lies on the thing, give or take 15 pixels: its mean is the share of hits."""
    found = case.photo_map
    if not np.isfinite(found).all() or found.max() <= 0:
        return 0.0
    return float(near(region_of(case), tolerance)[found == found.max()].any())


@metric("relevance-mass", source=CLEVR, better="higher", needs="boxes", quick=True)
def relevance_mass(case: Case) -> float:
    """Share of the map's sum that lies on the thing."""
    positive = np.maximum(case.photo_map, 0).astype(np.float64)
    return float(positive[region_of(case)].sum() / positive.sum()) if positive.sum() else float("nan")


@metric("relevance-rank", source=CLEVR, better="higher", needs="boxes")
def relevance_rank(case: Case) -> float:
    """Of as many of the most relevant pixels as the thing has, the share that lies on it."""
    region = region_of(case).reshape(-1)
    order = np.argsort(-case.photo_map.reshape(-1).astype(np.float64), kind="stable")
    size = int(region.sum())
    return float(region[order[:size]].mean()) if size else float("nan")


def region_of(case: Case) -> Flags:
    """Where the thing is."""
    assert case.region is not None  # noqa: S101 - whoever measures has seen to it
    return case.region


def near(region: Flags, distance: float) -> Flags:
    """The pixels of the region and those at most so far, in pixels, from one of them."""
    if distance <= 0 or not region.any():
        return region
    away = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= distance)
