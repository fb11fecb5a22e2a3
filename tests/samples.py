"""Real models and photos to test with, kept beside the repository: where they lie, and what is known of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("ONNXCAM_SAMPLES", Path(__file__).resolve().parents[2] / "shared" / "samples"))
IMAGES = FOLDER / "images"
needs_samples = pytest.mark.skipif(
    not (FOLDER / "index.json").is_file(), reason=f"no samples in {FOLDER}; ONNXCAM_SAMPLES names another folder"
)


@dataclass(frozen=True)
class Thing:
    """What is to be seen in a photo: its boxes (x0, y0, x1, y1) in pixels, and the classes that mean it, inclusive."""

    label: str
    boxes: tuple[tuple[int, int, int, int], ...]
    ranges: tuple[tuple[int, int], ...]

    def holds(self, x: float, y: float, *, tolerance_px: float) -> bool:
        """Whether the point lies in one of the boxes, give or take the tolerance."""
        t = tolerance_px
        return any(x0 - t <= x < x1 + t and y0 - t <= y < y1 + t for x0, y0, x1, y1 in self.boxes)

    def is_meant_by(self, index: int) -> bool:
        """Whether the ImageNet class is a name for it."""
        return any(first <= index <= last for first, last in self.ranges)


def model_path(name: str) -> Path:
    """The ONNX file of that name, without its suffix."""
    return FOLDER / "onnx" / f"{name}.onnx"


@cache
def index() -> dict[str, Any]:
    """What is known of each model, by its path in the folder."""
    return dict(json.loads((FOLDER / "index.json").read_text()))


def facts(name: str) -> dict[str, Any]:
    """What is known of one ONNX model: task, preprocessing, best class by photo."""
    return dict(index()[f"onnx/{name}.onnx"])


def preprocessing(name: str) -> dict[str, Any]:
    """The model's preprocessing as onnxcam writes it."""
    pre = facts(name)["pre"]
    kind, length = pre["resize"].rsplit(" ", 1)
    kept = {key: pre[key] for key in ("channels", "scale", "mean", "std", "layout", "dtype") if key in pre}
    if kind == "squash":
        return kept | {"resize": "stretch", "size": [int(length)] * 2}
    crop = {"resize": "shorter", "short_side": int(length), "size": [pre["crop"]] * 2, "rounding": "nearest"}
    return kept | crop


def labels(name: str = "imagenet") -> Path:
    """The file of class names."""
    return FOLDER / "labels" / f"{name}_classes.txt"


def things() -> dict[str, list[Thing]]:
    """What is to be seen in each photo, as far as ImageNet has a name for it."""
    photos = json.loads((IMAGES / "boxes.json").read_text())
    return {photo: grouped(entry["objects"]) for photo, entry in photos.items()}


def grouped(objects: list[dict[str, Any]]) -> list[Thing]:
    """One thing for each label that has classes, with all of its boxes."""
    named = {entry["label"]: entry["imagenet_ranges"] for entry in objects if "imagenet_ranges" in entry}
    return [
        Thing(
            label,
            tuple(tuple(entry["box"]) for entry in objects if entry["label"] == label),
            tuple(tuple(limits) for limits in ranges),
        )
        for label, ranges in named.items()
    ]
