"""The demo's net on scenes with known truth: the heatmap moves to the digit that is asked for."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="extra `test` is not installed")

from scenes import LABELS, SIZE_PX, Box, Scene, compose, handwriting

from onnxcam import Explainer, Explanation, convert
from onnxcam.demo import MODEL, SCENE, boxes

FIRST_SEED = 1_000_000  # scripts/train_demo.py trains on those below
SCENES = 60
TOLERANCE_PX = 4.0


@cache
def explainer(*, multi_target: bool = True) -> Explainer:
    return Explainer(convert(MODEL, multi_target=multi_target).to_bytes(), threads=1)


@cache
def held_out() -> tuple[Scene, ...]:
    source = handwriting(held_out=True)
    return tuple(compose(seed, source) for seed in range(FIRST_SEED, FIRST_SEED + SCENES))


def explain_all(scene: Scene) -> list[Explanation]:
    """One explanation for each digit in the scene, all from one run."""
    return explainer()(scene.image, [LABELS[box.digit] for box in scene.boxes])


def is_hit(explanation: Explanation, box: Box) -> bool:
    y, x = divmod(int(explanation.heatmap.argmax()), explanation.heatmap.shape[1])
    return explanation.status == "ok" and box.holds(x + 0.5, y + 0.5, tolerance_px=TOLERANCE_PX)


def test_the_heatmaps_of_all_digits_point_at_them() -> None:
    hits = [is_hit(e, box) for scene in held_out() for e, box in zip(explain_all(scene), scene.boxes, strict=True)]
    assert len(hits) > 2 * SCENES
    assert np.mean(hits) >= 0.95


def test_a_heatmap_for_one_digit_does_not_point_at_the_others() -> None:
    scene = held_out()[0]
    for e, box in zip(explain_all(scene), scene.boxes, strict=True):
        assert not any(is_hit(e, other) for other in scene.boxes if other != box)


def test_the_net_names_a_digit_that_is_there() -> None:
    first = [explainer(multi_target=False)(scene.image).target_index for scene in held_out()]
    there = [index in {box.digit for box in scene.boxes} for index, scene in zip(first, held_out(), strict=True)]
    assert np.mean(there) >= 0.95


@pytest.mark.parametrize("name", boxes())
def test_each_digit_of_the_picture_has_its_maximum_in_its_own_box(name: str) -> None:
    explanation = explainer(multi_target=False)(SCENE, name)
    y, x = divmod(int(explanation.heatmap.argmax()), explanation.heatmap.shape[1])
    x0, y0, x1, y1 = boxes()[name]
    assert explanation.label == name
    assert x0 <= x < x1
    assert y0 <= y < y1


def test_the_picture_shows_four_digits() -> None:
    assert len(boxes()) == 4


def test_all_targets_at_once_give_the_maps_of_one_at_a_time() -> None:
    single = explainer(multi_target=False)
    for scene in held_out()[:10]:
        for together in explain_all(scene):
            alone = single(scene.image, together.target_index)
            assert together.map.shape == (SIZE_PX, SIZE_PX)
            np.testing.assert_allclose(together.map, alone.map, atol=1e-5)
            assert together.target_score == pytest.approx(alone.target_score, rel=1e-5)
