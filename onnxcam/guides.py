"""What points at a part of the picture: a box, a region, a picture to compare with; as inputs of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxcam.errors import InvalidBox, InvalidReference, InvalidRegion, NotGuided
from onnxcam.geometry import Geometry
from onnxcam.images import Source

BOX, REGION, REFERENCE = "box", "region", "reference"
KINDS = {BOX: "detector", REGION: "segmentation", REFERENCE: "similarity"}  # which score takes it


@dataclass(frozen=True, slots=True, eq=False)
class Guides:
    """Boxes and regions of the photos' own pixels; one for all photos, or one for each.

    Attributes:
        boxes: (4,) or (N, 4): x0, y0, x1, y1.
        regions: (H, W), or one for each photo.
    """

    boxes: NDArray[np.float32] | None = None
    regions: Sequence[NDArray[np.float32]] | None = None

    def part(self, some: slice) -> Guides:
        """Those of some of the photos."""
        boxes = self.boxes[some] if self.boxes is not None and self.boxes.ndim == 2 else self.boxes
        regions = self.regions[some] if self.regions is not None and len(self.regions) > 1 else self.regions
        return Guides(boxes, regions)

    def inputs(self, geometries: Sequence[Geometry], *, targets: int | None) -> dict[str, NDArray[Any]]:
        """The inputs of a run on the photos.

        Args:
            geometries: of the photos.
            targets: K, where boxes are wanted for each of K targets; None: one a photo.

        Raises:
            InvalidBox, InvalidRegion: if they do not fit the photos.
        """
        found: dict[str, NDArray[Any]] = {}
        if self.boxes is not None:
            own = self.boxes if self.boxes.ndim == 2 else [self.boxes] * len(geometries)
            rows = np.stack([_fitted(box, geometry) for box, geometry in zip(own, geometries, strict=True)])
            found[BOX] = rows if targets is None else np.repeat(rows[:, None], targets, axis=1)
        if self.regions is not None:
            masks = self.regions if len(self.regions) == len(geometries) else list(self.regions) * len(geometries)
            found[REGION] = np.stack(
                [_masked(mask, geometry) for mask, geometry in zip(masks, geometries, strict=True)]
            )
        return found


NONE = Guides()


def guides(known: Mapping[str, Any], score: str, *, box: Any, region: Any, count: int) -> Guides:
    """The boxes and regions that were given, checked as far as they can be without the photos.

    Args:
        known: the graph's inputs by name.
        score: what the graph explains, for messages.
        box: x0, y0, x1, y1, or one such for each photo; None: none.
        region: a mask (H, W), or one for each photo; None: none.
        count: N.

    Raises:
        NotGuided: if the graph takes none.
        InvalidBox, InvalidRegion: if they are none.
    """
    for name, given in ((BOX, box), (REGION, region)):
        if given is not None and name not in known:
            raise NotGuided(name, score, KINDS[name])
    return Guides(
        None if box is None else _boxes(box, count),
        None if region is None else _regions(region, count),
    )


def is_picture(reference: Any) -> TypeGuard[Source]:
    """Whether it is a picture, by its path, bytes, pixels or PIL's, and not one vector or several."""
    if isinstance(reference, list | tuple):
        return False
    return not isinstance(reference, np.ndarray) or reference.ndim == 3 or reference.dtype == np.uint8


def vector(reference: ArrayLike, size: int | None) -> NDArray[np.float32]:
    """A vector, or one for each photo, as (1 or N, D).

    Raises:
        InvalidReference: if it is none, or not as long as the embedding.
    """
    try:
        rows = np.atleast_2d(np.asarray(reference, np.float32))
    except (TypeError, ValueError) as error:
        raise InvalidReference(f"cannot be read as numbers ({error})") from error
    if rows.ndim != 2 or (size is not None and rows.shape[1] != size):
        raise InvalidReference(f"has shape {np.shape(reference)}, but the model's embedding has {size} numbers")
    if not np.isfinite(rows).all() or not np.abs(rows).max(axis=1).all():
        raise InvalidReference("has no direction: it is all zero, or not finite")
    return rows


def _boxes(box: Any, count: int) -> NDArray[np.float32]:
    try:
        rows = np.asarray(box, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidBox(box, "is not four numbers") from error
    if rows.shape not in ((4,), (count, 4)):
        raise InvalidBox(box, f"has shape {rows.shape}, not (4,) or ({count}, 4)")
    for row in rows.reshape(-1, 4):
        if not np.isfinite(row).all() or row[2] <= row[0] or row[3] <= row[1]:
            raise InvalidBox(row.tolist(), "is empty or turned around")
    return rows


def _regions(region: Any, count: int) -> list[NDArray[np.float32]]:
    masks = list(region) if isinstance(region, list | tuple) or np.ndim(region) == 3 else [region]
    if len(masks) not in (1, count):
        raise InvalidRegion(f"is {len(masks)} masks for {count} pictures")
    return [np.asarray(mask, np.float32) for mask in masks]


def _fitted(box: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    height, width = geometry.photo
    x0, y0, x1, y1 = box.tolist()
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise InvalidBox(box.tolist(), f"lies outside the picture of {width} x {height}")
    inside = np.array([max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)], np.float32)
    return geometry.box_to_input(inside)


def _masked(mask: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    if mask.shape != geometry.photo:
        height, width = geometry.photo
        raise InvalidRegion(f"has shape {mask.shape}, but the picture is ({height}, {width})")
    if not (mask.min() >= 0 and mask.max() > 0):
        raise InvalidRegion("is empty, or has values below 0 or none at all")
    return geometry.to_input(mask)
