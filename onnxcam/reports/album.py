"""What a page shows of each heatmap: a line of facts, and small pictures, made while the heatmaps are at hand."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from onnxcam.images import Image
from onnxcam.overlay import DEFAULT_COLORMAP, coloured, drawable
from onnxcam.regions import with_detection
from onnxcam.remarks import remarks

if TYPE_CHECKING:
    from onnxcam.explanation import Explanation

THUMB = 240  # pixels of a thumbnail's longer side: twice what the table shows, for dense screens
# Up to so many heatmaps, pictures to enlarge have so many pixels on their longer side: a page of a few dozen megabytes.
SIZES = ((60, 720), (250, 512), (1000, 352), (4000, 224))
SMALLEST = 128
PHOTO_QUALITY, HEAT_QUALITY, THUMB_QUALITY = 80, 80, 72  # of WebP, 0 to 100
LOSSLESS = 101  # what OpenCV takes for it


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the page: a heatmap, or a picture without one.

    Attributes:
        name: what the picture is called: its path.
        file: the overlay that was written; None where none was.
        label: the class, or its number where it has no name; empty where there is no heatmap.
        target_index: the class's number; None where there is no heatmap.
        status: that of the explanation, or "failed".
        reason: what is wrong; empty when all is well.
        ms: what the heatmap took.
        box, confidence: of a detection: x0, y0, x1, y1 in the photo's pixels, and how sure the model is; else None.
        remarks: what else the method has to say.
        photo: which of the album's photos it lies on; None where there is none.
        heat: the heatmap in colours, a data URI, and the photo with it at the size of the table.
        size: width and height of the thumbnail in pixels.
    """

    name: str
    file: Path | None = None
    label: str = ""
    target_index: int | None = None
    score: float | None = None
    status: str = "failed"
    reason: str = ""
    method: str = ""
    layer: str = ""
    ms: float | None = None
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None
    remarks: str = ""
    photo: int | None = None
    heat: str = ""
    thumb: str = ""
    size: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Album:
    """The lines of a page, in the order in which they came.

    Attributes:
        size: pixels of the longer side of the pictures to enlarge.
        drawing: the arguments of `Explanation.overlay`, for the thumbnails.
        photos: data URIs; a photo with several heatmaps is there once.
    """

    size: int = SIZES[0][1]
    drawing: Mapping[str, Any] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    photos: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, explanation: Explanation, *, file: Path | None = None, ms: float | None = None) -> None:
        """A line for a heatmap over the picture of that name."""
        small = reduced(explanation, self.size)
        overlay = reduced(small, THUMB).overlay(**{**self.drawing, "legend": False}).array
        heat = coloured(drawable(small.heatmap), self.drawing.get("colormap", DEFAULT_COLORMAP))
        if small.box is not None and self.drawing.get("detection", True):
            heat = with_detection(heat, small.box)
        self.lines.append(
            Line(
                name=name,
                file=file,
                reason=explanation.reason,
                ms=ms,
                remarks=", ".join(remarks(explanation.report)),
                photo=self._photo(name, small.image),
                heat=data_uri(heat, HEAT_QUALITY),
                thumb=data_uri(overlay, THUMB_QUALITY),
                size=(overlay.shape[1], overlay.shape[0]),
                **{**explanation.summary, "label": explanation.name},
            )
        )

    def fail(self, name: str, reason: str, *, label: str = "", method: str = "", layer: str = "") -> None:
        """A line for a heatmap that could not be had."""
        self.lines.append(Line(name=name, reason=reason, label=label, method=method, layer=layer))

    def _photo(self, name: str, image: Image) -> int:
        if name not in self._places:
            self._places[name] = len(self.photos)
            self.photos.append(data_uri(image, PHOTO_QUALITY))
        return self._places[name]


def size_for(count: int) -> int:
    """How large pictures may be on a page of so many, in pixels of their longer side."""
    return next((size for limit, size in SIZES if count <= limit), SMALLEST)


def reduced(explanation: Explanation, size: int) -> Explanation:
    """The explanation on a photo whose longer side has at most so many pixels."""
    height, width = explanation.image.shape[:2]
    ratio = size / max(height, width)
    if ratio >= 1:
        return explanation
    sides = max(1, round(width * ratio)), max(1, round(height * ratio))
    image = np.asarray(cv2.resize(explanation.image, sides, interpolation=cv2.INTER_AREA), np.uint8)
    heatmap = np.asarray(cv2.resize(explanation.heatmap, sides, interpolation=cv2.INTER_AREA), np.float32)
    box = None if explanation.box is None else scaled(explanation.box, sides[0] / width, sides[1] / height)
    return replace(explanation, image=image, heatmap=heatmap, box=box)


def scaled(box: tuple[float, float, float, float], across: float, down: float) -> tuple[float, float, float, float]:
    """The box of a picture that was scaled so much."""
    x0, y0, x1, y1 = box
    return x0 * across, y0 * down, x1 * across, y1 * down


def data_uri(image: Image, quality: int) -> str:
    """The picture as the address of itself."""
    options = [cv2.IMWRITE_WEBP_QUALITY, quality]
    _, data = cv2.imencode(".webp", np.ascontiguousarray(image[..., ::-1]), options)
    return f"data:image/webp;base64,{base64.b64encode(data.tobytes()).decode()}"
