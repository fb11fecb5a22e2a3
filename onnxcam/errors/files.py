"""Files that cannot be read or written."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam.errors.base import OnnxCamError

__all__ = [
    "CannotWriteFile",
    "CyclicModel",
    "ExternalDataOutsideFolder",
    "ExternalDataTooShort",
    "InvalidLabels",
    "InvalidModelFile",
    "MissingExternalData",
    "MissingModelFile",
    "TruncatedModelFile",
    "UnknownReportFormat",
    "WouldOverwriteImage",
    "WouldOverwriteModel",
]


class MissingModelFile(OnnxCamError):
    """There is no file at the path given."""

    def __init__(self, path: str) -> None:
        super().__init__(f"there is no model file {path!r}. Check the path.")


class InvalidModelFile(OnnxCamError):
    """The file is there, but it is no ONNX model."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} is not an ONNX model: {reason}. Export it again, or pass the .onnx file.")


class TruncatedModelFile(InvalidModelFile):
    """The file begins like an ONNX model and ends before it is complete."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "it is truncated, the end is missing (an unfinished download or copy?)")


class CyclicModel(InvalidModelFile):
    """Nodes of the model read what depends on their own outputs."""

    def __init__(self, name: str, tensors: Sequence[str]) -> None:
        way = " → ".join(repr(tensor) for tensor in tensors[:6])
        super().__init__(name, f"its nodes wait for one another, {way}{' → …' if len(tensors) > 6 else ''}")


class MissingExternalData(OnnxCamError):
    """A model's weights lie in a side file that is not there."""

    def __init__(self, tensor: str, location: str, remedy: str) -> None:
        super().__init__(f"the data of tensor {tensor!r} lie in {location!r}, which is missing: {remedy}.")


class ExternalDataTooShort(OnnxCamError):
    """A side file ends before the tensor's data do."""

    def __init__(self, tensor: str, location: str, *, needed: int, found: int) -> None:
        super().__init__(
            f"the data of tensor {tensor!r} should end at byte {needed} of {location!r}, but end at {found}: "
            f"the side file is truncated or belongs to another model. Fetch it again together with the model."
        )


class ExternalDataOutsideFolder(OnnxCamError):
    """A model points to a file outside its own folder, which could be any file of the machine."""

    def __init__(self, tensor: str, location: str) -> None:
        super().__init__(
            f"the data of tensor {tensor!r} are said to lie in {location!r}, outside the model's folder. That is "
            f"refused, since a model must not read other files. Put the data beside the model and save it again."
        )


class CannotWriteFile(OnnxCamError):
    """A file could not be written; nothing of it was left behind."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be written: {reason}. Choose a folder that exists and is writable.")


class WouldOverwriteModel(OnnxCamError):
    """The explain graph would take the place of the model that it is made from."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the explain graph would overwrite the model {path} itself. Choose another name with -o.")


class WouldOverwriteImage(OnnxCamError):
    """A result would take the place of a picture that is explained."""

    def __init__(self, path: str) -> None:
        super().__init__(f"The overlay would overwrite {path}, a picture to explain. Choose another folder with -o.")


class InvalidLabels(OnnxCamError):
    """A list of class names that cannot be used."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            f"The class names in {where} cannot be used: {why}. Give one name a line in the order of the classes, or a "
            f"JSON list."
        )


class UnknownReportFormat(OnnxCamError):
    """A report under a name that no browser would take for a page."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"the report {path!r} would be a web page, but its name ends otherwise. Name it …/report.html."
        )
