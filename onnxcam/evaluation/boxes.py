"""Boxes from a file: what is to be seen in pictures, and where.

Two kinds of JSON are read. Ours, by the picture's file name, boxes in pixels (left, top, right, bottom):

    {"both.png": {"objects": [{"label": "dog", "box": [77, 14, 165, 148], "imagenet_ranges": [[151, 268]]}]}}

"classes", a list of class indices or of [first, last] pairs, says which classes mean the thing; "imagenet_ranges" says
it for models with ImageNet's 1000 classes; without either the class with that label does. And COCO's: "images",
"annotations" with "bbox" [left, top, width, height], and "categories", whose names are the labels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onnxcam.errors import InvalidBoxes
from onnxcam.evaluation.things import Ranges, Thing, box_of, four

WORDS = {
    dict: "an object {…}",
    list: "a list […]",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def read_boxes(path: str | Path) -> dict[str, list[Thing]]:
    """The things in each picture, by its file name.

    Raises:
        InvalidBoxes: if the file is missing, or of neither kind; with the entry that is not as it should be.
    """
    file = str(path)
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InvalidBoxes(file, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise InvalidBoxes(file, "it is no text") from error
    except ValueError as error:
        raise InvalidBoxes(file, f"it is no JSON ({error})") from error
    whole = shaped(found, file, dict)
    return from_coco(whole, file) if "annotations" in whole else from_own(whole, file)


def shaped(given: Any, where: str, *kinds: type, name: str = "it") -> Any:
    """What stands in a file, if it is of one of the kinds that JSON has.

    Raises:
        InvalidBoxes: if it is not.
    """
    if not isinstance(given, kinds):
        wanted = " or ".join(WORDS[kind] for kind in kinds)
        raise InvalidBoxes(where, f"{name} is {WORDS[type(given)]}, not {wanted}")
    return given


def member(entry: Any, name: str, where: str, *kinds: type) -> Any:
    """What an object of the file has by that name.

    Raises:
        InvalidBoxes: if it has no such, or it is of another kind.
    """
    if name not in shaped(entry, where, dict):
        raise InvalidBoxes(where, f"it has no {name!r}")
    return shaped(entry[name], where, *kinds, name=repr(name))


def from_own(found: dict[str, Any], file: str) -> dict[str, list[Thing]]:
    """The things by picture, from our own kind."""
    objects = {name: member(entry, "objects", f"{file}, entry {name!r}", list) for name, entry in found.items()}
    return {
        name: joined(thing_of(one, f"{file}, object {number} of {name!r}") for number, one in enumerate(entries, 1))
        for name, entries in objects.items()
    }


def thing_of(entry: Any, where: str) -> Thing:
    """One object of the file."""
    box = box_of(member(entry, "box", where, list), where)
    classes, imagenet = (ranges_of(entry, name, where) for name in ("classes", "imagenet_ranges"))
    return Thing(str(entry.get("label", "")), (box,), classes=classes, imagenet=imagenet, where=where)


def ranges_of(entry: dict[str, Any], name: str, where: str) -> Ranges | None:
    """(first, last) of each of the classes by that name, an index standing for itself; None where nothing is said.

    Raises:
        InvalidBoxes: if one has no class in it, or one below 0.
    """
    if entry.get(name) is None:
        return None
    pairs = [[each, each] if isinstance(each, int) else each for each in member(entry, name, where, list)]
    for pair in pairs:
        is_pair = isinstance(pair, list) and len(pair) == 2 and all(isinstance(index, int) for index in pair)
        if not (is_pair and 0 <= pair[0] <= pair[1]):
            raise InvalidBoxes(where, f"{pair} are no classes", remedy="Write a range as [first, last].")
    return tuple((first, last) for first, last in pairs)


def from_coco(found: dict[str, Any], file: str) -> dict[str, list[Thing]]:
    """The things by picture, from COCO's kind; those that stand for a crowd are left out."""
    names = by_id(member(found, "images", file, list), "file_name", f"{file}, image")
    labels = by_id(found.get("categories") or [], "name", f"{file}, category")
    things: dict[str, list[Thing]] = {name: [] for name in names.values()}
    for number, entry in enumerate(member(found, "annotations", file, list), 1):
        where = f"{file}, annotation {shaped(entry, f'{file}, annotation {number}', dict).get('id', number)}"
        if entry.get("iscrowd"):
            continue
        picture = names.get(member(entry, "image_id", where, int, str))
        if picture is None:
            raise InvalidBoxes(where, f"there is no image with the id {entry['image_id']!r}")
        label = labels.get(member(entry, "category_id", where, int, str), "") if "category_id" in entry else ""
        things[picture].append(coco_thing(entry, label, f"{where} of {picture!r}"))
    return {name: joined(each) for name, each in things.items()}


def by_id(entries: Any, name: str, where: str) -> dict[int | str, str]:
    """What the objects of a list have by that name, by their ids."""
    numbered = [(entry, f"{where} {number}") for number, entry in enumerate(shaped(entries, where, list), 1)]
    return {member(entry, "id", at, int, str): member(entry, name, at, str) for entry, at in numbered}


def coco_thing(entry: dict[str, Any], label: str, where: str) -> Thing:
    """One annotation of the file: corner and size."""
    left, top, width, height = four(member(entry, "bbox", where, list), where)
    return Thing(label, (box_of((left, top, left + width, top + height), where),), where=where)


def joined(things: Iterable[Thing]) -> list[Thing]:
    """One thing for all of the same label and classes, with all of their boxes."""
    found: dict[Any, Thing] = {}
    for thing in things:
        key = (thing.label, thing.classes, thing.imagenet)
        before = found.get(key, Thing(where=""))
        boxes, where = before.boxes + thing.boxes, before.where or thing.where
        found[key] = Thing(thing.label, boxes, thing.classes, thing.imagenet, where=where)
    return list(found.values())
