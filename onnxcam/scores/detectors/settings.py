"""What a user may say of a detector, in the text behind `score="detector:"`: its kind, thresholds, anchors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from onnxcam.errors import InvalidDetectorSetting

IOU, THRESHOLD = 0.5, 0.25
OVERLAP = 0.1
BACKGROUNDS, FORMATS, UNITS = ("none", "first", "last"), ("corners", "centre", "rows-first"), ("pixels", "share")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is known of a detector beside its graph; None where the graph is to show it.

    Attributes:
        family: the kind of head.
        iou: boxes of one class that overlap more are one detection.
        threshold: the least confidence of a detection, where no class is named.
        overlap: the least IoU of a candidate with the box that is asked for.
        classes: how many there are.
        anchors: "10x13 16x30 …": width x height in pixels, the finest scale first; or a .npy file of (B, 4).
        background: which class of a softmax means "nothing": "none", "first" or "last".
        boxes: "corners" x0 y0 x1 y1, "centre" x y width height, or "rows-first" y0 x0 y1 x1.
        unit: what box coordinates count: "pixels" of the input, or a "share" of its sides.
    """

    family: str | None = None
    iou: float = IOU
    threshold: float = THRESHOLD
    overlap: float = OVERLAP
    classes: int | None = None
    anchors: str | None = None
    background: str | None = None
    boxes: str | None = None
    unit: str | None = None


def parse(text: str) -> Settings:
    """The settings in "FAMILY,key=value,…"; the kind may be missing.

    Raises:
        InvalidDetectorSetting: for a key or value that does not exist.
    """
    given: dict[str, Any] = {}
    for place, entry in enumerate(part.strip() for part in text.split(",") if part.strip()):
        key, equals, value = (part.strip() for part in entry.partition("="))
        if not equals and place:
            raise InvalidDetectorSetting(key, "", "only the first entry, the kind, stands without a key")
        known = {field.name for field in fields(Settings)} - {"family"}
        if equals and key not in known:
            raise InvalidDetectorSetting(key, value, f"there is no such key, only {', '.join(sorted(known))}")
        given |= {key: READERS.get(key, _text)(key, value)} if equals else {"family": key.lower()}
    return Settings(**given)


def _text(_: str, value: str) -> str:
    return value


def _share(key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise InvalidDetectorSetting(key, value, "it must be a number from 0 to 1")
    return number


def _count(key: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise InvalidDetectorSetting(key, value, "it must be a whole number above 0")
    return int(value)


def _one_of(*known: str) -> Callable[[str, str], str]:
    def read(key: str, value: str) -> str:
        if value not in known:
            raise InvalidDetectorSetting(key, value, f"it must be one of {', '.join(known)}")
        return value

    return read


READERS: Mapping[str, Callable[[str, str], Any]] = {
    "iou": _share,
    "threshold": _share,
    "overlap": _share,
    "classes": _count,
    "background": _one_of(*BACKGROUNDS),
    "boxes": _one_of(*FORMATS),
    "unit": _one_of(*UNITS),
}
