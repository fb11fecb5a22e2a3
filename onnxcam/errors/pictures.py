"""Pictures, their preparation, and what is drawn."""

from __future__ import annotations

from collections.abc import Iterable

from onnxcam.errors.base import OnnxCamError

__all__ = [
    "ArrayNoImage",
    "CorruptImage",
    "EmptyImage",
    "FilmNoImage",
    "HeatmapRangeError",
    "ImageError",
    "ImageNotFound",
    "ImageNotReadable",
    "ImageSizeMismatch",
    "InvalidPreprocessing",
    "NotAnImage",
    "SomeImagesFailed",
    "UnknownPictureFormat",
    "UnsupportedImage",
]


class ImageError(OnnxCamError):
    """A picture that cannot be read: catch this to go on with the next one."""


class ImageNotFound(ImageError):
    """No file under the picture's name."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no picture at {path!r}. Check the path; it is taken from the current folder.")


class ImageNotReadable(ImageError):
    """The system does not hand out the picture's file."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"the picture {path!r} cannot be opened: {reason}. Give a file that you may read.")


class EmptyImage(ImageError):
    """A picture without a byte or without a pixel."""

    def __init__(self, source: str) -> None:
        super().__init__(f"{source} is empty: there is nothing to explain. Copy or download the picture again.")


class NotAnImage(ImageError):
    """Bytes in no picture format that OpenCV reads."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"{source} is not a picture in a format that OpenCV reads (JPEG, PNG, WebP, TIFF, BMP, GIF …). "
            f"Convert it to JPEG or PNG."
        )


class ArrayNoImage(NotAnImage):
    """A .npy file where a picture is wanted."""

    def __init__(self, source: str) -> None:
        ImageError.__init__(
            self,
            f"{source} holds an array, and here a picture is wanted. Arrays are for models of signals and volumes, "
            f"which `onnxcam explain` takes and no other command; a picture must be JPEG, PNG or the like.",
        )


class FilmNoImage(NotAnImage):
    """A film where a picture is wanted."""

    def __init__(self, source: str) -> None:
        ImageError.__init__(
            self,
            f"{source} is a film, and here a picture is wanted. `onnxcam explain` takes films, by the ending of their "
            f"names (.mp4, .mov, .avi, .webm …); for other commands save a frame of it as a picture.",
        )


class CorruptImage(ImageError):
    """A picture that begins well and ends badly."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(
            f"{source} is damaged ({reason}), and half a picture explains nothing. Copy or download it again."
        )


class UnsupportedImage(ImageError):
    """An array or object that is no picture in onnxcam's sense."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}. A picture is a path, bytes, a PIL image or an array (H, W), (H, W, 3) RGB or (H, W, 4) RGBA "
            f"of uint8, uint16, or floats from 0 to 1."
        )


class ImageSizeMismatch(ImageError):
    """A picture that is not resized and does not have the model's size."""

    def __init__(self, image: tuple[int, int], wanted: tuple[int, int]) -> None:
        super().__init__(
            f"the picture is {image[1]} x {image[0]} and the model takes {wanted[1]} x {wanted[0]}, but the "
            f'preprocessing says "resize": "none". Give a picture of that size, or "resize": "stretch", '
            f'"shorter" or "letterbox".'
        )


class InvalidPreprocessing(OnnxCamError):
    """A preprocessing that cannot be carried out."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the preprocessing does not hold together: {reason}.")


class HeatmapRangeError(OnnxCamError):
    """A heatmap that cannot be coloured."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the heatmap {reason}; colours are defined for numbers in [0, 1] over (H, W). Normalise it first."
        )


class UnknownPictureFormat(OnnxCamError):
    """A file name whose ending stands for no picture format."""

    def __init__(self, path: str, known: Iterable[str]) -> None:
        super().__init__(
            f"the ending of {path!r} names no picture format that can be written. Use one of {', '.join(known)}."
        )


class SomeImagesFailed(OnnxCamError):
    """Some pictures of many could not be explained; the others were."""

    def __init__(self, failed: int, done: int) -> None:
        others = f"the other {done} {'was' if done == 1 else 'were'}" if done else "none was"
        super().__init__(f"{failed} of {failed + done} pictures could not be explained, as said above; {others}.")
