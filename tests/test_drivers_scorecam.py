"""Score-CAM and its kin, against what the paper and the peers say in a few lines of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from driver_probes import Net, in_numpy, on_region, picture, probe_of
from torch.nn import functional as F

from onnxcam.drivers import DRIVERS, Floats, Probe, find, from_functions
from onnxcam.errors import InvalidOption, UnknownOption

TARGET = 2


def rescaled(maps: torch.Tensor, epsilon: float) -> torch.Tensor:
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low + epsilon)


def grown(maps: torch.Tensor, size: tuple[int, int], *, corners: bool = False) -> torch.Tensor:
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=corners)[0]


def expected(x: Floats, masks: torch.Tensor, strengths: tuple[float, ...] = (1.0,)) -> Floats:
    """Σ softmax(mean score of the masked pictures)·a."""
    net = Net()
    with torch.no_grad():
        a, image = net.features(torch.from_numpy(x)[None])[0], torch.from_numpy(x)
        scores = sum(net(strength * image * masks[:, None])[:, TARGET] for strength in strengths) / len(strengths)
        return torch.einsum("k,khw->hw", torch.softmax(scores, 0), a).numpy()


def activation(x: Floats) -> torch.Tensor:
    return torch.from_numpy(in_numpy(Net().features)(x[None])[0])


def test_the_mask_is_the_channel_at_the_pictures_size_between_0_and_1():
    x = picture()
    masks = rescaled(grown(activation(x), x.shape[1:]), 1e-8)
    np.testing.assert_allclose(DRIVERS["scorecam"](probe_of(Net(), x)), expected(x, masks), atol=2e-5)


def test_pytorch_grad_cam_stretches_masks_from_corner_to_corner():
    x = picture()
    masks = rescaled(grown(activation(x), x.shape[1:], corners=True), 1e-8)
    found = find("scorecam", "pytorch-grad-cam")(probe_of(Net(), x))
    np.testing.assert_allclose(found, expected(x, masks), atol=2e-5)
    assert np.abs(found - DRIVERS["scorecam"](probe_of(Net(), x))).max() > 1e-4


def test_torchcam_scales_masks_before_they_are_stretched():
    x = picture()
    masks = grown(rescaled(activation(x), 1e-8), x.shape[1:])
    found = find("scorecam", "torchcam")(probe_of(Net(), x))
    np.testing.assert_allclose(found, expected(x, masks), atol=2e-5)
    assert np.abs(found - DRIVERS["scorecam"](probe_of(Net(), x))).max() > 1e-4


def test_iscam_takes_the_mean_over_strengths_up_to_the_whole():
    x = picture()
    masks = rescaled(grown(activation(x), x.shape[1:]), 1e-8)
    found = DRIVERS["iscam"](probe_of(Net(), x), {"samples": 4})
    np.testing.assert_allclose(found, expected(x, masks, (0.25, 0.5, 0.75, 1.0)), atol=2e-5)


def test_torchcams_iscam_adds_the_strengths_up():
    x = picture()
    masks = grown(rescaled(activation(x), 1e-8), x.shape[1:])
    found = find("iscam", "torchcam")(probe_of(Net(), x), {"samples": 4})
    np.testing.assert_allclose(found, expected(x, masks, (0.25, 0.75, 1.5, 2.5)), atol=2e-5)


@pytest.mark.parametrize("like", [None, "torchcam"])
def test_sscam_without_noise_is_scorecam(like: str | None):
    x = picture()
    found = find("sscam", like)(probe_of(Net(), x), {"samples": 2, "sigma": 0})
    np.testing.assert_allclose(found, find("scorecam", like)(probe_of(Net(), x)), atol=1e-6)


def test_sscams_noise_has_the_deviation_that_was_asked_for_and_the_seeds_numbers():
    x, seen = np.ones((1, 40, 50), np.float32), []
    a = np.linspace(0, 1, 20, dtype=np.float32).reshape(1, 1, 4, 5)

    def watched(batch: Floats) -> Floats:
        seen.extend(batch[:, 0])
        return batch.sum((1, 2, 3))

    def probe() -> Probe:
        return from_functions(x, score=watched, activation=lambda batch: a)

    for seed in (1, 1, 2):
        DRIVERS["sscam"](probe(), {"samples": 6, "sigma": 0.5, "seed": seed})
    first, again, other = (np.array(seen[at : at + 6]) for at in (0, 6, 12))
    assert abs((first - first.mean(0)).std() - 0.5 * np.sqrt(5 / 6)) < 0.01
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1


def test_flat_channels_cost_one_pass_and_weigh_as_an_empty_picture_does():
    x = picture(channels=1)
    a = np.stack([np.zeros((4, 4)), np.full((4, 4), 3.0), np.eye(4)]).astype(np.float32)
    probe = from_functions(x, score=lambda batch: batch.sum((1, 2, 3)) / 100, activation=lambda batch: a[None])
    found = DRIVERS["scorecam"](probe)
    assert probe.passes == 1 + 1 + 1  # the activation, the one channel that varies, the empty picture
    mask = rescaled(grown(torch.from_numpy(a[2:]), x.shape[1:]), 1e-8).numpy()
    scores = np.array([0, 0, (x * mask).sum() / 100])
    weights = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(found, np.tensordot(weights, a, 1), rtol=1e-5)


def test_the_fast_variant_looks_at_the_channels_that_vary_most():
    x = picture()
    a = activation(x).numpy()
    chosen = np.argsort(-a.std((1, 2)))[:3]
    masks = rescaled(grown(torch.from_numpy(a[chosen]), x.shape[1:]), 1e-8)
    with torch.no_grad():
        scores = Net()(torch.from_numpy(x) * masks[:, None])[:, TARGET]
    probe = probe_of(Net(), x)
    found = DRIVERS["faster-scorecam"](probe, {"channels": 3})
    np.testing.assert_allclose(found, np.tensordot(torch.softmax(scores, 0).numpy(), a[chosen], 1), atol=2e-5)
    assert probe.passes == 1 + 3


def test_another_blank_shows_through_where_the_mask_hides():
    x = picture(channels=1)
    a = np.eye(4, dtype=np.float32)[None, None]
    shown = []

    def watched(batch: Floats) -> Floats:
        shown.extend(batch)
        return batch.sum((1, 2, 3))

    probe = from_functions(x, score=watched, activation=lambda batch: a, white=2.0)
    DRIVERS["scorecam"](probe, {"fill": "white"})
    assert abs(shown[0][0, 0, -1] - 2) < 1e-6


def test_an_interrupted_run_keeps_the_channels_that_were_reached():
    x, net, calls = picture(), Net(), []

    def score(batch: Floats) -> Floats:
        calls.append(len(batch))
        if len(calls) > 2:
            raise KeyboardInterrupt
        return in_numpy(lambda b: net(b)[:, TARGET])(batch)

    probe = from_functions(x, score=score, activation=in_numpy(net.features), batch_size=2)
    found = DRIVERS["scorecam"](probe)
    whole = DRIVERS["scorecam"](probe_of(net, x), {"channels": 4})
    assert probe.interrupted
    np.testing.assert_allclose(found, whole, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("scorecam", {"channels": 0}, "channels of the method 'scorecam' is 0, but must be 1 or more"),
        ("sscam", {"samples": 0}, "must be 1 or more"),
        ("sscam", {"sigma": -1}, "must be 0 or more"),
        ("sscam", {"seed": -1}, "must be 0 or more"),
        ("iscam", {"samples": 0}, "must be 1 or more"),
        ("scorecam", {"fill": "pink"}, "must be 'zero' or 'mean'"),
        ("scorecam", {"channels": "many"}, r"must be a whole number \(1 or more\) or none"),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: dict[str, object], said: str):
    with pytest.raises(InvalidOption, match=said):
        DRIVERS[name](probe_of(Net(), picture()), options)


def test_an_unknown_option_names_its_neighbours():
    with pytest.raises(UnknownOption, match="Did you mean 'channels'"):
        DRIVERS["scorecam"](on_region(picture()), {"chanels": 3})
