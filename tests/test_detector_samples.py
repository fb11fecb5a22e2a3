"""The sample detectors, explained without being told anything about them."""

from __future__ import annotations

import numpy as np
import pytest
import samples
from detector_samples import PREPROCESS, Seen, explainer, seen_by
from detector_truth import overlap

import onnxcam
from onnxcam.images import read
from onnxcam.labels import read_labels
from onnxcam.preprocessing import prepare
from onnxcam.scores.detectors.suppression import MOST_DETECTIONS

pytestmark = samples.needs_samples
HIT_RATE, LIKENESS = 0.8, 0.95


@pytest.fixture(scope="module", params=PREPROCESS)
def seen(request) -> tuple[Seen, ...]:
    return seen_by(request.param)


def test_the_maximum_of_the_map_lies_in_the_box_of_what_was_detected(seen):
    assert len(seen) > 10
    assert sum(one.is_hit for one in seen) / len(seen) >= HIT_RATE


def test_two_objects_of_a_picture_have_different_maps(seen):
    pairs = [(a, b) for i, a in enumerate(seen) for b in seen[:i] if a.photo == b.photo]
    apart = [(a, b) for a, b in pairs if overlap(a.box[None], b.box[None])[0, 0] < 0.1]
    for a, b in apart:
        assert np.corrcoef(a.heatmap.ravel(), b.heatmap.ravel())[0, 1] < LIKENESS


def test_objects_that_lie_apart_have_their_maximum_apart():
    boxes = {one.label: one for one in seen_by("yolox_nano") if one.photo == "both.png"}
    peaks = {label: np.unravel_index(one.heatmap.argmax(), one.heatmap.shape) for label, one in boxes.items()}
    for own, other in (("dog", "cat"), ("cat", "dog")):
        y, x = peaks[own]
        x0, y0, x1, y1 = boxes[own].box
        assert x0 <= x <= x1
        assert y0 <= y <= y1
        assert peaks[own] != peaks[other]


KINDS = [
    ("yolox_nano", "yolox", ("781", "841", "890")),
    ("deimv2_atto_coco", "detr", ("model.encoder.input_proj.0", "model.encoder.bi_fusion")),
    ("yunet_2023mar", "yunet", ("214", "223", "236")),
]


@pytest.mark.parametrize(("name", "kind", "layers"), KINDS)
def test_kind_layers_method_and_reason_are_in_the_metadata(name, kind, layers):
    metadata = explainer(name).metadata
    assert (metadata.score, metadata.method, metadata.normalize) == ("detector", "layercam", "summed")
    assert metadata.layers == layers
    assert metadata.ranks == MOST_DETECTIONS
    assert f"detector of kind {kind}: " in metadata.notes[0]


@pytest.mark.parametrize(
    ("name", "resize", "channels", "scale"),
    [
        ("yolox_nano", "letterbox", "BGR", 1.0),
        ("deimv2_atto_coco", "stretch", "RGB", 1 / 255),
        ("yunet_2023mar", "letterbox", "BGR", 1.0),
    ],
)
def test_pixels_are_prepared_as_is_usual_for_the_kind_unless_said(name, resize, channels, scale):
    metadata = onnxcam.convert(str(samples.model_path(name))).metadata
    spec = metadata.preprocessing or {}
    assert (spec["resize"], spec["channels"], spec["scale"]) == (resize, channels, scale)
    assert "unless said otherwise" in metadata.notes[-1]
    said = onnxcam.convert(str(samples.model_path(name)), preprocess="raw").metadata.preprocessing or {}
    assert (said["channels"], said["scale"]) == ("RGB", 1.0)


def test_eighty_classes_are_cocos_unless_said():
    known = onnxcam.convert(str(samples.model_path("yolox_nano"))).metadata
    assert known.label_list == "coco-80"
    theirs = [name.replace(" ", "") for name in read_labels("coco", 80)]
    ours = (samples.FOLDER / "labels" / "coco_classes.txt").read_text().split("\n")
    assert sum(a == b.replace(" ", "") for a, b in zip(theirs, ours, strict=False)) >= 74


def inputs(name: str, *photos: str):
    return np.stack([prepare(read(samples.IMAGES / photo), explainer(name).preprocessing)[0] for photo in photos])


