"""Pictures of every kind become upright uint8 RGB; PIL, where it reads the same file, is the judge."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import ImageOps

from onnxcam import images
from onnxcam.errors import (
    CorruptImage,
    EmptyImage,
    FilmNoImage,
    ImageError,
    ImageNotFound,
    ImageNotReadable,
    NotAnImage,
    UnsupportedImage,
)


def scene(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    """Smooth colours, no two corners alike."""
    rows, columns = np.mgrid[:height, :width]
    planes = [255 * rows / height, 255 * columns / width, 255 * (rows + columns) / (height + width)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def encoded(image: Pil.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int) -> bytes:
    tags = Pil.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def as_pil_shows(data: bytes) -> NDArray[np.uint8]:
    with Pil.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_file_is_turned_by_its_exif_orientation(kind: str, orientation: int) -> None:
    lossless = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = encoded(Pil.fromarray(scene()), kind, exif=exif(orientation), **lossless)
    expected = as_pil_shows(data)
    assert images.read(data).shape == expected.shape
    assert np.abs(images.read(data).astype(int) - expected).max() <= (3 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pil_image_is_turned_by_its_exif_orientation(orientation: int) -> None:
    data = encoded(Pil.fromarray(scene()), "PNG", exif=exif(orientation))
    with Pil.open(io.BytesIO(data)) as image:
        assert np.array_equal(images.read(image), as_pil_shows(data))


def test_an_exif_block_of_nonsense_turns_nothing() -> None:
    data = encoded(Pil.fromarray(scene()), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert np.array_equal(images.read(data), scene())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_grey_palette_and_colour_files_read_as_pil_reads_them(mode: str) -> None:
    data = encoded(Pil.fromarray(scene()).convert(mode), "PNG")
    assert np.array_equal(images.read(data), as_pil_shows(data))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("as_file", [True, False])
def test_a_transparent_picture_lies_on_white(mode: str, as_file: bool) -> None:
    image = Pil.fromarray(scene()).convert(mode)
    image.putalpha(Pil.fromarray(scene()[..., 1]))
    white = Pil.new("RGBA", image.size, "white")
    expected = np.asarray(Pil.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    got = images.read(encoded(image, "PNG") if as_file else image)
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = Pil.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    data = encoded(image, "PNG", transparency=1)
    assert images.read(data).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    with Pil.open(io.BytesIO(data)) as opened:
        assert images.read(opened).tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_sixteen_bits_are_scaled_to_eight_by_file_array_and_pil_image() -> None:
    deep = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    data = cv2.imencode(".png", deep)[1].tobytes()
    for source in (data, deep, Pil.fromarray(deep)):
        assert images.read(source)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_a_cmyk_jpeg_looks_as_pil_shows_it() -> None:
    data = encoded(Pil.fromarray(scene()).convert("CMYK"), "JPEG", quality=95)
    difference = np.abs(images.read(data).astype(int) - as_pil_shows(data))
    assert difference.mean() < 2
    assert difference.max() <= 6


def test_floats_from_0_to_1_are_scaled_to_255() -> None:
    assert images.read(np.array([[0.0, 0.5, 1.0]], np.float32))[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3)])
def test_arrays_of_one_or_three_channels_keep_their_order(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    expected = array if shape[2:] == (3,) else np.repeat(array.reshape(2, 3, 1), 3, axis=2)
    assert np.array_equal(images.read(array), expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_array_given_is_not_shared(channels: int) -> None:
    array = np.dstack([scene(), scene()])[..., :channels]
    before = array.copy()
    images.read(array)[:] = 0
    assert np.array_equal(array, before)


def test_paths_may_hold_any_character_and_the_ending_jfif(tmp_path: Path) -> None:
    path = tmp_path / "Gürteltier 猫.jfif"
    path.write_bytes(encoded(Pil.fromarray(scene()), "JPEG", quality=95))
    assert images.read(path).shape == (40, 60, 3)
    assert images.read(str(path)).shape == (40, 60, 3)


JPEG = encoded(Pil.fromarray(scene(200, 300)), "JPEG", quality=95)
PNG = encoded(Pil.fromarray(scene()), "PNG")
THUMBNAIL = JPEG[:2] + b"\xff\xe1\x00\x0c" + b"Exif\0\0\xff\xd8\xff\xd9" + JPEG[2:]
BAD = [
    # what,                            source,                                         class,            words
    ("no such file", "nowhere/cat.jpg", ImageNotFound, "no picture at 'nowhere/cat.jpg'"),
    ("a folder", ".", ImageNotReadable, "cannot be opened"),
    ("no bytes", b"", EmptyImage, "is empty"),
    ("no pixels", np.zeros((0, 4, 3), np.uint8), EmptyImage, "is empty"),
    ("text", b"hello, world", NotAnImage, "not a picture in a format that OpenCV reads"),
    ("half a JPEG", JPEG[: len(JPEG) // 2], CorruptImage, "its end is missing"),
    ("half a JPEG with a thumbnail", THUMBNAIL[: len(THUMBNAIL) // 2], CorruptImage, "its end is missing"),
    ("a JPEG's first bytes", JPEG[:8], CorruptImage, "its end is missing"),
    ("half a PNG", PNG[: len(PNG) // 2], CorruptImage, "its end is missing"),
    ("a JPEG without its tables", JPEG[:20] + b"\xff\xda\xff\xd9", CorruptImage, "a JPEG that cannot be decoded"),
    ("half a BMP", encoded(Pil.fromarray(scene()), "BMP")[:3000], CorruptImage, "a BMP that cannot be decoded"),
    ("half a WebP", encoded(Pil.fromarray(scene()), "WEBP")[:60], CorruptImage, "a WebP that cannot be decoded"),
    ("a sound", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", NotAnImage, "not a picture in a format"),
    ("floats to 255", np.full((4, 4, 3), 200.0), UnsupportedImage, "divide by 255"),
    ("not numbers", np.full((4, 4, 3), np.nan), UnsupportedImage, "or not numbers"),
    ("int64 pixels", np.zeros((4, 4, 3), np.int64), UnsupportedImage, r"use \.astype\(np\.uint8\)"),
    ("channels first", np.zeros((3, 40, 60), np.uint8), UnsupportedImage, r"array\.transpose\(1, 2, 0\)"),
    ("five channels", np.zeros((4, 4, 5), np.uint8), UnsupportedImage, "is not one picture"),
    ("a number", 7, UnsupportedImage, "a int cannot be read as a picture"),
]


@pytest.mark.parametrize(("source", "kind", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_picture_is_an_error_that_says_what_is_wrong(source: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as raised:
        images.read(source)
    assert isinstance(raised.value, ImageError)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("ending", "codec"), [(".avi", "MJPG"), (".webm", "VP80"), (".mp4", "mp4v")])
def test_a_film_is_called_one(tmp_path: Path, ending: str, codec: str) -> None:
    path = str(tmp_path / f"film{ending}")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*codec), 10.0, (32, 32))
    for _ in range(3):
        writer.write(np.ascontiguousarray(scene(32, 32)[..., ::-1]))
    writer.release()
    with pytest.raises(FilmNoImage, match=r"is a film, and here a picture is wanted\. `onnxcam explain`"):
        images.read(path)


def test_a_jpeg_with_a_thumbnail_in_its_exif_block_is_whole() -> None:
    assert images.read(THUMBNAIL).shape == (200, 300, 3)


def test_a_truncated_pil_image_is_an_error() -> None:
    with Pil.open(io.BytesIO(JPEG[: len(JPEG) // 2])) as image, pytest.raises(CorruptImage, match="truncated"):
        images.read(image)
