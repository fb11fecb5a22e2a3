"""Class names from a file, from the model itself, or from a list that everybody knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from onnxcam.errors import InvalidLabels

FOLDER = Path(__file__).parent / "classes"
IMAGENET, COCO = "imagenet-1k", "coco-80"
# Lists that come along, by the names that --labels takes.
LISTS = {"imagenet": IMAGENET, IMAGENET: IMAGENET, "coco": COCO, COCO: COCO}
# TensorFlow's nets have a class before the first, for everything else.
BACKGROUND = 1001
BY_COUNT = {1000: IMAGENET, BACKGROUND: IMAGENET}


def list_for(classes: int | None) -> str | None:
    """The name of the list that a model with so many classes is taken to have been trained on; None for none."""
    return BY_COUNT.get(classes or 0)


def known_list(name: str, classes: int | None) -> tuple[str, ...]:
    """The names of a list that comes along; with "background" before them for a model that has one class more."""
    names = _from_file(FOLDER / f"{LISTS[name]}.txt")
    return ("background", *names) if classes == BACKGROUND else names


def read_labels(source: str | Path | Sequence[str], classes: int | None) -> tuple[str, ...]:
    """The names in the order of their classes.

    Args:
        source: the names; "imagenet" or "coco"; or a file: one name a line, a JSON list, or a JSON object of names or
            [id, name] by index.
        classes: how many the model has, where known.

    Raises:
        InvalidLabels: if the file cannot be read as that, or their number is wrong.
    """
    where = str(source) if isinstance(source, str | Path) else "labels"
    if str(source) in LISTS:
        names = known_list(str(source), classes)
    else:
        names = _from_file(Path(source)) if isinstance(source, str | Path) else tuple(source)
    if classes is not None and len(names) != classes:
        raise InvalidLabels(where, f"it names {len(names)} classes, but the model has {classes}")
    return names


def _from_file(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows begin with a byte order mark
    except OSError as error:
        raise InvalidLabels(str(path), error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise InvalidLabels(str(path), "it is not UTF-8 text") from error
    if text.lstrip()[:1] not in ("[", "{"):
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        return _from_json(json.loads(text))
    except (ValueError, TypeError) as error:
        raise InvalidLabels(str(path), f"{error}") from error


def _from_json(data: object) -> tuple[str, ...]:
    """["cat", …], {"0": "cat", …} or ImageNet's {"0": ["n01440764", "tench"], …}."""
    if isinstance(data, dict):
        by_index = {int(index): name for index, name in data.items()}
        if sorted(by_index) != list(range(len(data))):
            raise ValueError(f"its indices are not 0, 1, 2 … up to {len(data) - 1}")
        data = [by_index[index] for index in range(len(data))]
    if not isinstance(data, list):
        raise TypeError("neither a list of names nor an object of names by index")
    names = [entry[-1] if isinstance(entry, list) and entry else entry for entry in data]
    if odd := [name for name in names if not isinstance(name, str | int)]:
        raise TypeError(f"{odd[0]!r} is no name")
    return tuple(str(name) for name in names)
