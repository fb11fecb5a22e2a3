"""What is to be seen in pictures, and where: boxes from a file, and which of them a target means.

Two kinds of JSON are read. Ours, by the picture's file name, boxes in pixels (left, top, right, bottom):

    {"both.png": {"objects": [{"label": "dog", "box": [77, 14, 165, 148], "imagenet_ranges": [[151, 268]]}]}}

"classes", a list of class indices or of [first, last] pairs, says which classes mean the thing; "imagenet_ranges" says
it for models with ImageNet's 1000 classes; without either the class with that label does. And COCO's: "images",
"annotations" with "bbox" [left, top, width, height], and "categories", whose names are the labels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from onnxcam.errors import InvalidBoxes
from onnxcam.evaluation.case import Flags

Box: TypeAlias = tuple[float, float, float, float]
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
    classes: tuple[tuple[int, int], ...] | None = None
    imagenet: tuple[tuple[int, int], ...] | None = None
    mask: Flags | None = None
    where: str = "the boxes given"

    def is_meant_by(self, index: int, label: str | None, count: int | None) -> bool:
        """Whether the class of that index and label, one of `count`, is a name for it; all are for a nameless thing."""
        ranges = self.classes
        if ranges is None and count in IMAGENET:
            ranges, index = self.imagenet, index - IMAGENET[count]
        if ranges is not None:
            return any(first <= index <= last for first, last in ranges)
        names = [label, *label.split(",")] if label else [self.label]
        return not self.label or self.label.casefold() in (name.strip().casefold() for name in names)

    def region(self, size: tuple[int, int]) -> Flags:
        """Bool (H, W): the pixels that are on it."""
        if self.mask is not None:
            return self.mask
        found = np.zeros(size, bool)
        for left, top, right, bottom in self.boxes:
            found[max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))] = True
        return found


def read_boxes(path: str | Path) -> dict[str, list[Thing]]:
    """The things in each picture, by its file name.

    Raises:
        InvalidBoxes: if the file is missing, or of neither kind.
    """
    try:
        found = json.loads(Path(path).read_text("utf-8"))
        return from_coco(found, str(path)) if "annotations" in found else from_own(found, str(path))
    except OSError as error:
        raise InvalidBoxes(str(path), error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise InvalidBoxes(str(path), "it is no text") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidBoxes(str(path), f"{type(error).__name__}: {error}") from error


def from_own(found: Mapping[str, Any], file: str) -> dict[str, list[Thing]]:
    """The things by picture, from our own kind."""
    return {
        name: joined(
            thing_of(one, f"{file}, object {number} of {name!r}") for number, one in enumerate(entry["objects"], 1)
        )
        for name, entry in found.items()
    }


def thing_of(entry: Mapping[str, Any], where: str) -> Thing:
    """One object of the file."""
    return Thing(
        str(entry.get("label", "")),
        (box_of(entry["box"], where),),
        classes=ranges_of(entry.get("classes"), where),
        imagenet=ranges_of(entry.get("imagenet_ranges"), where),
        where=where,
    )


def box_of(entry: Sequence[float], where: str) -> Box:
    """Four numbers.

    Raises:
        InvalidBoxes: if there is nothing between them.
    """
    left, top, right, bottom = map(float, entry)
    if not (left < right and top < bottom):
        given = [left, top, right, bottom]
        raise InvalidBoxes(where, f"the box {given} is empty or turned around", remedy=f"Write it as {CORNERS}.")
    return left, top, right, bottom


def ranges_of(entries: Sequence[Any] | None, where: str) -> tuple[tuple[int, int], ...] | None:
    """(first, last) of each entry: an index stands for itself.

    Raises:
        InvalidBoxes: if one has no class in it, or one below 0.
    """
    if entries is None:
        return None
    pairs = [(entry, entry) if isinstance(entry, int) else entry for entry in entries]
    for first, last in pairs:
        if not 0 <= int(first) <= int(last):
            raise InvalidBoxes(where, f"{[first, last]} are no classes", remedy="Write a range as [first, last].")
    return tuple((int(first), int(last)) for first, last in pairs)


def from_coco(found: Mapping[str, Any], file: str) -> dict[str, list[Thing]]:
    """The things by picture, from COCO's kind; those that stand for a crowd are left out."""
    names = {entry["id"]: str(entry["file_name"]) for entry in found["images"]}
    labels = {entry["id"]: str(entry["name"]) for entry in found.get("categories", ())}
    things: dict[str, list[Thing]] = {name: [] for name in names.values()}
    for entry in found["annotations"]:
        if not entry.get("iscrowd"):
            left, top, width, height = map(float, entry["bbox"])
            where = f"{file}, annotation {entry.get('id', '')} of {names[entry['image_id']]!r}"
            box = box_of((left, top, left + width, top + height), where)
            label = labels.get(entry.get("category_id"), "")
            things[names[entry["image_id"]]].append(Thing(label, (box,), where=where))
    return {name: joined(each) for name, each in things.items()}


def joined(things: Iterable[Thing]) -> list[Thing]:
    """One thing for all of the same label and classes, with all of their boxes."""
    found: dict[Any, Thing] = {}
    for thing in things:
        key = (thing.label, thing.classes, thing.imagenet)
        before = found.get(key, Thing(where=""))
        boxes, where = before.boxes + thing.boxes, before.where or thing.where
        found[key] = Thing(thing.label, boxes, thing.classes, thing.imagenet, where=where)
    return list(found.values())


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


def check_classes(things: Iterable[Thing], count: int | None) -> None:
    """Refuses a thing that is meant by classes which a model of so many does not have.

    Raises:
        InvalidBoxes: if there is one.
    """
    for thing in things:
        last = max((last for _, last in thing.classes or ()), default=-1)
        if count is not None and last >= count:
            reason = f"the model has {count} classes, and class {last} is none of them"
            raise InvalidBoxes(thing.where, reason, remedy=f"Its classes are 0 to {count - 1}.")
