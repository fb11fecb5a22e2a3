"""Deletion, insertion, ROAD, average drop and ADCC on models whose curves are known by arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from metric_cases import case, curve, value
from scipy.sparse import csr_array
from scipy.sparse.linalg import spsolve

from onnxcam.errors import InvalidOption, UnknownChoice, UnknownOption
from onnxcam.evaluation import METRICS, Case, find_metrics
from onnxcam.evaluation.blanks import BLANKS
from onnxcam.evaluation.imputing import impute
from onnxcam.evaluation.road import remaining

SHAPE = 6, 8
FALLING = np.arange(48, 0, -1.0).reshape(SHAPE)  # what each pixel adds, the first the most


def random_case(seed: int = 0, **given: object) -> Case:
    rng = np.random.default_rng(seed)
    return case(rng.uniform(0.1, 1, (3, *SHAPE)), rng.uniform(0.1, 1, (3, *SHAPE)), **given)


def test_deletion_of_a_linear_model_loses_pixel_by_pixel_what_the_map_says():
    found = curve("deletion", case(FALLING), steps=48)
    np.testing.assert_allclose(found.scores, FALLING.sum() - np.append(0, FALLING.reshape(-1).cumsum()))


def test_insertion_of_a_linear_model_gains_pixel_by_pixel_what_the_map_says():
    found = curve("insertion", case(FALLING), steps=48, baseline="zero")
    np.testing.assert_allclose(found.scores, np.append(0, FALLING.reshape(-1).cumsum()))


def test_deletion_is_the_area_under_its_curve():
    found = curve("deletion", case(FALLING), steps=10)
    assert found.value == pytest.approx(np.trapezoid(found.scores, found.shares))


def test_the_steps_end_with_all_pixels_even_where_they_do_not_divide():
    found = curve("deletion", case(FALLING), steps=7)
    np.testing.assert_allclose(found.shares * 48, [0, 7, 14, 21, 28, 35, 42, 48])


def test_relative_deletion_does_not_change_with_the_scale_of_the_score():
    small, large = (value("deletion", case(FALLING, np.array(factor)), scale="relative") for factor in (1.0, 7.0))
    assert small == pytest.approx(large)


def test_the_true_order_deletes_faster_than_any_other():
    best = value("deletion", case(FALLING))
    assert best < value("deletion", case(FALLING, map=FALLING[::-1])) < value("deletion", case(FALLING, map=-FALLING))


def test_black_is_what_preprocessing_makes_of_it():
    given = case(FALLING, black=np.array([-3.0]))
    assert curve("deletion", given, baseline="black").scores[-1] == pytest.approx(-3 * 48)


def test_the_mean_colour_keeps_the_score_of_an_even_model():
    assert curve("deletion", case(FALLING), baseline="mean").scores[-1] == pytest.approx(FALLING.sum())


@pytest.mark.parametrize("kind", sorted(BLANKS))
def test_a_blank_of_a_picture_with_channels_last_is_the_same_picture(kind: str):
    x = np.random.default_rng(0).uniform(size=(16, 14, 3)).astype(np.float32)
    one = {"map": x[..., 0], "scores": None, "black": np.array([0.1, 0.2, 0.3])}
    last, first = Case(x=x, layout="HWC", **one), Case(x=np.moveaxis(x, -1, 0), **one)
    np.testing.assert_array_equal(np.moveaxis(BLANKS[kind](last), -1, 0), BLANKS[kind](first))


def test_metrics_do_not_change_with_the_place_of_the_channels():
    rng = np.random.default_rng(3)
    x, w = rng.uniform(size=(2, 3, *SHAPE)).astype(np.float32)
    first = Case(x=x, map=w[0], scores=lambda b: (b * w).sum(axis=(1, 2, 3)))
    last = Case(x=np.moveaxis(x, 0, -1), map=w[0], layout="HWC",
                scores=lambda b: (b * np.moveaxis(w, 0, -1)).sum(axis=(1, 2, 3)))  # fmt: skip
    for name in ("deletion", "insertion", "road-lerf", "average-drop"):
        noise = {"noise": 0.0} if name.startswith("road") else {}
        assert value(name, last, **noise) == pytest.approx(value(name, first, **noise), rel=1e-5)


def test_a_linear_ramp_is_imputed_exactly():
    rows, columns = np.mgrid[:20, :30]
    ramp = (2.0 * rows - 3.0 * columns + 5)[..., None]
    hole = np.ones((20, 30), bool)
    hole[5:14, 8:22] = False
    np.testing.assert_allclose(impute(np.where(hole[..., None], ramp, 99.0), hole), ramp, atol=1e-3)


def neighbour_system(planes: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """ROAD's equations written out, one row a missing pixel, and solved by SciPy."""
    height, width = kept.shape
    places = {place: row for row, place in enumerate(zip(*np.nonzero(~kept), strict=True))}
    matrix, right = np.zeros((len(places), len(places))), np.zeros((len(places), planes.shape[2]))
    for (i, j), row in places.items():
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                if (di, dj) == (0, 0) or not (0 <= i + di < height and 0 <= j + dj < width):
                    continue
                share = 1 / 6 if 0 in (di, dj) else 1 / 12
                matrix[row, row] += share
                if (i + di, j + dj) in places:
                    matrix[row, places[i + di, j + dj]] -= share
                else:
                    right[row] += share * planes[i + di, j + dj]
    filled = planes.copy()
    filled[~kept] = spsolve(csr_array(matrix), right).reshape(right.shape)
    return filled


