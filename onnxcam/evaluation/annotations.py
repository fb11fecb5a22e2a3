"""What is to be seen in pictures: boxes, masks and things as they are given, brought to the pictures and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from onnxcam.errors import InvalidBoxes, NamelessClasses
from onnxcam.evaluation.boxes import read_boxes
from onnxcam.evaluation.things import CORNERS, Thing, box_of
from onnxcam.targets import Classes


def things_of(boxes: Any, images: Sequence[Any]) -> list[list[Thing]]:
    """The things in each of the images.

    Args:
        boxes: None; a file; a mapping from file names to things or boxes; or one entry for each image: things, boxes
            (K, 4) that any target means, or a mask, bool (H, W).
        images: paths, or anything else where `boxes` does not go by name.
    """
    if boxes is None:
        return [[] for _ in images]
    file = str(boxes) if isinstance(boxes, str | Path) else "the boxes given"
    if isinstance(boxes, str | Path):
        boxes = read_boxes(boxes)
    if isinstance(boxes, Mapping):
        entries = [found_for(boxes, image) for image in images]
        if images and not any(entry is not None for entry in entries):
            remedy = "Name them by their paths, or the ends of these."
            raise InvalidBoxes(file, strangers(list(boxes), images), remedy=remedy)
        return [[] if entry is None else things_in(entry) for entry in entries]
    if len(boxes) != len(images):
        raise InvalidBoxes("the boxes given", f"there are {len(boxes)} for {len(images)} images")
    return [things_in(entry) for entry in boxes]


def found_for(boxes: Mapping[str, Any], image: Any) -> Any:
    """The entry of a picture, by its path or the end of it; None where there is none."""
    path = Path(image).as_posix() if isinstance(image, str | Path) else ""
    hits = [entry for name, entry in boxes.items() if path == name or path.endswith(f"/{name}")]
    return hits[0] if hits else None


def strangers(names: Sequence[str], images: Sequence[Any]) -> str:
    """That a file names none of the pictures."""
    first = f"it has {names[0]!r}" if names else "it has no entry"
    if len(names) > 1:
        first = f"{first} and {len(names) - 1} more"
    return f"no entry is for any of the {len(images)} pictures: {first}, and the first picture is {str(images[0])!r}"


def things_in(entry: Sequence[Thing] | ArrayLike) -> list[Thing]:
    """Things as they are; boxes (K, 4) or a mask as one nameless thing."""
    if isinstance(entry, list | tuple) and all(isinstance(thing, Thing) for thing in entry):
        return [thing for thing in entry if isinstance(thing, Thing)]
    array = np.asarray(entry)
    if array.ndim == 2 and array.dtype == bool:
        return [Thing(mask=array)]
    if array.ndim != 2 or array.shape[1] != 4:
        raise InvalidBoxes("the boxes given", f"they have shape {array.shape}, not (K, 4)")
    return [Thing(boxes=tuple(box_of(row, "the boxes given") for row in array))]


def check_places(things: Iterable[Thing], size: tuple[int, int], image: str) -> None:
    """Refuses a thing that lies wholly outside of its picture, of size (H, W), and a mask of another size.

    Raises:
        InvalidBoxes: if there is one.
    """
    height, width = size
    for thing in things:
        if thing.mask is not None and thing.mask.shape != size:
            reason = f"the mask has shape {thing.mask.shape}, and the picture {image} is ({height}, {width})"
            raise InvalidBoxes(thing.where, reason, remedy="Give it in the photo's own pixels.")
        for left, top, right, bottom in thing.boxes:
            if left >= width or top >= height or right <= 0 or bottom <= 0:
                box = [left, top, right, bottom]
                reason = f"the box {box} lies outside of the picture {image}, which is {width} x {height}"
                raise InvalidBoxes(thing.where, reason, remedy=f"Write it as {CORNERS}.")


def own_count(classes: Classes) -> int | None:
    """How many classes the model itself has, groups of them left out; None where that is not known."""
    return None if classes.count is None else classes.count - len(classes.groups)


def check_classes(things: Iterable[Thing], classes: Classes) -> None:
    """Refuses a thing that is meant by classes which the model does not have.

    Raises:
        InvalidBoxes: if there is one.
    """
    count = own_count(classes)
    for thing in things:
        last = max((last for _, last in thing.classes or ()), default=-1)
        if count is not None and last >= count:
            reason = f"the model has {count} classes, and class {last} is none of them"
            raise InvalidBoxes(thing.where, reason, remedy=f"Its classes are 0 to {count - 1}.")


def check_names(things: Iterable[Thing], classes: Classes) -> None:
    """Refuses things that all go by their labels, where no class has a name that could be one of these.

    Raises:
        NamelessClasses: if the model's classes have no names, and so none of them can mean any of the things.
    """
    given, count = list(things), own_count(classes)
    named = [thing for thing in given if thing.label and thing.ranges(count) is None]
    if classes.labels is not None or len(named) < len(given) or not given:
        return
    if not any(thing.is_meant_by(index, name, count) for thing in named for index, name in classes.names.items()):
        raise NamelessClasses(dict.fromkeys(thing.label for thing in named))
