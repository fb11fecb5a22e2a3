"""Occlusion, RISE, AISE: what is hidden, and what its loss says, on scores whose explanation is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from driver_probes import REGION, WIDE, Net, in_numpy, linear, on_region, picture, share_in_region

from onnxcam.drivers import DRIVERS, Floats, Probe, from_functions
from onnxcam.drivers.rise import random_masks
from onnxcam.errors import InvalidOption, MissingExtra


def test_covering_single_pixels_of_a_linear_score_gives_its_terms():
    x, rng = picture((5, 7)), np.random.default_rng(1)
    weights = rng.normal(size=x.shape).astype(np.float32)
    found = DRIVERS["occlusion"](linear(weights, x), {"window": 1, "stride": 1, "fill": "zero"})
    np.testing.assert_allclose(found, (weights * x).sum(0), atol=1e-4)


def test_a_pixel_has_the_mean_loss_of_the_windows_over_it_as_in_captum():
    occlusion = pytest.importorskip("captum.attr").Occlusion
    x, net = picture((13, 18)), Net()
    theirs = occlusion(net).attribute(
        torch.from_numpy(x)[None], target=2, sliding_window_shapes=(3, 5, 5), strides=(3, 3, 3), baselines=0
    )
    probe = from_functions(x, score=in_numpy(lambda batch: net(batch)[:, 2]))
    found = DRIVERS["occlusion"](probe, {"window": 5, "stride": 3, "fill": "zero"})
    np.testing.assert_allclose(found, theirs[0].numpy().mean(0), atol=1e-5)


@pytest.mark.parametrize("layout", ["CHW", "HWC"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("occlusion", {"window": 4, "fill": "zero"}),
        ("rise", {"masks": 600, "probability": 0.3}),
        ("aise", {"places": 40}),
        ("lime", {"samples": 200, "segments": 40, "fill": "zero"}),
        ("kernelshap", {"samples": 200, "segments": 40, "fill": "zero"}),
    ],
)
def test_what_alone_counts_is_found_also_where_the_picture_is_not_square(
    name: str, options: dict[str, Any], layout: str
):
    x = picture()
    probe = on_region(x)
    if layout == "HWC":
        weights = np.zeros((*WIDE, 3), np.float32)
        weights[REGION] = 1
        probe = linear(weights, np.moveaxis(x, 0, 2), layout="HWC")
    found = DRIVERS[name](probe, options)
    assert found.shape == WIDE
    low = float(found.min())
    assert share_in_region(found - low) > 2 * (6 * 9) / (20 * 32)
    top, left = np.unravel_index(found.argmax(), found.shape)
    assert REGION[0].start - 2 <= top < REGION[0].stop + 2
    assert REGION[1].start - 2 <= left < REGION[1].stop + 2


@pytest.mark.parametrize("probability", [0.3, 0.5])
def test_rise_is_on_average_the_covariance_with_what_is_shown(probability: float):
    """Of a score that is one pixel, E[m·m₀]/p: p where masks are independent of it, E[m₀²]/p at the pixel itself."""
    x = np.ones((1, 24, 36), np.float32)
    weights = np.zeros_like(x)
    weights[0, 12, 4] = 1
    options = {"masks": 3000, "cells": 6, "probability": probability, "seed": 4}
    found = DRIVERS["rise"](linear(weights, x, batch_size=100), options)
    masks = random_masks(np.random.default_rng(9), (24, 36), count=3000, cells=6, probability=probability)
    square = np.mean([mask[12, 4] ** 2 for mask in masks])
    assert abs(found[:, 20:].mean() - probability) < 0.02
    assert abs(found[12, 4] - square / probability) < 0.08


@pytest.mark.parametrize("size", [(24, 36), (31, 17), (224, 320)])
def test_masks_have_the_pictures_size_and_show_the_wanted_share(size: tuple[int, int]):
    masks = list(random_masks(np.random.default_rng(0), size, count=300, cells=5, probability=0.4))
    assert {mask.shape for mask in masks} == {size}
    stack = np.array(masks)
    assert stack.min() >= 0
    assert stack.max() <= 1
    assert abs(stack.mean() - 0.4) < 0.02
    assert np.abs(stack.mean(0) - 0.4).max() < 0.15  # no row or column is shown less than another


def test_rise_of_a_score_below_zero_is_that_of_the_score_from_its_lowest_on():
    """A logit, a difference or another side: a constant less is no evidence against every pixel."""
    x = picture()
    plain, asked = on_region(x), list[float]()

    def below(batch: Any) -> Any:
        asked.extend(found := np.array(plain.scores(batch)) - 1000)
        return found

    options = {"masks": 300, "seed": 1}
    low = DRIVERS["rise"](from_functions(x, score=below), options)
    lowest = min(asked)
    high = DRIVERS["rise"](from_functions(x, score=lambda batch: below(batch) - lowest), options)
    np.testing.assert_allclose(low, high, rtol=1e-4, atol=1e-4)
    assert low.min() >= 0
    assert low.max() > 0
    top, left = np.unravel_index(low.argmax(), low.shape)
    assert REGION[0].start - 3 <= top < REGION[0].stop + 3
    assert REGION[1].start - 3 <= left < REGION[1].stop + 3


@pytest.mark.parametrize("name", ["rise", "lime", "kernelshap"])
def test_the_same_seed_gives_the_same_map_and_another_seed_another(name: str):
    options = {"masks": 30} if name == "rise" else {"samples": 30, "segments": 30}
    rng = np.random.default_rng(5)
    weights = rng.normal(size=(3, *WIDE)).astype(np.float32)

    def run(seed: int, batch_size: int) -> Floats:
        # The square makes superpixels interact, so that the draw is seen in the regression too.
        score: Callable[[Floats], Floats] = lambda batch: (batch * weights).sum((1, 2, 3)) ** 2  # noqa: E731
        probe = from_functions(picture(), score=score, batch_size=batch_size)
        return DRIVERS[name](probe, options | {"seed": seed})

    np.testing.assert_allclose(run(1, 8), run(1, 7), rtol=1e-4, atol=1e-4)
    assert np.abs(run(1, 8) - run(2, 8)).max() > 1e-3


def test_memory_holds_one_batch_of_masks_however_many_there_are():
    largest = []

    def score(batch: Floats) -> Floats:
        largest.append(len(batch))
        return batch.sum((1, 2, 3))

    DRIVERS["rise"](from_functions(picture(), score=score, batch_size=16), {"masks": 100})
    assert max(largest) == 16
    assert sum(largest) == 100


def stopping(x: Floats, *, after: int) -> Probe:
    """A probe on which KeyboardInterrupt falls after so many batches of four."""
    probe = on_region(x, batch_size=4)
    ask, calls = probe._ask, []

    def counted(batch: Floats, wanted: tuple[str, ...]) -> Any:
        calls.append(wanted)
        if len(calls) > after:
            raise KeyboardInterrupt
        return ask(batch, wanted)

    probe._ask = counted
    return probe


def test_an_interrupted_rise_is_the_rise_of_the_masks_so_far():
    probe = stopping(picture(), after=5)
    found = DRIVERS["rise"](probe, {"masks": 400})
    assert probe.interrupted
    whole = DRIVERS["rise"](on_region(picture()), {"masks": 20})
    np.testing.assert_allclose(found, whole, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("occlusion", {"window": 4}),
        ("aise", {"places": 30}),
        ("lime", {"samples": 99, "segments": 20}),
        ("kernelshap", {"samples": 99, "segments": 20}),
    ],
)
def test_interrupted_methods_give_what_they_have(name: str, options: dict[str, Any]):
    probe = stopping(picture(), after=12)
    found = DRIVERS[name](probe, options)
    assert probe.interrupted
    assert np.isfinite(found).all()
    assert found.any()


def test_an_interruption_before_the_first_answer_is_passed_on():
    with pytest.raises(KeyboardInterrupt):
        DRIVERS["rise"](stopping(picture(), after=0), {"masks": 400})


def test_spots_that_are_never_worth_more_than_the_rest_still_tell_where_they_are_worth_most():
    found = DRIVERS["aise"](on_region(picture()), {"places": 60, "narrow": 0.05, "wide": 0.05, "widths": 1})
    assert found.max() == pytest.approx(1)
    assert found[REGION].mean() > 2 * found.mean()


def test_a_score_that_looks_at_nothing_gives_no_spots():
    probe = from_functions(picture(), score=lambda batch: np.full(len(batch), 0.5))
    assert not DRIVERS["aise"](probe, {"places": 9}).any()


def test_progress_is_told_batch_by_batch_up_to_what_was_expected():
    told: list[tuple[int, int]] = []
    probe = on_region(picture(), batch_size=40, progress=lambda done, whole: told.append((done, whole)))
    DRIVERS["rise"](probe, {"masks": 100})
    assert told == [(0, 100), (40, 100), (80, 100), (100, 100)]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("rise", {"masks": 0}, "masks of the method 'rise' is 0, but must be 1 or more"),
        ("rise", {"probability": 0}, "probability of the method 'rise' is 0.0, but must be more than 0 and below 1"),
        ("drise", {"probability": 1.0}, "must be more than 0 and below 1"),
        ("rise", {"cells": 21}, "must be from 1 to 20"),
        ("occlusion", {"window": 21}, "window of the method 'occlusion' is 21, but must be from 1 to 20 pixels"),
        ("occlusion", {"window": 0}, "must be 1 or more"),
        ("occlusion", {"window": 4, "stride": 5}, "stride .* must be from 1 to the window's 4 pixels"),
        ("aise", {"places": 0}, "must be 1 or more"),
        ("aise", {"widths": 0}, "must be 1 or more"),
        ("aise", {"narrow": 0.4}, "must be at most wide, 0.25"),
        ("lime", {"samples": 1}, "must be 2 or more"),
        ("lime", {"segments": 1}, "must be 2 or more"),
        ("lime", {"kernel_width": 0}, "must be more than 0"),
        ("lime", {"ridge": -1}, "must be 0 or more"),
        ("kernelshap", {"samples": 3}, "must be 4 or more"),
        ("rise", {"masks": "many"}, "must be a whole number"),
        ("rise", {"masks": 2.5}, "must be a whole number"),
        ("rise", {"probability": "nan"}, "must be a number"),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: dict[str, Any], said: str):
    with pytest.raises(InvalidOption, match=said):
        DRIVERS[name](on_region(picture()), options)


@pytest.mark.parametrize(("name", "package"), [("aise", "scipy.optimize"), ("lime", "skimage.segmentation")])
def test_a_missing_extra_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtra, match=r"pip install 'onnxcam\[superpixels\]'"):
        DRIVERS[name](on_region(picture()), {})
