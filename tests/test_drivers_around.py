"""The methods around another one: test-time augmentation and SESS."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from driver_probes import Net, in_numpy, picture
from numpy.typing import NDArray
from torch.nn import functional as F

from onnxcam.drivers import DRIVERS, Floats, Probe, from_functions
from onnxcam.drivers.sess import sizes, windows_of
from onnxcam.errors import InvalidOption

TARGET = 1


def gradcam(batch: Floats) -> Floats:
    """Grad-CAM of the small net, ReLU and min-max, at the input's size."""
    net, maps = Net(), []
    for x in torch.from_numpy(np.ascontiguousarray(batch)):
        a = net.features(x[None]).detach().requires_grad_()
        (g,) = torch.autograd.grad((net.head(a) * 8)[0, TARGET], a)
        raw = (g.mean((2, 3), keepdim=True) * a).sum(1).relu()[0].detach()
        raw = (raw - raw.min()) / (1e-7 + (raw - raw.min()).max())
        maps.append(F.interpolate(raw[None, None], x.shape[1:], mode="bilinear")[0, 0].numpy())
    return np.array(maps)


def softmax(batch: Floats) -> Floats:
    return in_numpy(lambda b: torch.softmax(Net()(b), 1)[:, TARGET])(batch)


def probe(x: Floats, **options: object) -> Probe:
    return from_functions(x, heatmap=gradcam, probability=softmax, **options)


def test_tta_is_the_mean_over_flips_and_lights_as_aug_smooth_has_it():
    x = picture()
    maps = []
    for is_flipped in (False, True):
        for factor in (0.9, 1.0, 1.1):
            changed = (x[:, :, ::-1] if is_flipped else x) * np.float32(factor)
            found = gradcam(changed[None])[0]
            maps.append(found[:, ::-1] if is_flipped else found)
    given = probe(x)
    np.testing.assert_allclose(DRIVERS["tta"](given), np.mean(maps, 0), atol=1e-5)
    assert given.passes == 6
    assert DRIVERS["tta"].is_finished


def test_tta_without_flips_in_one_light_is_the_heatmap_itself():
    x = picture()
    found = DRIVERS["tta"](probe(x), {"flips": "false", "brightness": "1"})
    np.testing.assert_allclose(found, gradcam(x[None])[0], atol=1e-6)


def test_tta_mirrors_the_width_of_pictures_with_channels_last():
    x = picture((6, 9))
    seen: list[Floats] = []

    def heatmap(batch: Floats) -> Floats:
        seen.extend(batch)
        return batch[..., 0]

    found = DRIVERS["tta"](from_functions(np.moveaxis(x, 0, 2), heatmap=heatmap, layout="HWC"), {"brightness": (1.0,)})
    np.testing.assert_array_equal(seen[1], seen[0][:, ::-1])
    np.testing.assert_allclose(found, x[0], atol=1e-6)


def sess_of_pytorch_grad_cam(
    x: Floats, *, scales: int, discard: float = 0, threshold: float = 0, pool: str = "mean", is_smooth: bool = True
) -> NDArray[np.float32]:
    """What pytorch-grad-cam 1.5.7 computes of a square picture, before it is scaled."""
    side = x.shape[1]
    patches, places = [], []
    for i in range(scales):
        whole = side + round(side * 2 / 7) * i
        scaled = F.interpolate(torch.from_numpy(x)[None], (whole, whole), mode="bilinear")[0].numpy()
        starts = sorted({min(start, whole - side) for start in range(0, whole, side)})
        for top in starts:
            for left in starts:
                patches.append(scaled[:, top : top + side, left : left + side])
                places.append((top, left, whole))
    scores = softmax(np.array(patches))
    order = np.argsort(scores)[int(len(scores) * discard) :]
    total, count = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    for k in order:
        top, left, whole = places[k]
        full = np.zeros((whole, whole), np.float32)
        full[top : top + side, left : left + side] = gradcam(patches[k][None])[0] * scores[k] / scores[order[-1]]
        part = cv2.resize(full, (side, side))
        if pool == "max":
            total = np.maximum(total, part)
            continue
        total += np.where(part > threshold, part, 0)
        count += part > threshold
    laid = total if pool == "max" else total / np.maximum(count, 1)
    return cv2.GaussianBlur(laid, (11, 11), 5.0) if is_smooth else laid


@pytest.mark.parametrize(
    "options",
    [
        {"scales": 4},
        {"scales": 3, "pool": "max"},
        {"scales": 4, "discard": 0.5},
        {"scales": 3, "threshold": 0.2, "is_smooth": False},
    ],
)
def test_sess_is_that_of_pytorch_grad_cam(options: dict[str, object]):
    x = picture((28, 28))
    found, theirs = DRIVERS["sess"](probe(x), options), sess_of_pytorch_grad_cam(x, **options)
    np.testing.assert_allclose(found / found.max(), theirs / theirs.max(), atol=2e-4)


def test_a_single_scale_is_the_heatmap_itself():
    x = picture()
    found = DRIVERS["sess"](probe(x), {"scales": 1, "is_smooth": False})
    theirs = gradcam(x[None])[0]
    np.testing.assert_allclose(found / found.max(), theirs / theirs.max(), atol=1e-5)


def test_windows_cover_the_enlarged_picture_and_keep_the_inputs_shape():
    seen: set[tuple[int, ...]] = set()

    def heatmap(batch: Floats) -> Floats:
        seen.add(batch.shape[1:])
        return batch[:, 0]

    given = from_functions(picture(), heatmap=heatmap, probability=lambda batch: np.ones(len(batch)))
    DRIVERS["sess"](given, {"scales": 4})
    assert seen == {(3, 20, 32)}
    for whole in sizes((20, 32), 6, 2 / 7):
        covered = np.zeros(whole, bool)
        for window in windows_of(whole, (20, 32)):
            covered[window.top : window.top + 20, window.left : window.left + 32] = True
        assert covered.all()


def test_windows_without_any_probability_count_alike():
    x = picture()
    given = from_functions(x, heatmap=gradcam, probability=lambda batch: np.full(len(batch), -1.0))
    alike = from_functions(x, heatmap=gradcam, probability=lambda batch: np.ones(len(batch)))
    np.testing.assert_allclose(DRIVERS["sess"](given, {"scales": 2}), DRIVERS["sess"](alike, {"scales": 2}), atol=1e-6)


@pytest.mark.parametrize("name", ["tta", "sess"])
def test_an_interrupted_run_keeps_what_was_reached(name: str):
    calls: list[int] = []

    def heatmap(batch: Floats) -> Floats:
        calls.append(len(batch))
        if len(calls) > 2:
            raise KeyboardInterrupt
        return gradcam(batch)

    given = from_functions(picture(), heatmap=heatmap, probability=softmax, batch_size=1)
    found = DRIVERS[name](given)
    assert given.interrupted
    assert found.any()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("tta", {"brightness": ()}, "must be one number or more"),
        ("tta", {"brightness": "dark"}, "must be several of a number, joined by commas"),
        ("tta", {"flips": "perhaps"}, "must be true or false"),
        ("sess", {"scales": 0}, "must be 1 or more"),
        ("sess", {"step": 0}, "must be more than 0"),
        ("sess", {"discard": 1}, "must be at least 0 and below 1"),
        ("sess", {"pool": "median"}, "must be 'mean' or 'max'"),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: dict[str, object], said: str):
    with pytest.raises(InvalidOption, match=said):
        DRIVERS[name](probe(picture()), options)
