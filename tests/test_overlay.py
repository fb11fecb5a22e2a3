"""Heatmaps over photos: the blend rules by their formulas, regions, legend, and files written whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pil

from onnxcam.errors import CannotWriteFile, HeatmapRangeError, UnknownChoice, UnknownPictureFormat
from onnxcam.legend import PAPER, with_legend
from onnxcam.overlay import BLENDS, COLORMAPS, blend, coloured
from onnxcam.picture import SUFFIXES, Picture
from onnxcam.regions import hot_box, with_box, with_contour


def photo(height: int = 30, width: int = 40) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 200, (height, width, 3), dtype=np.uint8)


def warm(height: int = 30, width: int = 40) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((height, width), dtype=np.float32)


def jet(heatmap: NDArray[np.float32]) -> NDArray[np.float64]:
    """OpenCV's own jet, RGB in [0, 1]."""
    return cv2.applyColorMap(np.uint8(255 * heatmap), cv2.COLORMAP_JET)[..., ::-1] / 255.0


FORMULAS = {
    "alpha": lambda image, colours, a: 255 * (a * colours + (1 - a) * image),
    "pytorch-grad-cam": lambda image, colours, a: (
        255 * (a * colours + (1 - a) * image) / (a * colours + (1 - a) * image).max()
    ),
    "add": lambda image, colours, a: 255 * np.minimum(a * colours + image, 1),
}


@pytest.mark.parametrize("rule", FORMULAS)
@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_every_blend_rule_computes_its_formula(rule: str, alpha: float) -> None:
    image, heatmap = photo(), warm()
    expected = FORMULAS[rule](image / 255.0, jet(heatmap), alpha)
    got = blend(image, heatmap, alpha=alpha, colormap="jet", rule=rule)
    assert got.dtype == np.uint8
    assert np.abs(got - expected).max() <= 1.001 if rule == "pytorch-grad-cam" else 0.501


def test_every_blend_rule_has_a_formula() -> None:
    assert set(BLENDS) == set(FORMULAS)


def test_pytorch_grad_cams_rule_cuts_fractions_off() -> None:
    image, heatmap = photo(), warm()
    mixture = np.float32(0.5) * np.float32(jet(heatmap)) + np.float32(0.5) * np.float32(image / 255)
    expected = np.uint8(255 * (mixture / mixture.max()))
    got = blend(image, heatmap, colormap="jet", rule="pytorch-grad-cam")
    assert np.mean(got == expected) > 0.999


def test_no_heat_at_all_leaves_the_photo_as_it_was() -> None:
    assert np.array_equal(blend(photo(), warm(), alpha=0), photo())


def test_a_black_photo_under_no_heat_stays_black() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert not blend(black, np.zeros((4, 4), np.float32), alpha=0, rule="pytorch-grad-cam").any()


@pytest.mark.parametrize("name", ["viridis", "inferno", "turbo", "Jet"])
def test_colour_maps_are_opencvs_by_name(name: str) -> None:
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (2, 1))
    number = getattr(cv2, f"COLORMAP_{name.upper()}")
    assert np.array_equal(coloured(ramp, name)[..., ::-1], cv2.applyColorMap(np.uint8(ramp * 255), number))
    assert len(COLORMAPS) >= 20


def test_a_small_heatmap_is_scaled_to_the_photo() -> None:
    small = np.array([[0, 1]], np.float32)
    got = blend(photo(), small, alpha=1, colormap="bone")[..., 1].astype(int)
    assert (np.diff(got, axis=1) >= 0).all()
    assert got[:, 0].max() < 5 < 250 < got[:, -1].min()


BAD = [
    ("colour map", {"colormap": "virids"}, UnknownChoice, "no colour map named 'virids'. Did you mean 'viridis'"),
    ("rule", {"rule": "alhpa"}, UnknownChoice, "no blend rule named 'alhpa'. Did you mean 'alpha'"),
    ("above 1", {"heatmap": warm() * 3}, HeatmapRangeError, "Normalise it first"),
    ("below 0", {"heatmap": warm() - 1}, HeatmapRangeError, "Normalise it first"),
    ("not a number", {"heatmap": warm() * np.float32("nan")}, HeatmapRangeError, "finite numbers"),
]


