"""How the pixels of a photo usually become a detector's input, by the kind of its head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxcam.graph import Value
from onnxcam.scores.detectors.detections import Detections
from onnxcam.scores.detectors.grids import sides

PIXELS_BGR = {"preset": "yolox"}
UNIT = {"resize": "letterbox"}
WHOLE = {"resize": "stretch"}
HABITS: Mapping[str, Mapping[str, Any]] = {
    "yolox": PIXELS_BGR,
    "yunet": PIXELS_BGR,
    "scrfd": {"resize": "letterbox", "scale": 1.0, "mean": (127.5, 127.5, 127.5), "std": (128.0, 128.0, 128.0)},
    "nanodet": {
        "resize": "stretch",
        "channels": "BGR",
        "scale": 1.0,
        "mean": (103.53, 116.28, 123.675),
        "std": (57.375, 57.12, 58.395),
    },
    "picodet": {"preset": "torch", "resize": "stretch"},
    **dict.fromkeys(("detr", "rtdetr", "deim", "dfine"), WHOLE),
    **dict.fromkeys((f"yolov{version}" for version in range(3, 13)), UNIT),
    **dict.fromkeys(("yolo11", "yolo12", "yolo26", "list"), UNIT),
}


def usual_preprocessing(found: Detections, picture: Value) -> dict[str, Any] | None:
    """What such a model was trained on, as `preprocessing.parse` takes it; None where no habit or size is known."""
    is_fixed = all(isinstance(side, int) for side in sides(picture))
    habit = HABITS.get(found.family)
    is_bytes = picture.dtype is not None and picture.dtype.kind == "u"
    return None if habit is None or not is_fixed or is_bytes else dict(habit)
