"""Signals (C, L) explained: arrays and .npy files in, heatmaps along the axis and plots out."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import Command, photo, saved
from explain_graphs import colours
from PIL import Image
from signal_nets import bump, bumps, planted

from onnxcam import Explainer, SignalExplanation, convert
from onnxcam.errors import (
    ArrayMismatch,
    ArrayNotFound,
    ArrayNotReadable,
    InvalidArray,
    InvalidPreprocessing,
    InvalidSlice,
    NotAnArray,
    OnlyForPictures,
    OnlyPictures,
    OnnxCamError,
    UnsupportedImage,
)

L = 80


def explainer(length: int | str = L, *, channels: int = 2, channel_axis: int = 0, **wish: Any) -> Explainer:
    return Explainer(convert(bumps(length, channels=channels, channel_axis=channel_axis), **wish).to_bytes(), threads=1)


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.fixture
def onnxcam(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.mark.parametrize("channel_axis", [0, -1], ids=["channels first", "channels last"])
@pytest.mark.parametrize("channels", [2, 12])
@pytest.mark.parametrize("at", [9, 40, 71])
def test_the_heatmap_peaks_where_the_bump_is(at: int, channels: int, channel_axis: int):
    found = explainer(channels=channels, channel_axis=channel_axis)(
        planted((at,), (L,), channel=channels - 1, channels=channels, channel_axis=channel_axis), 1
    )
    assert isinstance(found, SignalExplanation)
    assert (found.heatmap.shape, found.heatmap.dtype, found.status) == ((L,), np.float32, "ok")
    assert int(found.heatmap.argmax()) == at
    assert found.heatmap[np.abs(np.arange(L) - at) > 10].max() < 0.01


def test_grad_cam_is_the_running_sum_of_the_bump():
    """The class's score is its channel's mean, so its map is the channel itself: a sum over three samples."""
    x = planted((30,), (L,))
    sums = np.convolve(x[0], np.ones(3), "same")
    np.testing.assert_allclose(explainer()(x, 0).heatmap, sums / sums.max(), atol=1e-5)


def test_a_signal_of_one_channel_needs_no_axis_for_it():
    x = bump((50,), (L,))
    for channel_axis in (0, -1):
        one = explainer(channels=1, channel_axis=channel_axis)
        whole = np.expand_dims(x, channel_axis)
        np.testing.assert_array_equal(one(x, 0).heatmap, one(whole, 0).heatmap)
        assert one(x, 0).array.shape == (1, L)


def test_score_class_and_array_are_told():
    x = planted((30,), (L,), channel=1, channel_axis=-1)
    found = explainer(channel_axis=-1, labels=["left", "right"])(x)
    assert (found.target_index, found.label, found.name) == (1, "right", "right")
    np.testing.assert_allclose(found.target_score, np.convolve(x[:, 1], np.ones(3), "same").mean(), rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0, found.target_score], atol=1e-6)
    np.testing.assert_array_equal(found.array, x.T)


@pytest.mark.parametrize("make", [list, tuple, np.stack], ids=["list", "tuple", "array"])
def test_several_give_what_each_gives_alone(make: Callable[[Any], Any]):
    signals = [planted((at,), (L,), channel=at % 2) for at in (11, 34, 60)]
    one = explainer()
    many = one(make(signals), batch_size=2)
    assert [int(found.heatmap.argmax()) for found in many] == [11, 34, 60]
    for found, signal in zip(many, signals, strict=True):
        np.testing.assert_allclose(found.heatmap, one(signal).heatmap, atol=1e-6)


def test_where_the_length_is_open_several_may_differ_in_it():
    found = explainer("LENGTH")([planted((11,), (40,)), planted((70,), (90,)), planted((5,), (40,))])
    assert [len(one.heatmap) for one in found] == [40, 90, 40]
    assert [int(one.heatmap.argmax()) for one in found] == [11, 70, 5]


def test_several_targets_give_the_maps_that_each_gives_alone():
    x = planted((11,), (L,)) + planted((60,), (L,), channel=1)
    many = explainer(multi_target=True)(x, [0, 1])
    assert [int(found.heatmap.argmax()) for found in many] == [11, 60]
    for target, found in enumerate(many):
        np.testing.assert_allclose(found.heatmap, explainer()(x, target).heatmap, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int16", "bool", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_its_bytes_and_the_array_are_the_same(dtype: str, order: Any, tmp_path: Path):
    x = np.asarray(np.rint(planted((30,), (L,), channel=1)), dtype, order=order)
    np.save(tmp_path / "signal.npy", x)
    wanted = explainer()(x.astype(np.float32))
    assert wanted.heatmap.any()
    for source in (x, tmp_path / "signal.npy", str(tmp_path / "signal.npy"), npy(x)):
        np.testing.assert_array_equal(explainer()(source).heatmap, wanted.heatmap)


def test_silence_has_a_map_of_zeros_and_says_so():
    found = explainer()(np.zeros((2, L)))
    assert (found.status, bool(found.heatmap.any())) == ("all-zero", False)
    assert found.overlay().array.any()


FROM_SILENCE = {"baselines": ("zero",)}


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("smoothgrad", {"noise": 0.01, "of": "input"}),
        ("squaregrad", {"noise": 0.01, "of": "input"}),
        ("integrated-gradients", {}),
        ("guided-ig", {}),
        ("expected-gradients", FROM_SILENCE),
        ("gradient-shap", FROM_SILENCE),
    ],
)
def test_methods_of_many_gradients_find_the_bump(driver: str, options: dict[str, Any]):
    found = explainer(method=driver)(planted((30,), (L,)), 0, options=options)
    assert found.method == driver
    assert found.attribution is not None
    assert found.attribution.shape == (2, L)
    assert abs(int(found.heatmap.argmax()) - 30) <= 2
    assert found.heatmap[np.abs(np.arange(L) - 30) > 10].max() < 0.3


def test_integrated_gradients_add_up_to_the_score():
    x = planted((30,), (L,), channel_axis=-1)
    found = explainer(method="integrated-gradients", channel_axis=-1)(x, 0)
    assert found.attribution is not None
    np.testing.assert_allclose(found.attribution.sum(), found.target_score, rtol=1e-4)
    np.testing.assert_allclose(found.attribution[:, 1], 0)


@pytest.mark.parametrize("channel_axis", [0, -1])
def test_occlusion_is_what_the_score_loses(channel_axis: int):
    x = planted((30,), (L,), channel_axis=channel_axis)
    one = explainer(channel_axis=channel_axis, normalize="captum")
    found = one(x, 0, driver="occlusion", options={"window": 5, "stride": 5, "fill": "zero"})
    axis = 0 if channel_axis else 1
    whole = np.convolve(x.sum(1 - axis), np.ones(3), "same").mean()
    for start in (0, 25, 30):
        hidden = x.sum(1 - axis)
        hidden[start : start + 5] = 0
        loss = whole - np.convolve(hidden, np.ones(3), "same").mean()
        np.testing.assert_allclose(found.heatmap[start : start + 5], loss, atol=1e-5)


def test_rise_finds_the_bump():
    found = explainer()(planted((30,), (L,)), 0, driver="rise", options={"masks": 400})
    assert abs(int(found.heatmap.argmax()) - 30) < 8
    again = explainer()(planted((30,), (L,)), 0, driver="rise", options={"masks": 400})
    np.testing.assert_array_equal(found.heatmap, again.heatmap)


@pytest.mark.parametrize("driver", ["lime", "sess", "tta"])
def test_methods_that_change_pictures_are_refused(driver: str):
    with pytest.raises(OnlyPictures, match=driver):
        explainer()(planted((30,), (L,)), 0, driver=driver)


def with_hole() -> Any:
    x = planted((30,), (L,))
    x[1, 7] = np.nan
    return x


BAD = [
    # name, what is given, error, what it says
    ("transposed", np.zeros((L, 2)), ArrayMismatch, r"numpy\.moveaxis\(array, -1, 0\)"),
    ("too short", np.zeros((2, L - 1)), ArrayMismatch, r"\(2, 80\) as \(channels, length\).*\(2, 79\)"),
    ("without channels", np.zeros(L), ArrayMismatch, r"has shape \(80,\)"),
    ("another number of channels", np.zeros((3, L)), ArrayMismatch, r"has shape \(3, 80\)"),
    ("too many axes", np.zeros((1, 1, 2, L)), ArrayMismatch, r"has shape \(1, 1, 2, 80\)"),
    ("a picture", np.zeros((30, 30, 3), np.uint8), ArrayMismatch, r"has shape \(30, 3\)"),
    ("empty", np.zeros((2, 0)), InvalidArray, r"is empty: its shape is \(2, 0\)"),
    ("not finite", with_hole(), InvalidArray, r"1 of 160 values .* first at \[1, 7\]"),
    ("overflows", np.full((2, L), 1e300), InvalidArray, "not finite"),
    ("objects", np.full((2, L), None), InvalidArray, "holds objects"),
    ("texts", np.full((2, L), "a"), InvalidArray, "not real numbers"),
    ("complex", np.zeros((2, L), complex), InvalidArray, "holds complex128"),
    ("a PIL image", Image.new("RGB", (4, 4)), NotAnArray, "a Image is no array"),
    ("numbers", [1.0, 2.0], NotAnArray, "a float is no array"),
    ("no file", "nowhere.npy", ArrayNotFound, "no array at 'nowhere.npy'"),
    ("a folder", ".", ArrayNotReadable, "cannot be opened"),
    ("no .npy", b"RIFF and so on", NotAnArray, "no .npy file"),
    ("empty bytes", b"", NotAnArray, "no .npy file"),
    ("cut short", npy(np.zeros((2, L)))[:-8], NotAnArray, "damaged"),
    ("cut in the header", npy(np.zeros((2, L)))[:20], NotAnArray, "damaged"),
    ("pickled", npy(np.full((2, L), None)), InvalidArray, "holds objects"),
    ("a file with nothing", npy(np.zeros((0, L))), InvalidArray, "is empty"),
    ("a structure", npy(np.zeros((2, L), [("a", "f4")])), InvalidArray, "not real numbers"),
]


@pytest.mark.parametrize(("given", "error", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_signal_is_refused_in_one_line(given: Any, error: type[OnnxCamError], said: str):
    with pytest.raises(error, match=said) as caught:
        explainer()(given)
    assert "\n" not in str(caught.value)


def test_a_header_that_promises_too_much_takes_no_memory():
    data = npy(np.zeros((2, L))).replace(b"(2, 80)", b"(2, 8" + b"0" * 12 + b")").replace(b" " * 12 + b"\n", b"\n")
    with pytest.raises(NotAnArray, match="damaged"):
        explainer()(data)


def test_a_signal_for_a_model_of_pictures_is_refused():
    with pytest.raises(UnsupportedImage, match=r"\(80,\)"):
        Explainer(colours().SerializeToString(), threads=1)(np.zeros(L, np.float32))


def test_what_only_pictures_have_is_refused():
    with pytest.raises(OnlyForPictures, match=r"single channels is for.*signals of shape"):
        explainer(outputs=["activation"])(np.ones((2, L)), channels=True)
    with pytest.raises(InvalidPreprocessing, match="signals of shape"):
        Explainer(convert(bumps(L)).to_bytes(), preprocess="torchvision")


def test_the_plot_is_red_at_the_bump_and_white_elsewhere():
    """The shade runs over the whole height of each channel's field: a row without a line shows it alone."""
    found = explainer()(planted((60,), (L,)), 0)
    plot = found.overlay(1.0).array.astype(int)
    row = plot[20:200].max(axis=0)  # of each column the lightest, so that lines and rules do not count
    coloured = row[:, 0] - row[:, 2] > 40
    columns = np.flatnonzero(coloured)
    fields = np.flatnonzero((plot[20:200] < 200).all(axis=2).mean(axis=0) > 0.8)  # the frame's two sides
    left, right = fields.min(), fields.max()
    middle = (columns.min() + columns.max()) / 2
    assert abs((middle - left) / (right - left) - 60.5 / L) < 0.01
    assert columns.max() - columns.min() < (right - left) * 16 / L


