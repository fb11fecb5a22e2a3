"""Resizing agrees with Pillow's."""

from __future__ import annotations

import numpy as np
import PIL
import pytest
from numpy.typing import NDArray
from PIL import Image as Pil

from onnxcam.errors import UnknownChoice
from onnxcam.resizing import INTERPOLATIONS, resize

FILTERS = {name: Pil.Resampling[name.upper()] for name in INTERPOLATIONS}
WIDTH_FIRST = [
    # from,        to
    ((301, 457), (97, 131)),
    ((37, 53), (224, 171)),
    ((480, 640), (256, 341)),
    ((50, 400), (25, 33)),
    ((53, 61), (53, 17)),
    ((1, 1), (4, 4)),
]
HEIGHT_FIRST = [((7, 3), (5, 9)), ((101, 75), (1, 70)), ((90, 20), (31, 44)), ((61, 53), (17, 53))]


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_pillow(image: NDArray[np.uint8], size: tuple[int, int], interpolation: str) -> NDArray[np.uint8]:
    return np.asarray(Pil.fromarray(image).resize(size[::-1], FILTERS[interpolation]))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("source", "target"), WIDTH_FIRST, ids=str)
def test_every_pixel_is_pillows(source: tuple[int, int], target: tuple[int, int], interpolation: str) -> None:
    image = noise(*source)
    assert np.array_equal(resize(image, target, interpolation=interpolation), by_pillow(image, target, interpolation))


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="Pillow 13 is the first to choose its order")
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("source", "target"), HEIGHT_FIRST, ids=str)
def test_the_height_goes_first_where_pillow_13_takes_it_first(
    source: tuple[int, int], target: tuple[int, int], interpolation: str
) -> None:
    image = noise(*source)
    assert np.array_equal(resize(image, target, interpolation=interpolation), by_pillow(image, target, interpolation))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("source", "target"), [((90, 120), (31, 44)), ((20, 30), (60, 70))], ids=str)
def test_a_window_is_cut_from_the_whole(source: tuple[int, int], target: tuple[int, int], interpolation: str) -> None:
    image, window = noise(*source), (slice(3, 20), slice(11, 40))
    part = resize(image, target, interpolation=interpolation, window=window)
    assert np.array_equal(part, by_pillow(image, target, interpolation)[window])


def test_without_antialias_shrinking_takes_two_neighbours_only() -> None:
    torch = pytest.importorskip("torch", reason="torch is the judge here")
    image = noise(50, 70)
    tensor = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float64))[None]
    expected = torch.nn.functional.interpolate(tensor, (16, 23), mode="bilinear", align_corners=False)[0]
    got = resize(image, (16, 23), antialias=False)
    assert np.abs(got - expected.numpy().transpose(1, 2, 0)).max() <= 1.01


def test_an_unknown_interpolation_is_an_error_that_lists_them() -> None:
    with pytest.raises(UnknownChoice, match=r"no interpolation named 'linear'\. Did you mean 'bilinear'"):
        resize(noise(4, 4), (2, 2), interpolation="linear")