@pytest.mark.parametrize(("given", "kind", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_overlay_is_an_error_that_says_what_is_wrong(
    given: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        blend(photo(), **{"heatmap": warm(), **given})


def hot_spot() -> NDArray[np.float32]:
    """A large region up to 0.8 and a small one with the maximum."""
    heatmap = np.zeros((60, 80), np.float32)
    heatmap[10:30, 20:50] = 0.8
    heatmap[50:54, 70:74] = 1.0
    return heatmap


def test_the_box_lies_around_the_largest_hot_region() -> None:
    assert hot_box(hot_spot()) == (20, 10, 50, 30)
    assert hot_box(hot_spot(), 0.9) == (70, 50, 74, 54)


def test_a_heatmap_of_zeros_has_no_hot_region() -> None:
    nothing, image = np.zeros((60, 80), np.float32), photo(60, 80)
    assert hot_box(nothing) is None
    assert np.array_equal(with_box(image, nothing), image)
    assert np.array_equal(with_contour(image, nothing), image)


def test_box_and_contour_change_pixels_at_the_regions_edge_only() -> None:
    image = photo(60, 80)
    for draw, regions in ((with_box, 1), (with_contour, 2)):
        changed = (draw(image, hot_spot()) != image).any(axis=2)
        assert changed[10, 35]
        assert not changed[15:26, 25:46].any()
        assert not changed[35:46].any()
        assert changed[45:60, 65:80].any() == (regions == 2)
        assert np.array_equal(image, photo(60, 80))


@pytest.mark.parametrize("width", [32, 224, 500, 1600])
def test_the_legend_keeps_every_letter_inside_the_picture(width: int) -> None:
    lines = ["Egyptian cat, tabby: 12.34", "gradcam++ at features.denseblock4.denselayer16.conv2"]
    image = photo(50, width)
    got = with_legend(image, lines, colormap="viridis")
    strip = got[50 + 45 :] if width == 1600 else got[50 + 12 :]
    assert np.array_equal(got[:50], image)
    assert got.shape[1] == width
    assert (strip < 100).all(axis=2).sum() > width  # there is ink
    assert (strip[:, [0, 1, -2, -1]] == PAPER).all()
    assert (strip[-2:] == PAPER).all()


def test_a_longer_text_takes_more_rows_and_not_less_of_the_text() -> None:
    heights = [with_legend(photo(), ["cat " * count], colormap="jet").shape[0] for count in (1, 20, 40)]
    assert heights[0] < heights[1] < heights[2]


def test_letters_that_this_opencv_lacks_do_no_harm() -> None:
    assert with_legend(photo(), ["déjà 猫 \N{GRINNING FACE}"], colormap="jet").shape[0] > 30


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_is_saved_in_the_format_of_its_ending(tmp_path: Path, suffix: str) -> None:
    path = Picture(photo()).save(tmp_path / f"Bär{suffix}")
    with Pil.open(path) as image:
        expected = {".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper())
        assert image.format == expected
        assert image.size == (40, 30)
        if expected in ("PNG", "BMP", "TIFF"):
            assert np.array_equal(np.asarray(image), photo())


def test_a_notebook_gets_a_png() -> None:
    with Pil.open(io.BytesIO(Picture(photo())._repr_png_())) as image:
        assert np.array_equal(np.asarray(image), photo())


def test_an_unknown_ending_is_an_error_that_lists_those_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownPictureFormat, match=r"names no picture format.*\.png, \.jpg"):
        Picture(photo()).save(tmp_path / "cam.pgn")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", ["missing", "a file"])
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(CannotWriteFile, match="cannot be written"):
        Picture(photo()).save(tmp_path / folder / "cam.png")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "cam.png"
    path.write_bytes(b"old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CannotWriteFile, match="No space left on device"):
        Picture(photo()).save(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["cam.png"]
