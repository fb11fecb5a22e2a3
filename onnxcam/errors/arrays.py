"""Signals and volumes: arrays that cannot be read, or do not fit, and what only pictures can have."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam.errors.base import OnnxCamError
from onnxcam.errors.running import InputMismatch

__all__ = [
    "ArrayError",
    "ArrayMismatch",
    "ArrayNotFound",
    "ArrayNotReadable",
    "InvalidArray",
    "InvalidSlice",
    "NotAnArray",
    "OnlyExplained",
    "OnlyForPictures",
]


class ArrayError(OnnxCamError):
    """A signal or volume that cannot be read: catch this to go on with the next one."""


class ArrayNotFound(ArrayError):
    """No file under the array's name."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"no array at {path!r}. Check the path; the model takes .npy files, as numpy.save writes them."
        )


class ArrayNotReadable(ArrayError):
    """The system does not hand out the array's file."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"the array {path!r} cannot be opened: {reason}. Give a .npy file that you may read.")


class NotAnArray(ArrayError):
    """Something else than an array, for a model that takes no pictures."""

    def __init__(self, source: str, reason: str, wanted: str) -> None:
        super().__init__(
            f"{source} {reason}, and the model takes {wanted}. Give a numpy array, or a .npy file as numpy.save writes "
            f"it, of values that are prepared as in training."
        )


class InvalidArray(ArrayError):
    """An array that no model could work on."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(
            f"{source} {reason}, which explains nothing. Give finite numbers, prepared as they were in training."
        )


class ArrayMismatch(InputMismatch):
    """An array of another length, or with other axes, than the model takes."""

    def __init__(self, name: str, shape: Sequence[int], *, wanted: str, hint: str = "") -> None:
        super().__init__(
            name,
            f"takes {wanted}, and the array has shape {tuple(shape)}",
            remedy=hint or "Cut, pad or resample the array to that; onnxcam changes no values of signals and volumes.",
        )


class OnlyForPictures(OnnxCamError):
    """What only pictures have is asked of a model of signals or volumes."""

    def __init__(self, what: str, wanted: str, *, remedy: str = "Leave it out.") -> None:
        super().__init__(f"{what} is for models of pictures, and this one takes {wanted}. {remedy}")


class OnlyExplained(OnlyForPictures):
    """Signals or volumes are given to another command than `explain`."""

    def __init__(self, what: str, wanted: str) -> None:
        super().__init__(what, wanted, remedy="Explain it instead: onnxcam explain, or an Explainer.")


class InvalidSlice(OnnxCamError):
    """A slice, axis, channel or projection that the signal or volume does not have."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}. Choose another for the drawing.")
