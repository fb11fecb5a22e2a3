"""Pictures of any kind as uint8 RGB (H, W, 3), upright, on white where they are transparent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import (
    ArrayNoImage,
    CorruptImage,
    EmptyImage,
    FilmNoImage,
    ImageError,
    ImageNotFound,
    ImageNotReadable,
    NotAnImage,
    UnsupportedImage,
)
from onnxcam.exif import ORIENTATION_TAG, jpeg_segments, orientation, upright

Image: TypeAlias = NDArray[np.uint8]

WHITE = 255
NUMPY = b"\x93NUMPY"
MATROSKA = b"\x1aE\xdf\xa3"
STILLS = frozenset((b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"))  # in films' containers
SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


@runtime_checkable
class PilImage(Protocol):
    """What is asked of a PIL image, so that PIL need not be imported."""

    mode: str
    info: dict[Any, Any]

    def convert(self, mode: str) -> PilImage:
        """The same picture with other channels."""

    def getexif(self) -> Any:
        """The EXIF tags by number."""


Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[Any] | PilImage


def read(source: Source) -> Image:
    """RGB (H, W, 3), upright by its EXIF orientation, laid on white where it is transparent.

    Args:
        source: a path; a file's bytes; a PIL image; or an array (H, W) or (H, W, 1) grey, (H, W, 2) grey and alpha,
            (H, W, 3) RGB, (H, W, 4) RGBA, of uint8, uint16 (to 65535), bool, or floats from 0 to 1.

    Raises:
        ImageError: one of its kinds, if there is no such file, or it is empty, damaged or no picture.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return from_bytes(bytes(source), "the picture given as bytes")
    if isinstance(source, str | os.PathLike):
        return from_file(Path(source))
    if isinstance(source, np.ndarray):
        return from_array(source)
    if isinstance(source, PilImage):
        return from_pil(source)
    raise UnsupportedImage(f"a {type(source).__name__} cannot be read as a picture")


def from_file(path: Path) -> Image:
    """The picture in a file; the name may hold any character."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageNotFound(str(path)) from error
    except OSError as error:
        raise ImageNotReadable(str(path), error.strerror or str(error)) from error
    return from_bytes(data, repr(str(path)))


def from_bytes(data: bytes, source: str) -> Image:
    """The picture in a file's bytes; `source` is what errors call it."""
    if not data:
        raise EmptyImage(source)
    if is_cut_short(data):
        raise CorruptImage(source, "its end is missing")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise CorruptImage(source, error.err or "OpenCV refuses it") from error
    if pixels is None:
        raise refusal(data, source)
    return upright(flatten(with_red_first(pixels)), orientation(data))


def refusal(data: bytes, source: str) -> ImageError:
    """Why bytes that OpenCV does not decode are no picture: an array, a film, a damaged picture, or none at all."""
    if data.startswith(NUMPY):
        return ArrayNoImage(source)
    if is_film(data):
        return FilmNoImage(source)
    kind = next((name for start, name in SIGNATURES.items() if data.startswith(start)), None)
    kind = "WebP" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else kind
    return CorruptImage(source, f"a {kind} that cannot be decoded") if kind else NotAnImage(source)


def is_film(data: bytes) -> bool:
    """Whether the bytes begin as those of a film: AVI, Matroska and WebM, MPEG-4 and QuickTime."""
    is_boxed = data[4:8] == b"ftyp" and data[8:12] not in STILLS
    return is_boxed or data.startswith(MATROSKA) or (data.startswith(b"RIFF") and data[8:12] == b"AVI ")


def is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end, which some versions of OpenCV fill with grey in silence."""
    if data.startswith(b"\xff\xd8\xff"):
        # The end is sought after the headers: a thumbnail in the EXIF block has an end of its own. Inside a scan
        # 0xFF is followed by 0 or a restart marker, so the pair cannot occur by chance.
        scans = max((stop for _, _, stop in jpeg_segments(data)), default=2)
        return data.find(b"\xff\xd9", scans) < 0
    return data.startswith(b"\x89PNG") and data.find(b"IEND", 8) < 0


def with_red_first(pixels: NDArray[Any]) -> NDArray[Any]:
    """OpenCV's BGR or BGRA as RGB or RGBA; grey as it is."""
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return pixels


def from_array(array: NDArray[Any]) -> Image:
    """The picture that an array holds, with its channels last and red first."""
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] > 4:
        raise UnsupportedImage(f"the array {array.shape} has its channels first; give array.transpose(1, 2, 0)")
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 1 <= array.shape[2] <= 4):
        raise UnsupportedImage(f"an array of shape {array.shape} is not one picture")
    if array.size == 0:
        raise EmptyImage(f"the array of shape {array.shape}")
    return flatten(array)


def from_pil(image: PilImage) -> Image:
    """The picture that a PIL image holds, turned by its EXIF orientation."""
    try:
        if image.mode in ("I", "F", "I;16", "I;16B", "I;16L"):
            pixels = np.asarray(image)
        elif image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
            pixels = np.asarray(image.convert("RGBA"))
        else:
            pixels = np.asarray(image.convert("RGB"))
        turn = image.getexif().get(ORIENTATION_TAG, 1)
    except (OSError, SyntaxError) as error:
        raise CorruptImage("the PIL image", str(error)) from error
    if image.mode == "I" and pixels.min() >= 0 and pixels.max() <= 65535:
        pixels = pixels.astype(np.uint16)
    return upright(from_array(pixels), turn)


def flatten(pixels: NDArray[Any]) -> Image:
    """RGB uint8 of grey, grey and alpha, RGB or RGBA of any depth, laid on white."""
    pixels = eight_bit(pixels)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    colour = pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., :1]
    if pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1:].astype(np.uint32)
        colour = ((colour * alpha + WHITE * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.array(np.broadcast_to(colour, (*colour.shape[:2], 3)))  # a copy: the caller's array stays the caller's


def eight_bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """The same picture in 256 steps: 65535, 1.0 and True become 255."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise UnsupportedImage(f"pixels of type {pixels.dtype} have no known range; use .astype(np.uint8)")
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
        raise UnsupportedImage("float pixels outside 0 to 1, or not numbers; divide by 255, or use .astype(np.uint8)")
    return np.asarray(np.rint(pixels * 255), np.uint8)
