"""The sample detectors on the sample photos: what each finds that is really there, and where its heatmaps peak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import samples
from numpy.typing import NDArray

import onnxcam
from onnxcam.images import read
from onnxcam.preprocessing import prepare

MOST = 12  # detections of a photo that are looked at
PREPROCESS: dict[str, dict[str, Any]] = {
    "yolox_nano": {"resize": "letterbox", "size": [416, 416], "channels": "BGR", "scale": 1.0},
    "deimv2_atto_coco": {"resize": "stretch", "size": [320, 320]},
    "yunet_2023mar": {"resize": "letterbox", "size": [640, 640], "channels": "BGR", "scale": 1.0},
}
AIR = dict.fromkeys([f"air{n}.jpg" for n in range(1, 6)], ("aeroplane",))
BIRDS = dict.fromkeys([f"bird{n}.jpg" for n in range(1, 4)], ("bird",))
# What COCO has a class for and is to be seen, by eye. An animal's face is one to the face detector.
SEEN: dict[str, tuple[str, ...]] = AIR | BIRDS | {
    "astronaut.png": ("person", "face"),
    "both.png": ("dog", "cat", "face"),
    "broccoli.jpg": ("broccoli",),
    "canoe3.jpg": ("boat",),
    "chelsea.png": ("cat", "face"),
    "coffee.png": ("cup", "diningtable"),
    "dog_cat.jfif": ("dog", "cat", "face"),
    "dogs.png": ("dog", "face"),
    "horses.jpg": ("horse",),
    "pizza.jpg": ("pizza",),
    "pizza2.jpg": ("pizza", "cup", "diningtable"),
    "pizza3.jpg": ("pizza",),
    "teddy1.jpg": ("teddy bear", "face"),
    "teddy3.jpg": ("teddy bear", "sofa", "face"),
    "winml_kitten_224.png": ("cat", "face"),
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """One detection of something that is there.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the model's input.
        heatmap: (H, W) of the model's input.
    """

    photo: str
    label: str
    score: float
    box: NDArray[np.float32]
    heatmap: NDArray[np.float32]

    @property
    def is_hit(self) -> bool:
        """Whether the heatmap's maximum lies in the box."""
        y, x = np.unravel_index(self.heatmap.argmax(), self.heatmap.shape)
        x0, y0, x1, y1 = self.box
        return bool(self.heatmap.any() and x0 <= x <= x1 and y0 <= y <= y1)

    @property
    def mass(self) -> float:
        """The share of the heatmap that lies in the box."""
        x0, y0, x1, y1 = (max(0, round(float(n))) for n in self.box)
        return float(self.heatmap[y0 : y1 + 1, x0 : x1 + 1].sum() / max(self.heatmap.sum(), 1e-9))


@cache
def explainer(name: str, *, method: str | None = None, layers: tuple[str, ...] | None = None) -> onnxcam.Explainer:
    """The sample detector, by default with the method and the layers that it gets by itself."""
    labels = ["face"] if name == "yunet_2023mar" else samples.FOLDER / "labels" / "coco_classes.txt"
    graph = onnxcam.convert(
        str(samples.model_path(name)), preprocess=PREPROCESS[name], labels=labels, method=method, layer=layers
    )
    return onnxcam.Explainer(graph.to_bytes(), threads=1)


@cache
def seen_by(name: str) -> tuple[Seen, ...]:
    """The same with all defaults, once."""
    return tuple(detections(explainer(name)))


def detections(ready: onnxcam.Explainer) -> Iterator[Seen]:
    """The model's detections of what is there, in all photos."""
    for photo, labels in SEEN.items():
        x, _ = prepare(read(samples.IMAGES / photo), ready.preprocessing)
        for rank in range(1, MOST + 1):
            found = ready.run(x[None], -rank)
            index = int(found["target_index"][0])
            if index < 0:
                break
            label = ready.classes.label(index)
            if label in labels:
                score, box = float(found["target_score"][0]), found["target_box"][0]
                yield Seen(photo, str(label), score, box, found["heatmap"][0])
