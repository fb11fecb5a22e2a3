"""The way back from the model's input to the photo's own pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxcam.geometry import Geometry, place
from onnxcam.preprocessing import parse, prepare

PLACES = [
    # photo,        size,        resize,       short side
    ((300, 500), (64, 64), "shorter", 73),
    ((500, 300), (64, 96), "shorter", 110),
    ((41, 29), (64, 64), "shorter", 73),
    ((300, 500), (64, 48), "stretch", None),
    ((31, 45), (64, 48), "stretch", None),
    ((300, 500), (64, 64), "letterbox", None),
    ((501, 200), (96, 64), "letterbox", None),
    ((64, 48), (64, 48), "none", None),
]


def middles(geometry: Geometry, axis: int) -> NDArray[np.float64]:
    """Where the middle of each of the photo's lines lies in the input, in pixels from its edge."""
    lines = np.arange(geometry.photo[axis]) + 0.5
    return lines * geometry.resized[axis] / geometry.photo[axis] + geometry.origin[axis]


@pytest.mark.parametrize("row", PLACES, ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_ramp_over_the_input_comes_back_as_the_ramp_of_the_photos_own_pixels(row: Any, axis: int) -> None:
    geometry = place(row[0], row[1], resize=row[2], short_side=row[3])
    ramp = np.broadcast_to(np.expand_dims(np.arange(geometry.canvas[axis]) + 0.5, 1 - axis), geometry.canvas)
    got = geometry.to_photo(np.ascontiguousarray(ramp, np.float32))
    expected = middles(geometry, axis)
    seen = (expected >= 0) & (expected < geometry.canvas[axis])
    other = middles(geometry, 1 - axis)
    middle = np.flatnonzero((other >= 0) & (other < geometry.canvas[1 - axis]))
    line = np.take(got, middle[len(middle) // 2], axis=1 - axis)
    # Half a pixel at the edges, where there is nothing to interpolate with; elsewhere exact.
    assert np.abs(line - expected)[seen].max() <= 0.5
    within = seen & (np.abs(expected - geometry.canvas[axis] / 2) < geometry.canvas[axis] / 2 * 0.7)
    edge = 0.5 * max(1, geometry.resized[axis] / geometry.photo[axis])
    bounds = geometry.filled[axis]
    within &= (expected > bounds.start + edge) & (expected < bounds.stop - edge)
    assert np.abs(line - expected)[within].max() < 2e-3
    assert (line[~seen] == 0).all()


@pytest.mark.parametrize("row", PLACES, ids=str)
def test_a_bright_spot_of_the_photo_comes_back_to_its_place(row: Any) -> None:
    height, width = row[0]
    y, x = height * 0.45, width * 0.55
    rows, columns = np.mgrid[:height, :width] + 0.5
    radius = min(height, width) / 20
    spot = 255 * np.exp(-(((rows - y) / radius) ** 2) - ((columns - x) / radius) ** 2)
    image = np.repeat(spot[..., None], 3, axis=2).astype(np.uint8)
    spec = parse({"resize": row[2], "short_side": row[3], "fill": 0}, size=row[1])
    array, geometry = prepare(image, spec)
    back = geometry.to_photo(array[0])
    found = (back * rows).sum() / back.sum(), (back * columns).sum() / back.sum()
    true = (image[..., 0] * rows).sum() / image[..., 0].sum(), (image[..., 0] * columns).sum() / image[..., 0].sum()
    assert back.shape == (height, width)
    assert np.abs(np.subtract(found, true)).max() <= 0.5


def test_what_the_crop_cut_off_is_zero_and_what_it_kept_is_not() -> None:
    geometry = place((100, 300), (64, 64), resize="shorter", short_side=64)
    back = geometry.to_photo(np.ones((64, 64), np.float32))
    assert (back[:, 100:200] == 1).all()
    assert (back[:, :100] == 0).all()
    assert (back[:, 200:] == 0).all()