def test_the_line_is_drawn_where_the_values_are():
    """A step: its first half lies low, its second high."""
    x = np.concatenate([np.zeros(40), np.ones(40)]).astype(np.float32)
    field = explainer(channels=1)(x, 0).overlay(0.0).array[16:200, 90:980]
    dark = (field < 60).all(axis=2)
    left, right = (np.flatnonzero(part.any(axis=1)) for part in (dark[2:-2, 20:400], dark[2:-2, 500:870]))
    assert left.min() > right.max() + 80


def test_a_long_signal_keeps_its_peaks():
    rows = explainer("LENGTH", channels=1)(bump((33333,), (100_000,)), 0)
    field = rows.overlay(0.0).array[16:200, 90:980]
    top = np.flatnonzero((field[10:30] < 90).all(axis=2).any(axis=0))
    assert 0 < len(top) < 12
    above = rows.overlay(1.0).array[20].astype(int)  # where the line does not reach; a pixel is a hundred samples
    assert (above[:, 0] - above[:, 2] > 100).any()


def test_channels_can_be_chosen_and_named():
    found = explainer(channels=20)(planted((30,), (L,), channels=20), 0)
    tall, one = found.overlay().array, found.overlay(channels=[3], names=[f"V{n}" for n in range(20)]).array
    assert tall.shape[0] > 2 * one.shape[0]
    assert tall.shape[1] == one.shape[1]
    same = found.overlay(channels=[3]).array
    assert (one != same).any()


