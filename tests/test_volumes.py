"""Volumes and videos (C, D, H, W) explained: heatmaps in space, and slices, projections and mosaics of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import Command, saved
from signal_nets import Array, bump, bumps, planted

from onnxcam import Explainer, VolumeExplanation, convert
from onnxcam.errors import ArrayMismatch, InvalidSlice, OnlyForPictures, OnlyPictures, UnknownChoice
from onnxcam.factorization import factorize
from onnxcam.overlay import blend

SIDES = (10, 16, 24)
PLACES = [(2, 4, 5), (5, 8, 20), (8, 12, 12)]


def explainer(*sides: int | str, channels: int = 2, channel_axis: int = 0, **wish: Any) -> Explainer:
    model = bumps(*(sides or SIDES), channels=channels, channel_axis=channel_axis)
    return Explainer(convert(model, **wish).to_bytes(), threads=1)


def peak(heatmap: Array) -> tuple[int, ...]:
    return tuple(int(place) for place in np.unravel_index(heatmap.argmax(), heatmap.shape))


@pytest.fixture(scope="module")
def found() -> VolumeExplanation:
    """A bump in slice 7 of ten, on a slope that tells the slices apart."""
    volume = bump((7, 5, 18), SIDES) + np.arange(10, dtype=np.float32)[:, None, None] / 100
    explained = explainer(channels=1)(volume, 0)
    assert isinstance(explained, VolumeExplanation)
    return explained


@pytest.mark.parametrize("channel_axis", [0, 1, -1], ids=["channels first", "frames first", "channels last"])
@pytest.mark.parametrize("at", PLACES)
def test_the_heatmap_peaks_where_the_bump_is(at: tuple[int, ...], channel_axis: int):
    found = explainer(channel_axis=channel_axis)(planted(at, SIDES, channel=1, channel_axis=channel_axis), 1)
    assert (found.heatmap.shape, found.heatmap.dtype, found.status) == (SIDES, np.float32, "ok")
    assert peak(found.heatmap) == at


def test_a_volume_of_one_channel_needs_no_axis_for_it():
    x = bump(PLACES[0], SIDES)
    for channel_axis in (0, 1, -1):
        one = explainer(channels=1, channel_axis=channel_axis)
        np.testing.assert_array_equal(one(x, 0).heatmap, one(np.expand_dims(x, channel_axis), 0).heatmap)


def test_several_give_what_each_gives_alone():
    volumes = [planted(at, SIDES) for at in PLACES]
    one = explainer()
    for many in (one(volumes), one(np.stack(volumes), batch_size=2)):
        for found, volume, at in zip(many, volumes, PLACES, strict=True):
            assert peak(found.heatmap) == at
            np.testing.assert_allclose(found.heatmap, one(volume).heatmap, atol=1e-6)


@pytest.mark.parametrize("channel_axis", [0, 1, -1], ids=["channels first", "frames first", "channels last"])
def test_where_sides_are_open_several_may_differ_in_them(channel_axis: int):
    volumes = [planted(at, n, channel_axis=channel_axis) for at, n in (((2, 3, 4), (5, 6, 7)), ((6, 7, 3), (9, 10, 8)))]
    many = explainer("D", "H", "W", channel_axis=channel_axis)(volumes)
    assert [one.heatmap.shape for one in many] == [(5, 6, 7), (9, 10, 8)]
    assert [peak(one.heatmap) for one in many] == [(2, 3, 4), (6, 7, 3)]


def test_several_targets_give_the_maps_that_each_gives_alone():
    x = planted(PLACES[0], SIDES) + planted(PLACES[1], SIDES, channel=1)
    many = explainer(multi_target=True)(x, [0, 1])
    assert [peak(found.heatmap) for found in many] == PLACES[:2]


@pytest.mark.parametrize("driver", ["occlusion", "rise", "integrated-gradients", "smoothgrad"])
@pytest.mark.parametrize("channel_axis", [0, 1, -1], ids=["channels first", "frames first", "channels last"])
def test_methods_of_many_passes_find_the_bump(driver: str, channel_axis: int):
    options = {"rise": {"masks": 1500, "cells": 4}, "smoothgrad": {"noise": 0.01, "of": "input"}}.get(driver, {})
    # By the logit: a probability that starts at one half leaves RISE, which takes no base off, little to tell apart.
    one = explainer(channel_axis=channel_axis, method=driver, score="logit")
    found = one(planted(PLACES[1], SIDES, channel_axis=channel_axis), 0, options=options)
    assert found.heatmap.shape == SIDES
    assert np.abs(np.subtract(peak(found.heatmap), PLACES[1])).max() <= 3


def test_methods_that_change_pictures_are_refused():
    with pytest.raises(OnlyPictures, match="xrai"):
        explainer(method="xrai")(planted(PLACES[0], SIDES), 0)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((16, 24), r"volumes of shape \(2, 10, 16, 24\) as \(channels, depth, height, width\).*\(16, 24\)"),
        (SIDES, r"has shape \(10, 16, 24\)"),
        ((*SIDES, 2), r"moveaxis\(array, -1, 0\)"),
        ((2, 10, 16, 25), r"\(2, 10, 16, 25\)"),
        ((30, 30, 3), r"\(30, 30, 3\)"),
        ((1, 1, 2, *SIDES), r"\(1, 1, 2, 10, 16, 24\)"),
    ],
)
def test_a_volume_of_another_shape_is_refused_in_one_line(shape: tuple[int, ...], said: str):
    with pytest.raises(ArrayMismatch, match=said) as caught:
        explainer()(np.zeros(shape, np.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((10, 16, 24), r"videos of shape \(10, 2, 16, 24\) as \(frames, channels, height, width\)"),
        ((2, 10, 16, 24), r"moveaxis\(array, 0, 1\)"),
        ((10, 16, 24, 2), r"moveaxis\(array, -1, 1\)"),
    ],
)
def test_a_video_of_another_shape_is_told_where_its_channels_belong(shape: tuple[int, ...], said: str):
    with pytest.raises(ArrayMismatch, match=said):
        explainer(channel_axis=1)(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("channel_axis", [0, 1])
def test_factorization_is_for_pictures(channel_axis: int):
    with pytest.raises(OnlyForPictures, match="A factorisation"):
        factorize(bumps(*SIDES, channel_axis=channel_axis), planted(PLACES[0], SIDES, channel_axis=channel_axis))


def test_a_video_with_frames_first_is_drawn_as_one_with_channels_first(tmp_path: Path):
    clip = planted(PLACES[1], SIDES)
    np.save(tmp_path / "clip.npy", clip.swapaxes(0, 1))
    found, same = explainer(channel_axis=1)(tmp_path / "clip.npy", 0), explainer()(clip, 0)
    np.testing.assert_array_equal(found.mosaic().array, same.mosaic().array)
    np.testing.assert_array_equal(found.overlay(slice=5).array, same.overlay(slice=5).array)
    assert found.strongest() == PLACES[1][0]


def test_the_slice_is_the_one_that_the_heatmap_has_most_of(found: VolumeExplanation):
    for axis in range(3):
        masses = [np.take(found.heatmap, at, axis).sum() for at in range(SIDES[axis])]
        assert found.strongest(axis) == int(np.argmax(masses))
        shown = found.overlay(axis=axis).array
        np.testing.assert_array_equal(shown, found.overlay(axis=axis, slice=found.strongest(axis)).array)
        other = (found.strongest(axis) + 1) % SIDES[axis]
        assert (shown != found.overlay(axis=axis, slice=other).array).any()


@pytest.mark.parametrize(("axis", "proportion"), [(0, 16 / 24), (1, 10 / 24), (2, 10 / 16)])
def test_a_slice_keeps_its_proportions(axis: int, proportion: float, found: VolumeExplanation):
    height, width = found.overlay(axis=axis).array.shape[:2]
    assert height / width == pytest.approx(proportion, abs=0.01)


def test_a_slice_is_the_blend_of_its_own_values_and_heat(found: VolumeExplanation):
    """Looked at in the middles of pixels, far from the number in the corner."""
    at = found.strongest(0)
    low, high = np.percentile(found.array, [0.5, 99.5])
    grey = np.clip(np.rint((found.array[0, at] - low) * 255 / (high - low)), 0, 255).astype(np.uint8)
    expected = blend(np.repeat(grey[..., None], 3, axis=2), found.heatmap[at])
    drawn = found.overlay().array
    step = drawn.shape[1] / SIDES[2]
    assert step == pytest.approx(drawn.shape[0] / SIDES[1], abs=0.05)
    y, x = 5, 18
    pixel = drawn[round((y + 0.5) * step), round((x + 0.5) * step)]
    np.testing.assert_allclose(pixel.astype(int), expected[y, x].astype(int), atol=12)
    dark = drawn[round(14.5 * step), round(3.5 * step)]
    np.testing.assert_allclose(dark.astype(int), expected[14, 3].astype(int), atol=4)


def test_a_negative_slice_counts_from_the_end(found: VolumeExplanation):
    np.testing.assert_array_equal(found.overlay(slice=-1).array, found.overlay(slice=9).array)


def hot(picture: Array, step: float) -> tuple[int, int]:
    """Row and column, in values, of the reddest pixel."""
    pixels = picture.astype(int)
    place = np.unravel_index((pixels[..., 0] - pixels[..., 2]).argmax(), pixels.shape[:2])
    return int(place[0] / step), int(place[1] / step)


@pytest.mark.parametrize("how", ["maximum", "mean"])
@pytest.mark.parametrize(("axis", "expected"), [(0, (5, 18)), (1, (7, 18)), (2, (7, 5))])
def test_a_projection_shows_the_bump_from_each_side(
    axis: int, expected: tuple[int, int], how: str, found: VolumeExplanation
):
    drawn = found.projection(1.0, "hot", axis=axis, how=how).array
    step = drawn.shape[1] / [length for other, length in enumerate(SIDES) if other != axis][1]
    brightest = np.unravel_index(drawn.astype(int).sum(axis=2).argmax(), drawn.shape[:2])
    assert np.abs(np.array(brightest) / step - 0.5 - expected).max() <= 1


def test_a_mosaic_holds_the_strongest_slice_in_a_frame(found: VolumeExplanation):
    drawn = found.mosaic(count=4).array
    orange = (drawn == (255, 140, 0)).all(axis=2)
    assert orange.any()
    rows, columns = np.flatnonzero(orange.any(axis=1)), np.flatnonzero(orange.any(axis=0))
    tile = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(int)
    lone = cv2.resize(found.overlay().array, tile.shape[1::-1], interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(tile - lone)[30:-8, 8:-8].max() < 40


def test_a_mosaic_has_no_more_slices_than_there_are(found: VolumeExplanation):
    np.testing.assert_array_equal(found.mosaic(count=10).array, found.mosaic(count=99).array)
    assert found.mosaic(count=10).array.size > found.mosaic(count=2).array.size


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda found: found.overlay(slice=10), InvalidSlice, "number 10: there are 10"),
        (lambda found: found.overlay(slice=-11), InvalidSlice, "number -11"),
        (lambda found: found.overlay(axis=3), InvalidSlice, "no axis 3"),
        (lambda found: found.mosaic(axis=-1), InvalidSlice, "no axis -1"),
        (lambda found: found.mosaic(count=0), InvalidSlice, "0 slices"),
        (lambda found: found.projection(how="median"), InvalidSlice, "'median'"),
        (lambda found: found.overlay(channel=1), InvalidSlice, "no channel number 1"),
        (lambda found: found.overlay(colormap="rain"), UnknownChoice, "colour map"),
    ],
)
def test_a_drawing_that_cannot_be_is_refused(call: Any, error: type[Exception], said: str, found: VolumeExplanation):
    with pytest.raises(error, match=said):
        call(found)


def test_frames_of_three_channels_are_drawn_in_colours():
    """A video: a red bump is red where no heat lies over it."""
    video = planted((3, 8, 12), (6, 16, 24), channel=0, channels=3)
    drawn = explainer(6, 16, 24, channels=3)(video, 0).overlay(0.0, slice=3).array.astype(int)
    middle = drawn[round(8.5 * drawn.shape[0] / 16), round(12.5 * drawn.shape[1] / 24)]
    assert middle[0] > 200
    assert middle[1:].max() < 60
    alone = explainer(6, 16, 24, channels=3)(video, 0).overlay(0.0, slice=3, channel=2).array
    assert alone[40:].max() < 5


def test_a_volume_of_zeros_is_drawn_too():
    found = explainer()(np.zeros((2, *SIDES)), 0)
    assert found.status == "all-zero"
    assert found.strongest() == SIDES[0] // 2
    assert found.mosaic(legend=True).array.size


def test_the_command_writes_a_mosaic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    onnxcam, x = Command(monkeypatch, capsys), planted(PLACES[1], SIDES, channel_axis=-1)
    model = saved(bumps(*SIDES, channel_axis=-1), tmp_path / "net.onnx")
    np.save(tmp_path / "volume.npy", x)
    ran = onnxcam("explain", model, tmp_path / "volume.npy", "-o", tmp_path / "out", "--save-heatmap")
    assert ran.code == 0, ran.err
    expected = explainer(channel_axis=-1)(x)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "volume.cam.npy"), expected.heatmap)
    drawn = cv2.imread(str(tmp_path / "out" / "volume.cam.png"))[..., ::-1]
    np.testing.assert_array_equal(drawn, expected.mosaic().array)
