"""A finished picture: pixels that know how to become a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from onnxcam.errors import UnknownPictureFormat
from onnxcam.files import write_whole
from onnxcam.images import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Pixels, uint8 RGB (H, W, 3); notebooks show it."""

    array: Image

    def save(self, path: str | os.PathLike[str]) -> Path:
        """The file written, in the format of its ending; whole, or not at all.

        Raises:
            UnknownPictureFormat: if the ending names none of `SUFFIXES`.
            CannotWriteFile: if the folder is missing or not writable, or the disk is full.
        """
        path = Path(path)
        if path.suffix.lower() not in SUFFIXES:
            raise UnknownPictureFormat(str(path), SUFFIXES)
        write_whole(path, self.encoded(".jpg" if path.suffix.lower() == ".jfif" else path.suffix.lower()))
        return path

    def encoded(self, suffix: str) -> bytes:
        """The bytes of a file of that format."""
        _, data = cv2.imencode(suffix, np.ascontiguousarray(self.array[..., ::-1]))
        return bytes(data.tobytes())

    def _repr_png_(self) -> bytes:
        return self.encoded(".png")

    def __repr__(self) -> str:
        height, width = self.array.shape[:2]
        return f"Picture({width} x {height})"
