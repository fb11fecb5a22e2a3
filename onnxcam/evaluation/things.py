"""A thing that is to be seen in a picture: where it is, and which classes mean it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

import numpy as np

from onnxcam.errors import InvalidBoxes
from onnxcam.evaluation.case import Flags

Box: TypeAlias = tuple[float, float, float, float]
Ranges: TypeAlias = tuple[tuple[int, int], ...]
CORNERS = "[left, top, right, bottom], in pixels of the photo (in COCO's file [left, top, width, height])"
IMAGENET = {1000: 0, 1001: 1}  # numbers of classes, and how many come before ImageNet's own


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """Something in a picture.

    Attributes:
        label: what it is called; empty where nobody said.
        boxes: where it is, or they are: (left, top, right, bottom) in pixels.
        classes: (first, last) of the classes that mean it; None: those with its label.
        imagenet: likewise, for a model with ImageNet's 1000 classes.
        mask: bool (H, W), instead of boxes.
        where: the file and the entry that say so, for messages; the first of those that were joined.
    """

    label: str = ""
    boxes: tuple[Box, ...] = ()
    classes: Ranges | None = None
    imagenet: Ranges | None = None
    mask: Flags | None = None
    where: str = "the boxes given"

    def is_meant_by(self, index: int, label: str | None, count: int | None) -> bool:
        """Whether the class of that index and label, one of `count`, is a name for it.

        All classes mean a thing that has no name; one that has is never meant by a class without.
        """
        ranges = self.ranges(count)
        if ranges is not None:
            return any(first <= index <= last for first, last in ranges)
        names = [label, *label.split(",")] if label else []
        return not self.label or self.label.casefold() in (name.strip().casefold() for name in names)

    def ranges(self, count: int | None) -> Ranges | None:
        """(first, last) of the classes, of `count`, that were said to mean it; None where its label alone tells."""
        before = None if count is None else IMAGENET.get(count)
        if self.classes is not None or self.imagenet is None or before is None:
            return self.classes
        return tuple((first + before, last + before) for first, last in self.imagenet)

    def region(self, size: tuple[int, int]) -> Flags:
        """Bool (H, W): the pixels that are on it."""
        if self.mask is not None:
            return self.mask
        found = np.zeros(size, bool)
        for left, top, right, bottom in self.boxes:
            found[max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))] = True
        return found


def box_of(entry: Iterable[Any], where: str) -> Box:
    """Left, top, right and bottom.

    Raises:
        InvalidBoxes: if they are not four finite numbers, or there is nothing between them.
    """
    left, top, right, bottom = four(entry, where)
    if not (left < right and top < bottom):
        given = [left, top, right, bottom]
        raise InvalidBoxes(where, f"the box {given} is empty or turned around", remedy=f"Write it as {CORNERS}.")
    return left, top, right, bottom


def four(entry: Iterable[Any], where: str) -> Box:
    """Four finite numbers.

    Raises:
        InvalidBoxes: if they are not.
    """
    given = list(entry)
    try:
        first, second, third, fourth = map(float, given)
    except (TypeError, ValueError) as error:
        raise InvalidBoxes(where, f"the box {given} is not four numbers", remedy=f"Write it as {CORNERS}.") from error
    if not all(map(isfinite, (first, second, third, fourth))):
        raise InvalidBoxes(where, f"the box {given} is not finite", remedy=f"Write it as {CORNERS}.")
    return first, second, third, fourth
