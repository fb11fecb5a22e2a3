"""Single channels: what each sees, and what it contributes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import Command

import onnxcam
from onnxcam.api import explainer_of
from onnxcam.demo import MODEL, SCENE
from onnxcam.errors import NoChannels, UnknownChoice


@pytest.fixture(scope="module")
def explained() -> onnxcam.Explanation:
    graph = onnxcam.convert(MODEL, outputs=["activation", "gradient", "raw_map"])
    return explainer_of(graph)(SCENE, channels=True)


def test_contributions_sum_to_the_raw_map(explained: onnxcam.Explanation):
    explainer = explainer_of(onnxcam.convert(MODEL, outputs=["raw_map"], normalize="captum"))
    expected = explainer(SCENE).map
    total = np.sum([channel.map for channel in explained.channels()], axis=0)
    resized = cv2.resize(total, expected.shape[::-1], interpolation=cv2.INTER_NEAREST)
    np.testing.assert_allclose(resized, expected, atol=1e-5 * np.abs(expected).max())


def test_a_contribution_is_the_mean_gradient_times_the_activation(explained: onnxcam.Explanation):
    channel = explained.channels(1)[0]
    weight = explained.parts.gradient[channel.index].mean()
    assert channel.weight == pytest.approx(weight, rel=1e-5)
    np.testing.assert_allclose(channel.map, weight * explained.parts.activation[channel.index], rtol=1e-5)


def test_the_first_weigh_most(explained: onnxcam.Explanation):
    sizes = [np.abs(channel.map).sum() for channel in explained.channels()]
    assert sizes == sorted(sizes, reverse=True)
    assert len(explained.channels(3)) == 3


def test_the_activation_itself_can_be_seen(explained: onnxcam.Explanation):
    channel = explained.channels(of="activation")[0]
    np.testing.assert_array_equal(channel.map, explained.parts.activation[channel.index])
    with pytest.raises(UnknownChoice, match="no view of channels named 'weights'"):
        explained.channels(of="weights")


def test_the_gallery_has_a_tile_for_each_channel(explained: onnxcam.Explanation):
    height, width = explained.gallery(5).array.shape[:2]
    assert width % 3 == 0
    assert height % 2 == 0
    assert explained.gallery(1).array.shape[1] == width // 3


def test_a_graph_without_activations_says_how_to_get_them(explained: onnxcam.Explanation):
    explainer = explainer_of(onnxcam.convert(MODEL))
    with pytest.raises(NoChannels, match="--add-output activation"):
        explainer(SCENE, channels=True)
    with pytest.raises(NoChannels):
        explainer(SCENE).channels()


def test_several_targets_have_channels_of_their_own():
    graph = onnxcam.convert(MODEL, outputs=["activation", "gradient"], multi_target=True)
    first, second = explainer_of(graph)(SCENE, [0, 1], channels=True)
    np.testing.assert_array_equal(first.parts.activation, second.parts.activation)
    assert not np.array_equal(first.parts.gradient, second.parts.gradient)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.mark.parametrize("method", ["gradcam", "eigencam"])
def test_the_command_writes_the_gallery_beside_the_overlay(command: Command, tmp_path: Path, method: str):
    ran = command("explain", MODEL, SCENE, "-o", tmp_path, "--channels", "4", "--method", method)
    assert ran.code == 0, ran.err
    assert cv2.imread(str(tmp_path / "scene.channels.cam.png")).shape[1] > 300


@pytest.mark.parametrize("view", ["activation", "contribution"])
def test_the_command_shows_the_view_that_is_asked_for(
    command: Command, tmp_path: Path, explained: onnxcam.Explanation, view: str
):
    ran = command("explain", MODEL, SCENE, "-o", tmp_path, "--channels", "4", "--channel-view", view)
    assert ran.code == 0, ran.err
    written = cv2.imread(str(tmp_path / "scene.channels.cam.png"))[..., ::-1]
    np.testing.assert_array_equal(written, explained.gallery(4, of=view).array)


def test_a_view_that_does_not_exist_is_an_error_before_any_work(command: Command, tmp_path: Path):
    ran = command("explain", MODEL, SCENE, "-o", tmp_path, "--channels", "4", "--channel-view", "weights")
    assert (ran.code, len(ran.err)) == (1, 1)
    assert "no view of channels named 'weights'" in ran.err[0]
    assert list(tmp_path.iterdir()) == []


def test_a_view_without_channels_is_a_usage_error(command: Command, tmp_path: Path):
    assert command("explain", MODEL, SCENE, "-o", tmp_path, "--channel-view", "activation").code == 2