def test_pictures_of_one_batch_get_what_they_get_alone():
    ready, photos = explainer("yolox_nano"), ("both.png", "horses.jpg")
    together = ready.run(inputs("yolox_nano", *photos), [-2, -1])
    for place, (photo, target) in enumerate(zip(photos, (-2, -1), strict=True)):
        alone = ready.run(inputs("yolox_nano", photo), target)
        assert alone["target_index"][0] == together["target_index"][place]
        np.testing.assert_allclose(alone["target_box"][0], together["target_box"][place], rtol=1e-4)
        np.testing.assert_allclose(alone["heatmap"][0], together["heatmap"][place], atol=1e-3)


def test_a_box_around_an_object_means_that_object():
    ready, x = explainer("yolox_nano"), inputs("yolox_nano", "both.png")
    cat = ready.run(x, -2)
    around = cat["target_box"] + np.array([5, -5, 9, 4], np.float32)
    for target in (-1, 15):
        found = ready.run(x, target, inputs={"box": around})
        assert found["target_index"][0] == 15
        assert overlap(found["target_box"], cat["target_box"])[0, 0] > 0.9
        assert np.corrcoef(found["heatmap"].ravel(), cat["heatmap"].ravel())[0, 1] > 0.8


def test_the_score_is_the_logit_of_the_class_and_that_of_the_objectness():
    ready, x = explainer("yolox_nano"), inputs("yolox_nano", "both.png")
    found = ready.run(x, -1)
    table = found["output"][0].astype(np.float64)
    row = table[(table[:, 4:5] * table[:, 5:]).max(1).argmax()]
    wanted = sum(np.log(p / (1 - p)) for p in (row[4], row[5:].max()))
    assert found["target_score"][0] == pytest.approx(wanted, abs=1e-3)


def test_where_there_is_no_such_detection_the_map_is_zero_and_the_index_minus_one():
    found = explainer("yolox_nano").run(inputs("yolox_nano", "astronaut.png"), -50)
    assert (found["target_index"], found["target_score"]) == (-1, 0)
    assert not found["heatmap"].any()
    assert (found["target_box"] == -1).all()


def test_a_rank_beyond_the_detections_is_said_in_the_explanation():
    found = explainer("yolox_nano")(str(samples.IMAGES / "astronaut.png"), -50)
    assert (found.status, found.name, found.box) == ("not-found", "nothing", None)
    assert "threshold" in found.reason


def test_a_box_on_the_photo_means_the_object_in_it():
    ready, photo = explainer("yolox_nano"), str(samples.IMAGES / "both.png")
    cat = ready(photo, "cat")
    assert cat.box is not None
    found = ready(photo, box=cat.box)
    assert found.label == "cat"
    assert found.box is not None
    assert overlap(np.array([found.box]), np.array([cat.box]))[0, 0] > 0.9


def test_the_size_of_the_photo_may_be_left_out_or_given():
    ready, x = explainer("deimv2_atto_coco"), inputs("deimv2_atto_coco", "both.png")
    assert ready.run(x, -1)["boxes"].max() <= 330
    larger = ready.run(x, -1, inputs={"orig_target_sizes": np.array([[3200, 3200]])})
    assert larger["boxes"].max() > 2000
    np.testing.assert_allclose(larger["target_box"], ready.run(x, -1)["target_box"])


def test_an_expression_over_a_detectors_numbers_is_explained_where_its_detections_are():
    """At the levels of the backbone, and not by the mean gradient at the finest of them."""
    model = samples.model_path("yolox_nano")
    dog = 16
    graph = onnxcam.convert(model, score=f"log(max(output[:, :, 4] * output[:, :, {5 + dog}]))")
    plain = onnxcam.convert(model)
    assert graph.metadata.layers == plain.metadata.layers
    assert (graph.metadata.method, graph.metadata.normalize) == (plain.metadata.method, plain.metadata.normalize)
    named = onnxcam.convert(model, score="max(output[:, :, 4])", method="gradcam", layer=plain.metadata.layers[0])
    assert (named.metadata.method, named.metadata.layers) == ("gradcam", plain.metadata.layers[:1])
