"""Detectors whose head cannot be read off the graph, or not in the way that was asked for."""

from __future__ import annotations

from collections.abc import Iterable

from onnxcam.errors.base import OnnxCamError

__all__ = [
    "DetectorUnclear",
    "InvalidDetectorSetting",
    "NoCandidates",
    "NoClassMaps",
    "NotThatDetector",
    "RawBoxes",
    "UnknownClassCount",
]


class DetectorUnclear(OnnxCamError):
    """The model is a detector whose outputs fit several kinds of heads, which differ in numbers that nothing shows."""

    def __init__(self, output: str, shape: object, families: Iterable[str], *, reason: str) -> None:
        known = list(families)
        super().__init__(
            f"Output {output!r} {shape} is a detector's, but its kind cannot be told: {reason}. Say which it is, one "
            f"of {', '.join(known)}: --score detector:{known[0]} (docs/detectors.md)."
        )


class NotThatDetector(OnnxCamError):
    """The outputs do not fit the kind of detector that was named."""

    def __init__(self, family: str, outputs: object, *, reason: str = "") -> None:
        why = f" ({reason})" if reason else ""
        super().__init__(
            f"The model is no detector of kind {family!r}{why}: its outputs are {outputs}. Leave the kind away to have "
            f"it found (--score detector), or see docs/detectors.md for what each kind looks like."
        )


class InvalidDetectorSetting(OnnxCamError):
    """A setting of a detector that makes no sense."""

    def __init__(self, key: str, given: str, wanted: str) -> None:
        super().__init__(
            f"The detector setting {key}={given} cannot be had: {wanted}. Settings stand behind the kind, with commas: "
            f"--score detector:yolov5,iou=0.6,threshold=0.3 (docs/detectors.md)."
        )


class RawBoxes(OnnxCamError):
    """The boxes are offsets from anchors that are not part of the model."""

    def __init__(self, output: str, shape: object) -> None:
        super().__init__(
            f"Output {output!r} {shape} holds offsets from anchors, straight from a convolution, and the anchors are "
            f"not in the model. Export it with its boxes decoded, or give them as an array (B, 4) of centre, width and "
            f"height in pixels: --score detector:anchored,anchors=FILE.npy (docs/detectors.md)."
        )


class UnknownClassCount(OnnxCamError):
    """A list of finished detections of which the number of classes cannot be told."""

    def __init__(self, output: str) -> None:
        super().__init__(
            f"Output {output!r} lists finished detections, and nothing in the graph tells how many classes there are. "
            f"Say it: --score detector:list,classes=80."
        )


class NoCandidates(OnnxCamError):
    """All that a detector's head offers is asked for, of scores that are none of a detector."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"The output 'candidates' lists what a detector's head offers, and what is explained here is {kind!r}. "
            f"Leave it away; if the model is a detector, convert it with --score detector."
        )


class NoClassMaps(OnnxCamError):
    """The class scores of a model do not lie on a grid of places."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"This model's scores (kind {kind!r}) are no maps of classes: only detectors that judge every cell of a "
            f"grid have these, such as YOLO, NanoDet and YuNet, with a fixed input size. Take layercam, or rise."
        )
