"""Films: frames read one by one, and pictures written as a film."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from onnxcam.errors import CannotWriteFile, NotAVideo
from onnxcam.images import Image

SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"))
# VP8 in WebM plays in every browser, and OpenCV's wheels can write it; MPEG-4 where they cannot.
FORMATS = ((".webm", "VP80"), (".mp4", "mp4v"))
FRAMES_PER_S = 25.0  # where a file does not say


@dataclass(frozen=True, slots=True)
class Film:
    """What a film's file says of it; `count` is 0 where it does not tell."""

    path: Path
    frames_per_s: float
    count: int


def open_film(path: str | Path) -> Film:
    """The film's facts.

    Raises:
        NotAVideo: if the file cannot be read as one.
    """
    with _capture(Path(path)) as capture:
        rate = capture.get(cv2.CAP_PROP_FPS)
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return Film(Path(path), rate if 0 < rate < 1000 else FRAMES_PER_S, max(0, int(count)))


def frames(path: str | Path, every: int = 1) -> Iterator[tuple[int, Image]]:
    """Every so many frames with their numbers, RGB uint8 (H, W, 3); one frame is held at a time.

    Raises:
        NotAVideo: if the file cannot be read as one.
    """
    with _capture(Path(path)) as capture:
        number = 0
        while capture.grab():
            if number % every == 0:
                is_there, frame = capture.retrieve()
                if is_there and frame is not None:
                    yield number, np.asarray(frame[..., ::-1], np.uint8)
            number += 1
    if number == 0:
        raise NotAVideo(str(path), "has no frame that can be read")


class FilmWriter:
    """A film being written: frames of one size, RGB uint8 (H, W, 3).

    Attributes:
        path: the file, with the suffix of the format that this OpenCV can write.
        count: how many frames it has.
    """

    def __init__(self, stem: Path, frames_per_s: float) -> None:
        self.path, self.count = stem, 0
        self._stem, self._rate = stem, frames_per_s
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: Image) -> None:
        """One more frame.

        Raises:
            CannotWriteFile: if the file cannot be written.
        """
        height, width = (side - side % 2 for side in frame.shape[:2])  # codecs want even sides
        if self._writer is None:
            self._writer = self._opened((width, height))
        self._writer.write(np.ascontiguousarray(frame[:height, :width, ::-1]))
        self.count += 1

    def close(self) -> None:
        """The file, finished."""
        if self._writer is not None:
            self._writer.release()

    def _opened(self, size: tuple[int, int]) -> cv2.VideoWriter:
        for suffix, codec in FORMATS:
            self.path = self._stem.with_name(f"{self._stem.name}{suffix}")
            writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*codec), self._rate, size)
            if writer.isOpened():
                return writer
        raise CannotWriteFile(str(self.path), "this OpenCV writes neither WebM nor MPEG-4, or the folder is not there")


@contextmanager
def film_writer(stem: Path, frames_per_s: float) -> Iterator[FilmWriter]:
    """A film to write into, finished at the end, also when that comes early. `stem`: the file without its suffix."""
    writer = FilmWriter(stem, frames_per_s)
    try:
        yield writer
    finally:
        writer.close()


@contextmanager
def _capture(path: Path) -> Iterator[cv2.VideoCapture]:
    if not path.is_file():
        raise NotAVideo(str(path), "is no file")
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise NotAVideo(str(path), "cannot be read as a film")
        yield capture
    finally:
        capture.release()
