"""Pointing game, relevance mass and rank, and the files that say where things are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from metric_cases import case, value

from onnxcam.errors import InvalidBoxes
from onnxcam.evaluation import Case
from onnxcam.evaluation.annotations import things_of
from onnxcam.evaluation.boxes import read_boxes
from onnxcam.evaluation.things import Thing

SIZE = 40, 60
REGION = Thing(boxes=((10, 5, 30, 25),)).region(SIZE)


def pointed(*points: tuple[int, int], region: Any = REGION) -> Case:
    """A map that is 1 at some (row, column) and 0 elsewhere."""
    shown = np.zeros(SIZE)
    for point in points:
        shown[point] = 1
    return case(np.zeros(SIZE), map=shown, region=region)


def test_a_box_holds_its_left_and_top_edge_and_not_its_right_and_bottom():
    assert (REGION[5, 10], REGION[24, 29], REGION[25, 10], REGION[5, 30]) == (True, True, False, False)
    assert REGION.sum() == 400


def test_a_box_across_the_border_is_cut_there():
    assert Thing(boxes=((-5, -5, 2, 3),)).region(SIZE).sum() == 6


@pytest.mark.parametrize(
    ("point", "hit"), [((5, 10), 1), ((24, 29), 1), ((39, 29), 1), ((24, 44), 1), ((24, 45), 0), ((0, 50), 0)]
)
def test_the_pointing_game_is_won_up_to_fifteen_pixels_from_the_thing(point: tuple[int, int], hit: int):
    assert value("pointing-game", pointed(point)) == hit


def test_at_a_corner_the_tolerance_is_a_distance_too():
    assert value("pointing-game", pointed((24 + 12, 29 + 12)), tolerance=15) == 0  # 17 pixels away
    assert value("pointing-game", pointed((24 + 10, 29 + 10)), tolerance=15) == 1


def test_without_tolerance_a_pixel_beside_the_box_misses():
    assert value("pointing-game", pointed((25, 29)), tolerance=0) == 0


def test_of_several_maxima_one_on_the_thing_is_enough():
    assert value("pointing-game", pointed((0, 59), (10, 20))) == 1


def test_an_empty_map_loses_the_pointing_game():
    assert value("pointing-game", pointed()) == 0


def test_a_map_that_lies_on_the_thing_alone_has_all_its_mass_there():
    assert value("relevance-mass", case(np.zeros(SIZE), map=REGION * 0.3, region=REGION)) == pytest.approx(1)


def test_a_flat_map_has_the_things_share_of_the_picture_as_mass():
    assert value("relevance-mass", case(np.zeros(SIZE), map=np.ones(SIZE), region=REGION)) == pytest.approx(400 / 2400)


def test_an_empty_map_has_no_mass_anywhere():
    assert math.isnan(value("relevance-mass", pointed()))


def test_relevance_rank_is_one_if_the_thing_has_the_highest_values_whatever_the_others_are():
    noise = np.random.default_rng(0).uniform(size=SIZE)
    assert value("relevance-rank", case(np.zeros(SIZE), map=noise + 2 * REGION, region=REGION)) == 1
    assert value("relevance-rank", case(np.zeros(SIZE), map=noise - 2 * REGION, region=REGION)) == 0


def test_localisation_is_measured_on_the_photos_own_pixels():
    given = case(np.zeros((4, 4)), map=np.ones((4, 4)), heatmap=REGION * 1.0, region=REGION)
    assert value("relevance-mass", given) == 1


def written(folder: Path, found: object) -> Path:
    path = folder / "boxes.json"
    path.write_text(json.dumps(found))
    return path


def test_boxes_of_one_label_are_one_thing(tmp_path: Path):
    objects = [{"label": "air", "box": [0, 0, 2, 2]}, {"label": "air", "box": [4, 4, 6, 6]}]
    (thing,) = read_boxes(written(tmp_path, {"a.jpg": {"objects": objects}}))["a.jpg"]
    assert thing.region((8, 8)).sum() == 8


def test_coco_boxes_are_corner_and_size(tmp_path: Path):
    coco = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]},
            {"image_id": 7, "category_id": 3, "bbox": [0, 0, 8, 8], "iscrowd": 1},
        ],
    }
    (thing,) = read_boxes(written(tmp_path, coco))["a.jpg"]
    assert (thing.label, thing.boxes) == ("cat", ((1, 2, 4, 6),))


@pytest.mark.parametrize(
    ("entry", "index", "label", "count", "means"),
    [
        ({"label": "dog", "imagenet_ranges": [[151, 268]]}, 200, "Tibetan terrier", 1000, True),
        ({"label": "dog", "imagenet_ranges": [[151, 268]]}, 269, "timber wolf", 1000, False),
        ({"label": "dog", "imagenet_ranges": [[151, 268]]}, 269, "dog", 1001, True),  # one class comes before
        ({"label": "dog", "imagenet_ranges": [[151, 268]]}, 16, "dog", 80, True),  # not ImageNet: by its label
        ({"label": "dog", "classes": [3, [5, 7]]}, 6, "cat", 80, True),
        ({"label": "dog", "classes": [3, [5, 7]]}, 4, "dog", 80, False),
        ({"label": "Navy"}, 2, "blue, navy", 3, True),
        ({"label": "red"}, 2, "blue, navy", 3, False),
        ({}, 2, "blue, navy", 3, True),  # nobody said what it is
        ({}, 2, None, 3, True),
        ({"label": "red"}, 2, None, 3, False),  # no class without a name means it
    ],
)
def test_a_class_means_a_thing_by_range_or_label(
    tmp_path: Path, entry: dict[str, Any], index: int, label: str | None, count: int, means: bool
):
    path = written(tmp_path, {"a.jpg": {"objects": [entry | {"box": [0, 0, 1, 1]}]}})
    (thing,) = read_boxes(path)["a.jpg"]
    assert thing.is_meant_by(index, label, count) is means


def test_a_picture_is_found_by_its_name_or_the_end_of_its_path():
    box = Thing("a", ((0, 0, 1, 1),))
    found = things_of({"one.jpg": [box], "sub/two.jpg": [box]}, [Path("x/one.jpg"), Path("x/two.jpg"), "y/sub/two.jpg"])
    assert [len(things) for things in found] == [1, 0, 1]


def test_a_mask_may_stand_for_boxes():
    ((thing,),) = things_of([REGION], ["a.jpg"])
    np.testing.assert_array_equal(thing.region(SIZE), REGION)


BOX = {"label": "cat", "box": [0, 0, 9, 9]}
PICTURE = {"id": 1, "file_name": "a.jpg"}
OTHER_FORMS: list[tuple[object, str]] = [
    ([1, 2], r"boxes\.json cannot be taken as boxes: it is a list \[…\], not an object"),
    ("no", r"boxes\.json .*it is a text, not an object"),
    ({"a.jpg": [[0, 0, 9, 9]]}, r"boxes\.json, entry 'a\.jpg' .*it is a list"),
    ({"a.jpg": {"objects": [BOX]}, "b.jpg": {"boxes": []}}, r"entry 'b\.jpg' .*it has no 'objects'"),
    ({"a.jpg": {"objects": {"cat": [0, 0, 9, 9]}}}, r"entry 'a\.jpg' .*'objects' is an object \{…\}, not a list"),
    ({"a.jpg": {"objects": [BOX, [0, 0, 9, 9]]}}, r"object 2 of 'a\.jpg' .*it is a list"),
    ({"a.jpg": {"objects": [BOX, {"label": "x"}]}}, r"object 2 of 'a\.jpg' .*it has no 'box'"),
    ({"a.jpg": {"objects": [{"box": [1, 2]}]}}, r"object 1 of 'a\.jpg' .*\[1\.?0?, 2\.?0?\] is not four numbers"),
    ({"a.jpg": {"objects": [{"box": [0, 0, "x", 9]}]}}, r"object 1 of 'a\.jpg' .*is not four numbers"),
    ({"a.jpg": {"objects": [{"box": [0, 0, float("inf"), 9]}]}}, r"object 1 of 'a\.jpg' .*is not finite"),
    ({"a.jpg": {"objects": [BOX | {"classes": 3}]}}, r"object 1 of 'a\.jpg' .*'classes' is a number, not a list"),
    ({"a.jpg": {"objects": [BOX | {"classes": [[1, 2, 3]]}]}}, r"object 1 of 'a\.jpg' .*are no classes"),
    ({"annotations": [], "images": [{"id": 1}]}, r"boxes\.json, image 1 .*it has no 'file_name'"),
    ({"annotations": []}, r"boxes\.json .*it has no 'images'"),
    ({"annotations": [3], "images": []}, r"annotation 1 .*it is a number"),
    ({"annotations": [{"id": 8, "image_id": 2, "bbox": [0, 0, 1, 1]}], "images": [PICTURE]}, "annotation 8 .*id 2"),
    ({"annotations": [{"image_id": 1, "bbox": [0, 0]}], "images": [PICTURE]}, r"annotation 1 of 'a\.jpg' .*not four"),
    ({"annotations": [{"image_id": 1}], "images": [PICTURE]}, r"annotation 1 of 'a\.jpg' .*no 'bbox'"),
]


@pytest.mark.parametrize(("found", "reason"), OTHER_FORMS)
def test_a_file_of_another_form_is_refused_with_the_entry(tmp_path: Path, found: object, reason: str):
    with pytest.raises(InvalidBoxes, match=reason) as refused:
        read_boxes(written(tmp_path, found))
    assert "Error" not in str(refused.value)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path):
    path = tmp_path / "boxes.json"
    path.write_text("a.jpg: 1, 2, 3, 4")
    with pytest.raises(InvalidBoxes, match=r"boxes\.json .*it is no JSON"):
        read_boxes(path)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(InvalidBoxes, match="No such file"):
        read_boxes(tmp_path / "none.json")


def test_as_many_boxes_as_pictures_are_needed():
    with pytest.raises(InvalidBoxes, match="2 for 1"):
        things_of([[], []], ["a.jpg"])


def test_boxes_of_another_shape_are_refused():
    with pytest.raises(InvalidBoxes, match="shape"):
        things_of([np.zeros((3, 5))], ["a.jpg"])
