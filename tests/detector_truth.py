"""Detections in numpy: overlap, suppression, and which candidate a target means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


def overlap(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes (K, 4) and (B, 4), (K, B)."""
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - corner, 0, None)
    areas = [np.prod(np.clip(x[:, 2:] - x[:, :2], 0, None), -1) for x in (a, b)]
    shared = sides.prod(-1)
    return np.asarray(shared / (areas[0][:, None] + areas[1][None] - shared + 1e-9))


def suppressed(boxes: Floats, shares: Floats, *, iou: float = 0.5, threshold: float = 0.25) -> list[int]:
    """The candidates that are left, the best first: of one class none may overlap a better one. `shares`: (B, C)."""
    best, classes = shares.max(1), shares.argmax(1)
    kept: list[int] = []
    for at in np.argsort(-best, kind="stable"):
        if best[at] <= threshold:
            break
        rivals = [k for k in kept if classes[k] == classes[at]]
        if not rivals or overlap(boxes[at : at + 1], boxes[rivals]).max() <= iou:
            kept.append(int(at))
    return kept


def meant(boxes: Floats, shares: Floats, target: int, box: Floats | None = None) -> tuple[int, int] | None:
    """Candidate and class of a target: the k-th detection, the best of a class, or what lies at a box."""
    if box is None and target < 0:
        order = suppressed(boxes, shares)
        return (order[-1 - target], int(shares[order[-1 - target]].argmax())) if -target <= len(order) else None
    weights = shares.max(1) if target < 0 else shares[:, target]
    if box is not None:
        near = overlap(box[None], boxes)[0]
        weights = weights * near * (near >= 0.1) * ((weights > 0.25) | (target >= 0))
    at = int(weights.argmax())
    return None if weights[at] <= 0 else (at, int(shares[at].argmax()) if target < 0 else target)


def crowd(seed: int, *, count: int = 60, classes: int = 5, images: int = 2) -> tuple[Floats, Floats]:
    """Boxes (N, B, 4) on a picture of 64 pixels, many of them near one another, and shares (N, B, C)."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(10, 54, (images, 8, 2))[:, rng.integers(0, 8, count)] + rng.normal(0, 1.5, (images, count, 2))
    size = rng.uniform(8, 20, (images, 8, 2))[:, rng.integers(0, 8, count)]
    boxes = np.concatenate([centre - size / 2, centre + size / 2], -1)
    return boxes.astype(np.float32), rng.beta(0.5, 2.5, (images, count, classes)).astype(np.float32)
