"""Boxes, masks and references that do not fit the picture or the graph."""

from __future__ import annotations

from onnxcam.errors.base import OnnxCamError

__all__ = [
    "InvalidBox",
    "InvalidReference",
    "InvalidRegion",
    "NotAVideo",
    "NotGuided",
]


class InvalidBox(OnnxCamError):
    """A box that is none, or lies outside the picture."""

    def __init__(self, box: object, reason: str) -> None:
        super().__init__(f"The box {box} {reason}. Give x0, y0, x1, y1 in pixels of the photo, x0 < x1 and y0 < y1.")


class InvalidRegion(OnnxCamError):
    """A mask that does not fit the picture."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The region {reason}. Give a mask (H, W) of the photo's own size, 0 to 1 or true and false.")


class InvalidReference(OnnxCamError):
    """A reference that is no picture and no vector of the model's embedding."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The reference {reason}. Give a picture, or a vector as the model's embedding is.")


class NotGuided(OnnxCamError):
    """A box, region or reference for a graph that takes none."""

    def __init__(self, what: str, score: str, kind: str) -> None:
        super().__init__(
            f"A {what} was given, but this graph explains {score!r} and takes none. Convert a model with "
            f"score={kind!r} for that."
        )


class NotAVideo(OnnxCamError):
    """A file that cannot be read as a film."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path!r} {reason}. Give a film that OpenCV reads, such as .mp4 with H.264, or single pictures."
        )
