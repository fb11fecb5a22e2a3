"""Films: frames in, frames out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from onnxcam.errors import NotAVideo
from onnxcam.video import film_writer, frames, open_film


def made(path: Path, count: int = 7, size: tuple[int, int] = (48, 64)) -> Path:
    """A film that gets lighter frame by frame, red in its left half; Motion JPEG keeps colours well."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, size[::-1])
    for number in range(count):
        frame = np.full((*size, 3), 30 * number, np.uint8)
        frame[:, : size[1] // 2] = (0, 0, 200)  # OpenCV's order: blue, green, red
        writer.write(frame)
    writer.release()
    return path


def test_frames_come_in_order_as_red_green_blue(tmp_path: Path) -> None:
    film = made(tmp_path / "film.avi")
    assert (open_film(film).frames_per_s, open_film(film).count) == (12.5, 7)
    found = list(frames(film))
    assert [number for number, _ in found] == list(range(7))
    for number, frame in found:
        assert abs(int(frame[20, 50].mean()) - 30 * number) <= 3
        assert frame[20, 10].tolist() == pytest.approx([200, 0, 0], abs=12)


def test_every_third_frame_is_every_third(tmp_path: Path) -> None:
    assert [number for number, _ in frames(made(tmp_path / "film.avi"), every=3)] == [0, 3, 6]


@pytest.mark.parametrize("size", [(48, 64), (47, 65)], ids=["even", "odd"])
def test_what_is_written_can_be_read(tmp_path: Path, size: tuple[int, int]) -> None:
    pictures = [np.full((*size, 3), (20 * number, 100, 255 - 20 * number), np.uint8) for number in range(6)]
    with film_writer(tmp_path / "out.cam", 10.0) as writer:
        for picture in pictures:
            writer.write(picture)
    assert writer.path.is_file()
    found = [frame for _, frame in frames(writer.path)]
    assert len(found) == writer.count == 6
    assert found[0].shape == (size[0] // 2 * 2, size[1] // 2 * 2, 3)
    for picture, frame in zip(pictures, found, strict=True):
        assert np.abs(frame.mean((0, 1)) - picture[0, 0]).max() < 12


def test_a_film_is_finished_when_its_writing_is_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), film_writer(tmp_path / "out.cam", 10.0) as writer:  # noqa: PT012
        for _ in range(4):
            writer.write(np.zeros((32, 32, 3), np.uint8))
        raise KeyboardInterrupt
    assert len(list(frames(writer.path))) == 4


@pytest.mark.parametrize("content", [None, b"", b"no film at all"], ids=["missing", "empty", "text"])
def test_what_is_no_film_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotAVideo, match="film"):
        list(frames(path))