@pytest.mark.parametrize("share", [0.2, 0.7, 0.95])
def test_imputing_solves_the_equations_of_the_paper(share: float):
    rng = np.random.default_rng(4)
    planes, kept = rng.normal(size=(17, 13, 2)), rng.uniform(size=(17, 13)) > share
    np.testing.assert_allclose(impute(planes, kept), neighbour_system(planes, kept), atol=1e-4)


def test_imputing_leaves_the_other_pixels_as_they_are():
    rng = np.random.default_rng(5)
    planes, kept = rng.normal(size=(9, 9, 1)), rng.uniform(size=(9, 9)) > 0.5
    np.testing.assert_array_equal(impute(planes, kept)[kept], planes[kept])


def test_road_takes_the_share_that_is_asked_for_from_flat_maps_too():
    flat = case(np.ones((10, 10)))
    assert [int((~remaining(flat, share, most=True)).sum()) for share in (0.1, 0.5, 0.9)] == [10, 50, 90]


def test_road_most_first_takes_the_most_relevant_and_least_first_the_least():
    given = case(FALLING)
    assert (~remaining(given, 0.25, most=True))[:1].all()
    assert (~remaining(given, 0.25, most=False))[-1:].all()


def test_road_of_a_picture_that_its_surroundings_tell_is_zero():
    rows, columns = np.mgrid[:12, :12]
    ramp = case(1.0 * rows + columns, map=np.hypot(rows - 6, columns - 6))
    assert value("road-morf", ramp, shares=(0.1,), noise=0.0) == pytest.approx(ramp.score, rel=1e-2)


def test_road_is_half_the_gap_between_least_and_most_first():
    given = random_case()
    gap = value("road-lerf", given, noise=0.0) - value("road-morf", given, noise=0.0)
    assert value("road", given, noise=0.0) == pytest.approx(gap / 2)


def test_the_noise_of_road_is_seeded():
    first, again, other = (value("road", random_case(seed=seed)) for seed in (0, 0, 0))
    assert first == again == other
    assert value("road", random_case()) != value("road", Case(**{**vars_of(random_case()), "seed": 1}))


def vars_of(given: Case) -> dict[str, object]:
    return {"x": given.x, "map": given.map, "scores": given.scores}


