"""How a photo was held: the orientation that a camera writes beside the pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ORIENTATION_TAG = 0x0112
SHORT = 3
MAX_TAGS = 512


def upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The picture as its photographer saw it; 1 and unknown values leave it alone (EXIF 2.32, tag 274)."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def orientation(data: bytes) -> int:
    """1 to 8 as a JPEG, PNG or WebP file says; 1 where it says nothing or nothing sensible.

    TIFF is left out on purpose: OpenCV turns those itself.
    """
    if data.startswith(b"\xff\xd8"):
        block = jpeg_exif(data)
    elif data.startswith(b"\x89PNG"):
        block = png_exif(data)
    elif data.startswith(b"RIFF"):
        block = webp_exif(data)
    else:
        block = b""
    found = tiff_orientation(block.removeprefix(b"Exif\0\0"))
    return found if 1 <= found <= 8 else 1


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and stop of every segment of a JPEG file before its first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        stop = at + 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
        yield data[at + 1], at + 4, stop
        at = stop


def jpeg_exif(data: bytes) -> bytes:
    """The EXIF block of a JPEG file, or nothing."""
    blocks = (data[start:stop] for marker, start, stop in jpeg_segments(data) if marker == 0xE1)
    return next((block for block in blocks if block.startswith(b"Exif\0\0")), b"")


def png_exif(data: bytes) -> bytes:
    """The eXIf chunk of a PNG file, or nothing."""
    at = 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return b""


def webp_exif(data: bytes) -> bytes:
    """The EXIF chunk of a WebP file, or nothing."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    return b""


def tiff_orientation(block: bytes) -> int:
    """The orientation in an EXIF block, which is a small TIFF file; 1 where there is none."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return 1
    (at,) = struct.unpack_from(f"{order}I", block, 4)
    if at + 2 > len(block):
        return 1
    (count,) = struct.unpack_from(f"{order}H", block, at)
    for entry in range(at + 2, at + 2 + 12 * min(count, MAX_TAGS), 12):
        if entry + 12 > len(block):
            return 1
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, entry)
        if tag == ORIENTATION_TAG and kind == SHORT:
            return int(value)
    return 1
