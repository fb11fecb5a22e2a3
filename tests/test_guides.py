"""Boxes, regions and references of photos, as the graph takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from numpy.typing import NDArray
from samples import IMAGES, model_path, needs_samples
from small_nets import cnn
from test_score_kinds import segmenter

import onnxcam
from onnxcam import errors
from onnxcam.api import explainer_of
from onnxcam.engine import Explainer

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 255, (20, 40, 3), np.uint8)
LETTERBOX = {"preset": "letterbox", "size": [16, 16]}


def explainer(model: onnx.ModelProto, **options: Any) -> Explainer:
    return explainer_of(onnxcam.convert(model, preprocess=LETTERBOX, **options))


def half(left: bool) -> NDArray[np.bool_]:
    mask = np.zeros((20, 40), bool)
    mask[:, slice(0, 20) if left else slice(20, 40)] = True
    return mask


@pytest.mark.parametrize("multi", [False, True])
def test_a_region_keeps_the_map_to_its_part_of_the_photo(multi: bool):
    net = explainer(segmenter(), multi_target=multi)
    target = [0, 0] if multi else 0
    for left in (True, False):
        found = net(PHOTO, target, region=half(left))
        for one in found if multi else [found]:
            inside = one.heatmap[:, 2:18] if left else one.heatmap[:, 22:38]
            outside = one.heatmap[:, 26:] if left else one.heatmap[:, :14]
            assert outside.max() == 0
            assert inside.max() > 0.5


def test_each_photo_has_a_region_of_its_own():
    net = explainer(segmenter())
    both = net([PHOTO, PHOTO], [0, 0], region=[half(True), half(False)])
    singles = [net(PHOTO, 0, region=half(left)) for left in (True, False)]
    for one, single in zip(both, singles, strict=True):
        np.testing.assert_allclose(one.heatmap, single.heatmap, atol=1e-6)
    assert np.abs(both[0].heatmap - both[1].heatmap).max() > 0.1


def test_a_region_is_there_for_methods_of_many_passes_too():
    net = explainer(segmenter(), method="occlusion", options={"window": 4, "stride": 4})
    left, right = (net(PHOTO, 1, region=half(side)).heatmap for side in (True, False))
    assert np.abs(left - right).max() > 0.1


def test_a_picture_is_compared_by_its_embedding():
    net = explainer(cnn(), score="similarity")
    other = RNG.integers(0, 255, (30, 30, 3), np.uint8)
    embedding = net.run(np.zeros((1, 3, 16, 16), np.float32), inputs={"reference": np.ones((1, 5))})["y"]
    assert net(PHOTO, reference=PHOTO).target_score == pytest.approx(1, abs=1e-5)
    by_picture = net(PHOTO, reference=other)
    by_vector = net(PHOTO, reference=net(other, reference=embedding[0]).scores)
    assert by_picture.target_score == pytest.approx(by_vector.target_score, abs=1e-6)
    np.testing.assert_allclose(by_picture.heatmap, by_vector.heatmap, atol=1e-5)


def test_each_photo_has_a_reference_of_its_own():
    net = explainer(cnn(), score="similarity")
    other = np.zeros((30, 30, 3), np.uint8)
    both = net([PHOTO, other], [0, 0], reference=[other, PHOTO])
    singles = [net(PHOTO, reference=other), net(other, reference=PHOTO)]
    assert both[0].target_score != pytest.approx(1, abs=1e-4)
    for one, single in zip(both, singles, strict=True):
        assert one.target_score == pytest.approx(single.target_score, abs=1e-6)


def test_a_reference_can_be_a_file(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "photo.png"), PHOTO[..., ::-1])
    found = explainer(cnn(), score="similarity")(PHOTO, reference=str(tmp_path / "photo.png"))
    assert found.target_score == pytest.approx(1, abs=1e-5)


BAD = [
    ("box for a classifier", cnn, {}, {"box": [0, 0, 5, 5]}, errors.NotGuided, "score='detector'"),
    ("region for a classifier", cnn, {}, {"region": half(True)}, errors.NotGuided, "score='segmentation'"),
    ("reference for a classifier", cnn, {}, {"reference": [1.0] * 5}, errors.NotGuided, "score='similarity'"),
    ("region of another size", segmenter, {}, {"region": np.ones((3, 3))}, errors.InvalidRegion, r"\(3, 3\)"),
    ("empty region", segmenter, {}, {"region": np.zeros((20, 40))}, errors.InvalidRegion, "empty"),
    ("negative region", segmenter, {}, {"region": -half(True).astype(int)}, errors.InvalidRegion, "below 0"),
    ("two regions", segmenter, {}, {"region": [half(True)] * 2}, errors.InvalidRegion, "2 masks for 1"),
    ("short vector", cnn, {"score": "similarity"}, {"reference": [1.0]}, errors.InvalidReference, "5 numbers"),
    ("vector of zeros", cnn, {"score": "similarity"}, {"reference": [0.0] * 5}, errors.InvalidReference, "no direct"),
    ("no reference", cnn, {"score": "similarity"}, {}, errors.InputMismatch, "reference=.*--reference"),
    (
        "two pictures",
        cnn,
        {"score": "similarity"},
        {"reference": [PHOTO] * 2},
        errors.InvalidReference,
        "2 vectors.* 1 picture",
    ),
]


@pytest.mark.parametrize(
    ("model", "options", "asked", "kind", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_what_does_not_fit_is_an_error(
    model: Any, options: dict[str, Any], asked: dict[str, Any], kind: type[Exception], words: str
):
    with pytest.raises(kind, match=words):
        explainer(model(), **options)(PHOTO, **asked)


@needs_samples
def test_a_box_of_the_photo_picks_the_detection_that_lies_there():
    net = explainer_of(onnxcam.convert(model_path("yolox_nano"), preprocess="yolox"))
    photo = cv2.imread(str(IMAGES / "horses.jpg"))[..., ::-1]
    best, second = net(photo, -1), net(photo, -2)
    for found in (best, second):
        again = net(photo, found.target_index, box=found.box)
        np.testing.assert_allclose(again.box, found.box, atol=0.5)
        np.testing.assert_allclose(again.heatmap, found.heatmap, atol=1e-3)
    assert np.abs(best.heatmap - second.heatmap).max() > 0.2


@needs_samples
@pytest.mark.parametrize(
    ("box", "words"),
    [((9000, 0, 9100, 50), "outside"), ((50, 50, 10, 60), "empty"), ((1, 2, 3), "shape"), ("dog", "four numbers")],
)
def test_a_box_outside_the_picture_is_an_error(box: Any, words: str):
    net = explainer_of(onnxcam.convert(model_path("yolox_nano"), preprocess="yolox"))
    with pytest.raises(errors.InvalidBox, match=words):
        net(PHOTO, box=box)


@needs_samples
def test_boxes_for_each_photo_and_each_target_may_be_left_out_here_and_there():
    net = explainer_of(onnxcam.convert(model_path("yolox_nano"), multi_target=True))
    photo = cv2.imread(str(IMAGES / "both.png"))[..., ::-1]
    dog, cat = net(photo, ["dog", "cat"])
    for boxes in (
        [[dog.box, None], [None, None]],
        [[dog.box, cat.box], None],
        [[list(dog.box), None], [None, cat.box]],
    ):
        found = net([photo, photo], [["dog", "cat"]] * 2, box=boxes)
        for row in found:
            np.testing.assert_allclose(row[0].box, dog.box, atol=0.5)
            np.testing.assert_allclose(row[1].box, cat.box, atol=0.5)


@needs_samples
def test_explain_takes_what_an_explainer_takes_beside_the_picture():
    model, photo = str(model_path("yolox_nano")), str(IMAGES / "horses.jpg")
    best, second = onnxcam.explain(model, photo, [-1, -2], threads=1)
    for box in ([best.box, second.box], [second.box, None]):
        one, two = onnxcam.explain(model, photo, ["horse", "horse"], box=box)
        assert one.box == pytest.approx(box[0], abs=0.5)
        assert two.box == pytest.approx(box[1] or best.box, abs=0.5)
    with pytest.raises(errors.InvalidBox, match="2 boxes for 3 targets"):
        onnxcam.explain(model, photo, ["horse"] * 3, box=[best.box, second.box])


def test_explain_takes_a_region_a_reference_and_other_inputs():
    mask = np.zeros(PHOTO.shape[:2], bool)
    mask[:9] = True
    wanted = explainer_of(onnxcam.convert(segmenter(), preprocess="unit"))(PHOTO, 2, region=mask)
    found = onnxcam.explain(segmenter(), PHOTO, 2, region=mask, preprocess="unit")
    assert found.target_score == pytest.approx(wanted.target_score, rel=1e-5)
    same = onnxcam.explain(cnn(), PHOTO, score="similarity", reference=PHOTO, preprocess="unit")
    assert same.target_score == pytest.approx(1, abs=1e-5)
    with pytest.raises(errors.UnknownChoice, match="other input"):
        onnxcam.explain(cnn(), PHOTO, inputs={"meta": [[1.0]]}, preprocess="unit")
