"""What points at a part of the picture: a box, a region, a picture to compare with; as inputs of the graph."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxcam.errors import InvalidBox, InvalidReference, InvalidRegion, InvalidTarget, NotGuided
from onnxcam.geometry import Geometry
from onnxcam.images import Source, read
from onnxcam.targets import BEST

BOX, REGION, REFERENCE = "box", "region", "reference"
NO_BOX = -1.0  # four times, in the graph
KINDS = {BOX: "detector", REGION: "segmentation", REFERENCE: "similarity"}  # which score takes it


@dataclass(frozen=True, slots=True, eq=False)
class Guides:
    """Boxes and regions of the photos' own pixels; one for all photos, or one for each.

    Attributes:
        boxes: (N, 1, 4), or (N, K, 4) where each target has one of its own: x0, y0, x1, y1; NaN for none.
        regions: (H, W), or one for each photo.
    """

    boxes: NDArray[np.float32] | None = None
    regions: Sequence[NDArray[np.float32]] | None = None

    def part(self, some: slice) -> Guides:
        """Those of some of the photos."""
        boxes = None if self.boxes is None else self.boxes[some]
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
            pairs = zip(self.boxes, geometries, strict=True)
            rows = np.stack([[_fitted(box, geometry) for box in boxes] for boxes, geometry in pairs])
            found[BOX] = rows[:, 0] if targets is None else np.broadcast_to(rows, (len(rows), targets, 4)).copy()
        if self.regions is not None:
            masks = self.regions if len(self.regions) == len(geometries) else list(self.regions) * len(geometries)
            found[REGION] = np.stack(
                [_masked(mask, geometry) for mask, geometry in zip(masks, geometries, strict=True)]
            )
        return found


NONE = Guides()


def guides(
    known: Mapping[str, Any], score: str, *, box: Any, region: Any, rows: Sequence[Sequence[int]], is_one: bool
) -> Guides:
    """The boxes and regions that were given, checked as far as they can be without the photos.

    Args:
        known: the graph's inputs by name.
        score: what the graph explains, for messages.
        box: x0, y0, x1, y1; or such or None for each target of the one photo; or one of these for each photo.
        region: a mask (H, W), or one for each photo; None: none.
        rows: the targets' numbers, a row for each of the N photos.
        is_one: whether it is a photo by itself, and no list of them.

    Raises:
        NotGuided: if the graph takes none.
        InvalidBox, InvalidRegion: if they are none.
        InvalidTarget: for the second best at a box: what lies there is one thing.
    """
    for name, given in ((BOX, box), (REGION, region)):
        if given is not None and name not in known:
            raise NotGuided(name, score, KINDS[name])
    return Guides(
        None if box is None else _boxes(box, rows, is_one=is_one),
        None if region is None else _regions(region, len(rows)),
    )


def is_picture(reference: Any) -> TypeGuard[Source]:
    """Whether it is a picture, by its path, bytes, pixels or PIL's, and not one vector or several."""
    if isinstance(reference, list | tuple):
        return False
    return not isinstance(reference, np.ndarray) or reference.ndim == 3 or reference.dtype == np.uint8


def has_pictures(references: Any) -> TypeGuard[Sequence[Any]]:
    """Whether it is a list of references of which some are pictures, no numbers and no vectors."""
    numbers = (int, float, np.number, list, tuple)
    return isinstance(references, list | tuple) and any(
        is_picture(entry) and not isinstance(entry, numbers) for entry in references
    )


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


def _boxes(box: Any, rows: Sequence[Sequence[int]], *, is_one: bool) -> NDArray[np.float32]:
    """(N, 1 or K, 4), NaN where there is none."""
    of_photos = [box] * len(rows) if is_one or _is_box(box) else list(box)
    if len(of_photos) != len(rows):
        raise InvalidBox(box, f"is {len(of_photos)} boxes for {len(rows)} pictures")
    found = np.stack([_boxes_of(own, row) for own, row in zip(of_photos, rows, strict=True)])
    for boxes, row in zip(found, rows, strict=True):
        for (x0, *_), number in zip(np.broadcast_to(boxes, (len(row), 4)), row, strict=True):
            if number < BEST and not np.isnan(x0):
                raise InvalidTarget(
                    f"rank {number} at a box means nothing: a box is for whatever lies there. Name a class, or leave "
                    f"the rank or the box away"
                )
    return found


def of_each_target(box: Any, count: int) -> list[Any]:
    """The boxes of so many targets of one photo: one for all of them, or for each.

    Raises:
        InvalidBox: if they are as many as neither.
    """
    boxes = [box] * count if box is None or _is_box(box) else list(box)
    boxes = boxes * count if len(boxes) == 1 else boxes
    if len(boxes) != count:
        raise InvalidBox(box, f"is {len(boxes)} boxes for {count} target{'s' * (count > 1)}")
    return boxes


def _boxes_of(box: Any, row: Sequence[int]) -> NDArray[np.float32]:
    """The boxes of the targets of one photo, (K, 4)."""
    boxes = of_each_target(box, len(row))
    return np.stack([np.full(4, np.nan, np.float32) if own is None else _checked(own) for own in boxes])


def _is_box(box: Any) -> bool:
    """Whether it is one box, sound or not, and no list of boxes."""
    if not isinstance(box, list | tuple):
        return np.ndim(box) < 2
    return not any(entry is None or isinstance(entry, list | tuple) or np.ndim(entry) for entry in box)


def _checked(box: Any) -> NDArray[np.float32]:
    try:
        edges = np.asarray(box, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidBox(box, "is not four numbers") from error
    if edges.shape != (4,):
        raise InvalidBox(box, f"has shape {edges.shape}, not (4,)")
    if not np.isfinite(edges).all() or edges[2] <= edges[0] or edges[3] <= edges[1]:
        raise InvalidBox(edges.tolist(), "is empty or turned around")
    return edges


def _regions(region: Any, count: int) -> list[NDArray[np.float32]]:
    is_list = isinstance(region, list | tuple) or (isinstance(region, np.ndarray) and region.ndim == 3)
    masks = list(region) if is_list else [region]
    if len(masks) not in (1, count):
        raise InvalidRegion(f"is {len(masks)} masks for {count} pictures")
    return [mask_of(mask) for mask in masks]


def mask_of(source: Any) -> NDArray[np.float32]:
    """A mask, (H, W): the brightness of a picture's file from 0 to 1, the array of a .npy file, or an array.

    Whole numbers above 1 are levels of grey, 255 being all; 0 and 1, floats, true and false stay what they are.

    Raises:
        ImageError: for a file that is no picture.
        InvalidRegion: if it holds no numbers that a mask can have.
    """
    array = source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        array = loaded(path) if path.suffix.lower() == ".npy" else read(path).mean(axis=2) / 255
    try:
        mask = np.asarray(array)
        floats = mask.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidRegion(f"cannot be read as numbers ({error})") from error
    is_grey = mask.dtype.kind in "iu" and mask.size > 0 and mask.max() > 1
    return np.asarray(floats / 255 if is_grey else floats, np.float32)


def loaded(path: Path) -> NDArray[Any]:
    """The array in a .npy file; nothing in it is executed."""
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise InvalidRegion(f"cannot be read from {str(path)!r} as a .npy file ({error})") from error


def _fitted(box: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    if np.isnan(box).any():
        return np.full(4, NO_BOX, np.float32)
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
    if not (mask.min() >= 0 and 0 < mask.max() <= 1):
        raise InvalidRegion("is empty, or has values below 0, above 1 (of whole numbers, 255) or none at all")
    return geometry.to_input(mask)
