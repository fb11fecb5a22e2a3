"""A picture to measure on, with what is to be seen in it and what an explainer is told beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from onnxcam.errors import InvalidReference, InvalidRegion
from onnxcam.evaluation.annotations import check_places
from onnxcam.evaluation.things import Thing
from onnxcam.explaining import rows_of
from onnxcam.guides import has_pictures, is_picture, mask_of


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture to measure on.

    Attributes:
        image: what `images.read` takes.
        name: what it is called.
        things: what is to be seen in it.
        asking: what an `Explainer` is told of it beside the target: `region`, `reference`, `inputs`.
    """

    image: Any
    name: str
    things: Sequence[Thing] = ()
    asking: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_marked(self) -> bool:
        """Whether something is said of its places."""
        return bool(self.things) or "region" in self.asking

    def check(self, size: tuple[int, int]) -> None:
        """Refuses what does not fit the picture, of size (H, W).

        Raises:
            InvalidBoxes: if a thing lies outside of it.
            InvalidRegion: if the region is of another size.
        """
        check_places(self.things, size, self.name)
        region = self.asking.get("region")
        if region is not None and region.shape != size:
            raise InvalidRegion(f"has shape {region.shape}, but the picture {self.name} is {size}")


def name_of(image: Any, index: int) -> str:
    """What to call a picture: its path, or its place where it has none."""
    return str(image) if isinstance(image, str | Path) else f"image {index}"


def asking_of(
    count: int, *, region: Any = None, reference: Any = None, inputs: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """What an explainer is told beside each of so many pictures; what was not said is left out.

    Args:
        count: of the pictures.
        region: a mask (H, W) or its file, which holds for all of them; or one for each.
        reference: likewise a picture, or a vector (D,).
        inputs: the model's other inputs by name: arrays with a row for each picture, or one that holds for all.

    Raises:
        InvalidRegion, InvalidReference: if there are as many as neither.
        ImageError: for a mask's file that is no picture.
    """
    arrays = {name: np.asarray(given) for name, given in (inputs or {}).items()}
    said = [{"inputs": rows_of(arrays, slice(at, at + 1), count)} if arrays else {} for at in range(count)]
    for name, each in (("region", regions_of(region, count)), ("reference", references_of(reference, count))):
        for entry, value in zip(said, each, strict=False):
            entry[name] = value
    return said


def regions_of(region: Any, count: int) -> list[Any]:
    """The mask of each of so many pictures; empty where there is none."""
    if region is None:
        return []
    several = isinstance(region, list | tuple) or (isinstance(region, np.ndarray) and region.ndim == 3)
    masks = [mask_of(mask) for mask in (region if several else [region])]
    if len(masks) not in (1, count):
        raise InvalidRegion(f"is {len(masks)} masks for {count} pictures")
    return masks if len(masks) == count else masks * count


def references_of(reference: Any, count: int) -> list[Any]:
    """What each of so many pictures is compared with; empty where there is nothing."""
    if reference is None:
        return []
    if isinstance(reference, list | tuple):
        several = has_pictures(reference) or any(np.ndim(entry) for entry in reference)
    else:
        several = not is_picture(reference) and np.ndim(reference) > 1
    each = list(reference) if several else [reference]
    if len(each) not in (1, count):
        raise InvalidReference(f"is {len(each)} references for {count} pictures")
    return each if len(each) == count else each * count