@pytest.mark.parametrize(
    "options", [{"channels": [20]}, {"channels": []}, {"names": ["a"]}, {"rate": 0.0}, {"rate": float("nan")}]
)
def test_a_drawing_that_cannot_be_is_refused(options: dict[str, Any]):
    with pytest.raises(InvalidSlice):
        explainer()(np.ones((2, L)), 0).overlay(**options)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_shortest_signals_are_drawn(length: int):
    found = explainer("LENGTH")(np.ones((2, length)), 0)
    assert found.overlay(legend=True, rate=100.0).array.shape[1] == 1000


def test_the_command_writes_plot_and_heatmap(tmp_path: Path, onnxcam: Command):
    model, x = saved(bumps(L), tmp_path / "net.onnx"), planted((30,), (L,), channel=1)
    np.save(tmp_path / "signal.npy", x)
    ran = onnxcam("explain", model, tmp_path / "signal.npy", "-o", tmp_path, "--save-heatmap", "--legend")
    assert ran.code == 0, ran.err
    np.testing.assert_array_equal(np.load(tmp_path / "signal.cam.npy"), explainer()(x).heatmap)
    np.testing.assert_array_equal(np.load(tmp_path / "signal.npy"), x)
    drawn = cv2.imread(str(tmp_path / "signal.cam.png"))[..., ::-1]
    np.testing.assert_array_equal(drawn, explainer()(x).overlay(legend=True).array)
    assert any("signals of shape (2, 80)" in line for line in ran.err)
    assert not any("preprocessing is known" in line for line in ran.err)