def test_average_drop_is_the_share_of_the_score_that_the_map_hides():
    given = case(np.full(SHAPE, 2.0), map=np.full(SHAPE, 0.25))
    assert value("average-drop", given) == pytest.approx(0.75)


def test_average_drop_is_zero_where_the_score_rises():
    weights = np.where(np.arange(8) < 4, 1.0, -0.5)
    given = case(np.ones(SHAPE), weights, map=(weights > 0) * np.ones(SHAPE))
    assert value("average-drop", given) == 0
    assert value("increase", given) == 1


def test_a_map_of_ones_neither_drops_nor_increases():
    given = case(FALLING, map=np.ones(SHAPE))
    assert (value("average-drop", given), value("increase", given)) == (0, 0)


def test_there_is_no_drop_from_a_score_of_nothing():
    assert math.isnan(value("average-drop", case(np.zeros(SHAPE), map=np.ones(SHAPE))))


def test_coherency_of_a_map_that_stays_is_one_and_of_its_opposite_zero():
    assert value("coherency", case(FALLING, explain=lambda b: FALLING[None])) == pytest.approx(1)
    assert value("coherency", case(FALLING, explain=lambda b: -FALLING[None])) == pytest.approx(0, abs=1e-12)


def test_coherency_of_flat_maps_is_one_only_if_they_are_equal():
    flat = np.ones(SHAPE)
    assert value("coherency", case(FALLING, map=flat, explain=lambda b: flat[None])) == 1
    assert value("coherency", case(FALLING, map=flat, explain=lambda b: 0 * flat[None])) == 0.5


def test_coherency_looks_at_the_picture_through_its_map():
    seen = []
    value("coherency", case(FALLING, map=FALLING / 48, explain=lambda b: seen.append(b) or FALLING[None]))
    np.testing.assert_allclose(seen[0][0, 0], FALLING * FALLING / 48, rtol=1e-6)


def test_adcc_is_the_harmonic_mean_of_its_three_parts():
    shown = np.where(np.arange(8) < 4, 1.0, 0.0) * np.ones(SHAPE)
    given = case(np.ones(SHAPE), np.where(np.arange(8) < 4, 0.9, 0.1), map=shown, explain=lambda b: shown[None])
    assert value("adcc", given) == pytest.approx(3 / (1 / 1.0 + 1 / 0.5 + 1 / 0.9))


def test_adcc_is_zero_and_no_error_where_a_part_is():
    given = case(FALLING, map=np.zeros(SHAPE), explain=lambda b: np.zeros((1, *SHAPE)))
    assert value("adcc", given) == 0


def test_every_row_says_what_it_measures_and_where_it_is_from():
    assert all(row.summary.endswith(".") and row.source for row in METRICS.values())


def test_an_unknown_metric_is_named_with_its_near_misses():
    with pytest.raises(UnknownChoice, match="Did you mean 'deletion'"):
        find_metrics(["deletoin"], has_boxes=False)


def test_metrics_of_boxes_are_not_measured_by_default_without_boxes():
    assert "pointing-game" not in {row.name for row in find_metrics(None, has_boxes=False)}
    assert "pointing-game" in {row.name for row in find_metrics(None, has_boxes=True)}


def test_an_option_that_a_metric_lacks_is_refused():
    with pytest.raises(UnknownOption):
        value("deletion", case(FALLING), stride=3)


def test_a_value_that_an_option_cannot_have_is_refused():
    with pytest.raises(InvalidOption, match="blur"):
        value("deletion", case(FALLING), baseline="bluur")


def test_the_blur_is_a_gaussian_of_eleven_pixels_and_sigma_five():
    point = np.zeros((31, 31))
    point[15, 15] = 1
    steps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 5.0**2))
    expected = np.zeros_like(point)
    expected[10:21, 10:21] = np.outer(steps, steps) / steps.sum() ** 2
    np.testing.assert_allclose(BLANKS["blur"](case(point))[0], expected, atol=1e-7)