def test_a_folder_is_searched_for_arrays_alone(tmp_path: Path, onnxcam: Command):
    model = saved(bumps(L), tmp_path / "net.onnx")
    for name in ("a.npy", "b.npy", "old.cam.npy"):
        np.save(tmp_path / name, planted((30,), (L,)))
    photo(tmp_path / "photo.png")
    ran = onnxcam("explain", model, tmp_path, "-o", tmp_path / "out", "--target", "0", "--target", "1")
    assert ran.code == 0, ran.err
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a.0.cam.png", "a.1.cam.png", "b.0.cam.png", "b.1.cam.png"]


def test_a_folder_without_arrays_is_refused(tmp_path: Path, onnxcam: Command):
    model = saved(bumps(L), tmp_path / "net.onnx")
    photo(tmp_path / "photos" / "photo.png")
    ran = onnxcam("explain", model, tmp_path / "photos", "-o", tmp_path)
    assert ran.code != 0
    assert ran.err[-1].startswith("error: no array at")


@pytest.mark.parametrize(
    ("option", "said"),
    [(["--contour"], "--contour is for"), (["--report", "r.html"], "--report is for"), (["--channels", "4"], "--ch")],
)
def test_options_for_pictures_are_refused(option: list[str], said: str, tmp_path: Path, onnxcam: Command):
    model = saved(bumps(L), tmp_path / "net.onnx")
    np.save(tmp_path / "signal.npy", planted((30,), (L,)))
    ran = onnxcam("explain", model, tmp_path / "signal.npy", "-o", tmp_path, *option)
    assert ran.code != 0
    assert ran.err[-1].startswith(f"error: {said}")


def test_one_bad_file_leaves_the_others_alone(tmp_path: Path, onnxcam: Command):
    model = saved(bumps(L), tmp_path / "net.onnx")
    np.save(tmp_path / "good.npy", planted((30,), (L,)))
    np.save(tmp_path / "short.npy", np.zeros((2, 5)))
    ran = onnxcam("explain", model, tmp_path / "short.npy", tmp_path / "good.npy", "-o", tmp_path)
    assert ran.code != 0
    assert (tmp_path / "good.cam.png").exists()
    assert any("(2, 5)" in line for line in ran.err)


def test_an_array_for_a_model_of_pictures_is_an_error_of_ours(tmp_path: Path, onnxcam: Command):
    model = saved(colours(), tmp_path / "colours.explain.onnx")
    np.save(tmp_path / "signal.npy", np.zeros(L))
    ran = onnxcam("explain", model, tmp_path / "signal.npy", "-o", tmp_path)
    assert ran.code != 0
    assert "holds an array" in ran.err[-1]
