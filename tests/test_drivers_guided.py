"""Many passes for one detection: its box stays what is asked for, and moves where the picture is moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from explain_graphs import colours
from numpy.typing import NDArray
from samples import IMAGES, model_path, needs_samples, things
from small_nets import cnn

from onnxcam import Explainer, convert
from onnxcam.asking import Aim, asker, sigmoid
from onnxcam.drivers import DRIVERS, Floats, Probe
from onnxcam.drivers.aise import spot
from onnxcam.drivers.moving import Window, mirrored, overlap, windowed
from onnxcam.drivers.rise import random_masks
from onnxcam.errors import GraphLacksOutput, InvalidOption, NoCandidates, NotOneDetection, OnlyDetections
from onnxcam.explaining import of_target

SIZE = (16, 24)
LEFT, RIGHT = (2, 3, 8, 9), (15, 5, 22, 12)  # boxes, x0 y0 x1 y1


def two_things() -> Floats:
    """A bright square in each of the two boxes."""
    x = np.zeros((1, *SIZE), np.float32)
    for x0, y0, x1, y1 in (LEFT, RIGHT):
        x[0, y0:y1, x0:x1] = 1
    return x


def candidates(image: Floats) -> Floats:
    """Both boxes with how bright they are as objectness, and each the surest of a class of its own."""
    boxes = np.array([LEFT, RIGHT], np.float32)
    shares = [image[int(b[1]) : int(b[3]), int(b[0]) : int(b[2])].mean() for b in boxes]
    return np.concatenate(
        [boxes, np.array(shares)[:, None], np.array([[0.9, 0.1], [0.2, 0.8]])], axis=1, dtype=np.float32
    )


def detecting(seen: list[Any] | None = None) -> Any:
    """Finds a thing where its square is bright, and answers for the one that overlaps the box most."""

    def ask(batch: Floats, wanted: tuple[str, ...], guides: dict[str, Floats] | None = None) -> dict[str, NDArray[Any]]:
        if seen is not None:
            seen.append((batch, guides))
        boxes = np.array([LEFT, RIGHT], np.float32)
        rows = []
        for image in batch:
            shares = [image[0, int(b[1]) : int(b[3]), int(b[0]) : int(b[2])].mean() for b in boxes]
            best = int(np.argmax(overlap(boxes, np.array(RIGHT, np.float32))))
            rows.append((shares[best], boxes[best] if shares[best] > 0.1 else np.full(4, -1)))
        answers = {
            "score": np.array([share for share, _ in rows]),
            "probability": np.array([share for share, _ in rows]),
            "box": np.array([box for _, box in rows], np.float32),
            "heatmap": batch[:, 0],
            "candidates": np.stack([candidates(image[0]) for image in batch]),
        }
        return {name: answers[name] for name in wanted}

    return ask


def test_drise_finds_the_detection_that_was_asked_for_among_two():
    probe = Probe(two_things(), detecting(), guides={"box": np.array(RIGHT, np.float32)})
    found = DRIVERS["drise"](probe, {"masks": 800, "cells": 6})
    top, left = np.unravel_index(found.argmax(), found.shape)
    assert RIGHT[0] <= left < RIGHT[2]
    assert RIGHT[1] <= top < RIGHT[3]


def likest(rows: NDArray[Any], box: NDArray[Any], classes: NDArray[Any]) -> float:
    """Overlap · cosine · objectness of the likest, one after the other."""
    best = 0.0
    for x0, y0, x1, y1, objectness, *confidences in rows.astype(np.float64):
        shared = max(min(x1, box[2]) - max(x0, box[0]), 0) * max(min(y1, box[3]) - max(y0, box[1]), 0)
        union = (x1 - x0) * (y1 - y0) + (box[2] - box[0]) * (box[3] - box[1]) - shared
        cosine = np.dot(confidences, classes) / np.linalg.norm(confidences) / np.linalg.norm(classes)
        best = max(best, shared / union * cosine * objectness)
    return best


@pytest.mark.parametrize(("kind", "chosen"), [(None, 1), (0, 3), (1, 1), (2, 1)])
def test_drise_weighs_a_mask_by_the_likest_candidate_in_the_words_of_the_paper(kind: int | None, chosen: int):
    """The detection itself is the candidate at the box that is surest of the class."""
    rng, box = np.random.default_rng(2), np.array([4, 4, 14, 12], np.float32)
    at = np.concatenate([rng.uniform(0, 6, (6, 2)), rng.uniform(9, 16, (6, 2))], axis=1)
    tables = [np.concatenate([at, rng.random((6, 1)), rng.random((6, 3))], axis=1, dtype=np.float32) for _ in range(9)]
    tables[0][chosen, :4] = box
    tables[0][:, 5:] *= 0.1
    tables[0][chosen, 5:] = (0.5, 0.1, 0.05) if kind == 0 else (0.2, 0.4, 0.3)
    asked = iter(tables)

    def ask(batch: Floats, wanted: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        return {"candidates": np.stack([next(asked) for _ in batch])}

    found = DRIVERS["drise"](Probe(two_things(), ask, guides={"box": box}, kind=kind), {"masks": 8, "cells": 4})
    drawn = random_masks(np.random.default_rng(0), SIZE, count=8, cells=4, probability=0.5)
    weights = [likest(rows, box, tables[0][chosen, 5:].astype(np.float64)) for rows in tables[1:]]
    expected = sum(weight * mask for weight, mask in zip(weights, drawn, strict=True)) / (8 * 0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_candidates_of_what_is_no_detector_are_refused():
    with pytest.raises(NoCandidates, match="--score detector"):
        convert(cnn(), outputs=["candidates"])


def test_a_graph_without_candidates_says_how_to_make_one_for_drise():
    from detector_nets import Decoupled, exported

    explain = Explainer(convert(exported(Decoupled, "decoded").model.SerializeToString()).to_bytes())
    with pytest.raises(GraphLacksOutput, match="--method drise"):
        explain(np.full((64, 64, 3), 128, np.uint8), 0, driver="drise")


@pytest.mark.parametrize("method", ["drise", "aise-detection"])
@pytest.mark.parametrize("target", ["not:1", "1-2"])
def test_what_is_no_detection_is_not_looked_for_again(method: str, target: str):
    from detector_nets import Decoupled, exported

    explain = Explainer(convert(exported(Decoupled, "decoded").model.SerializeToString(), method=method).to_bytes())
    with pytest.raises(NotOneDetection, match="no other side"):
        explain(np.full((64, 64, 3), 128, np.uint8), target)


def test_drise_without_boxes_is_refused_and_rise_named():
    with pytest.raises(OnlyDetections, match="Use rise"):
        DRIVERS["drise"](Probe(two_things(), detecting()), {"masks": 30, "cells": 5})
    with pytest.raises(OnlyDetections, match="Use rise"):
        Explainer(colours().SerializeToString())(np.zeros((8, 8, 3), np.uint8), driver="drise")
    with pytest.raises(OnlyDetections, match="Use rise"):
        convert(cnn().SerializeToString(), method="drise")


def test_aise_of_a_detection_looks_around_its_box_with_spots_of_its_size():
    """What it adds up are the spots that were tried, weighed by what each kept less what it hid."""
    seen: list[Any] = []
    box = np.array(RIGHT, np.float32)
    found = DRIVERS["aise-detection"](Probe(two_things(), detecting(seen), guides={"box": box}), {"places": 25})
    top, left = np.unravel_index(found.argmax(), found.shape)
    assert RIGHT[0] <= left < RIGHT[2]
    assert RIGHT[1] <= top < RIGHT[3]
    inputs = [image for batch, _ in seen for image in batch[:, 0]]
    assert len(inputs) >= 3 * 25 * 2
    kept = np.stack(inputs[::2])
    assert not np.allclose(kept[:, RIGHT[1] : RIGHT[3], RIGHT[0] : RIGHT[2]], 0)
    middles = [np.array(np.unravel_index(image.argmax(), image.shape)) for image in kept]
    assert max(abs(middle[1] - 18.5) for middle in middles) <= 7  # half the box and half of that
    assert 0.5 < found.max() <= 1  # the mean of one map for each width, whose maximum is 1


def test_aise_of_a_detection_is_openvinos_where_that_is_installed():
    """Its own class on a detector of two squares; its spots are as long as the picture where ours are round."""
    detection = pytest.importorskip("openvino_xai.methods.black_box.aise.detection")
    side, boxes = 24, np.array([[2, 3, 8, 9], [13, 5, 22, 12]], np.float32)
    x = np.zeros((1, side, side), np.float32)
    for x0, y0, x1, y1 in boxes.astype(int):
        x[0, y0:y1, x0:x1] = 1

    def confidences(image: Floats) -> Floats:
        """Of the middle alone: where no spot keeps more than it hides, theirs turns the map over."""
        middles = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(int)
        return np.array([image[y - 1 : y + 1, x - 1 : x + 1].mean() for x, y in middles], np.float32)

    class Theirs(detection.AISEDetection):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.preservation = self.deletion = True
            self.preprocess_fn = lambda data: data
            self.postprocess_fn = lambda found: found

        def model_forward(self, data: Any, preprocess: bool = True) -> Any:
            return boxes[None], confidences(np.asarray(data).reshape(side, side))[None], np.array([[0, 1]])

    def ask(batch: Floats, wanted: tuple[str, ...], guides: Any = None) -> dict[str, NDArray[Any]]:
        return {
            "probability": np.array([confidences(image[0])[1] for image in batch]),
            "box": np.repeat(boxes[1:], len(batch), axis=0),
        }

    theirs = Theirs().generate_saliency_map(x[None], [1], num_iterations_per_kernel=200, scale_output=False)[1]
    mine = DRIVERS["aise-detection"](Probe(x, ask, guides={"box": boxes[1]}), {"places": 200})
    assert np.corrcoef(mine.ravel(), theirs.ravel())[0, 1] > 0.99


def test_aise_without_boxes_is_refused_and_the_plain_one_named():
    with pytest.raises(OnlyDetections, match="Use aise,"):
        DRIVERS["aise-detection"](Probe(two_things(), detecting()), {})
    with pytest.raises(InvalidOption, match="must be at least 1"):
        DRIVERS["aise-detection"](
            Probe(two_things(), detecting(), guides={"box": np.array(RIGHT, np.float32)}), {"finest": 0.5}
        )


def test_a_spot_is_round_whatever_the_pictures_shape():
    found = spot((20, 40), np.array([0.5, 0.25]), 3.0)
    assert np.unravel_index(found.argmax(), found.shape) in ((9, 9), (10, 9), (9, 10), (10, 10))
    np.testing.assert_allclose(found[10, 13], found[13, 10], rtol=1e-6)


def test_the_seed_of_drise_says_which_masks_are_drawn():
    box = np.array(RIGHT, np.float32)
    once, again, other = (
        DRIVERS["drise"](Probe(two_things(), detecting(), guides={"box": box}), {"masks": 40, "seed": seed})
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - other).max() > 1e-3


def test_a_detection_is_as_probable_as_its_class_times_its_objectness():
    """The sigmoid of the sum of both logits is another number: σ(a)·σ(b) is not σ(a + b)."""
    from detector_nets import Anchored, exported

    net = exported(Anchored, "decoded")
    explain = Explainer(convert(net.model.SerializeToString()).to_bytes())
    graph, x = explain._graph, net.x[:1].numpy()
    table = net.outputs()[0][0]
    for label in (0, 3):
        products = table[:, 4] * table[:, 5 + label]  # as torch decodes them: objectness times class
        found = asker(graph, Aim(label, {}))(x, ("probability",))["probability"]
        np.testing.assert_allclose(found, [products.max()], rtol=1e-4)
    nowhere = Aim(0, {"box": np.array([[900, 900, 901, 901]], np.float32)})
    assert asker(graph, nowhere)(x, ("probability",))["probability"] == 0


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ((0, 0, 10, 10), 1.0),
        ((5, 0, 15, 10), 1 / 3),
        ((10, 0, 20, 10), 0.0),
        ((-1, -1, -1, -1), 0.0),
        ((2, 2, 4, 4), 0.04),
    ],
)
def test_overlap_is_the_intersection_over_the_union(boxes: tuple[float, ...], expected: float):
    found = overlap(np.array([boxes], np.float32), np.array([0, 0, 10, 10], np.float32))
    assert found[0] == pytest.approx(expected)


def test_a_box_and_a_region_are_mirrored_with_the_picture():
    region = np.zeros(SIZE, np.float32)
    region[3:9, 2:8] = 1
    found = mirrored({"box": np.array(LEFT, np.float32), "region": region}, SIZE[1])
    x0, y0, x1, y1 = found["box"].astype(int)
    mirror = np.zeros(SIZE, np.float32)
    mirror[y0:y1, x0:x1] = 1
    np.testing.assert_array_equal(found["region"], mirror)


def test_a_box_and_a_region_are_enlarged_and_cut_with_the_picture():
    region = np.zeros(SIZE, np.float32)
    region[4:8, 4:12] = 1
    window = Window((32, 48), top=6, left=5)
    found = windowed({"box": np.array([4, 4, 12, 8], np.float32), "region": region}, window, SIZE)
    np.testing.assert_allclose(found["box"], [8 - 5, 8 - 6, 24 - 5, 16 - 6])
    assert found["region"].shape == SIZE
    inside = found["region"][3:9, 4:18]
    assert inside.min() == 1
    assert found["region"].sum() == pytest.approx(8 * 16, rel=0.1)


def test_tta_asks_for_the_mirrored_box_in_the_mirrored_picture():
    seen: list[Any] = []
    probe = Probe(two_things(), detecting(seen), guides={"box": np.array(RIGHT, np.float32)})
    DRIVERS["tta"](probe, {"brightness": "1"})
    (batch, guides) = seen[0]
    for image, box in zip(batch, guides["box"].astype(int), strict=True):
        assert image[0, box[1] : box[3], box[0] : box[2]].min() == 1


def test_sess_asks_for_the_box_where_it_lies_in_each_window():
    seen: list[Any] = []
    probe = Probe(two_things(), detecting(seen), guides={"box": np.array(RIGHT, np.float32)})
    DRIVERS["sess"](probe, {"scales": 2, "step": 1.0})
    batch = np.concatenate([batch for batch, _ in seen])
    boxes = np.concatenate([guides["box"] for _, guides in seen]).astype(int)
    assert len(batch) == 1 + 4
    shown = 0
    for image, (x0, y0, x1, y1) in zip(batch, boxes, strict=True):
        inner = image[0, max(y0 + 1, 0) : max(y1 - 1, 0), max(x0 + 1, 0) : max(x1 - 1, 0)]
        shown += inner.size
        assert inner.size == 0 or inner.min() == 1
    assert shown > 5 * 5 * 3


NOTHING = """
    heatmap = Squeeze (maps, second)
    found = Squeeze (index, second)
    zero_index = Mul (found, none)
    target_index = Sub (zero_index, one)
    target_score = Squeeze (signed, second)
"""


def test_where_there_is_no_such_detection_nothing_is_run():
    explain = Explainer(colours(ending=NOTHING).SerializeToString())
    found = explain(np.full((8, 8, 3), 200, np.uint8), driver="rise")
    assert found.status == "not-found"
    assert found.report["passes"] == 0


@needs_samples
def test_two_detections_of_a_real_detector_have_their_maps_in_their_boxes():
    spec = {"resize": "letterbox", "align": "corner", "size": [416, 416], "scale": 1.0, "channels": "BGR"}
    explain = Explainer(convert(model_path("yolox_nano"), method="drise", preprocess=spec).to_bytes())
    seen = {thing.label: thing for thing in things()["both.png"]}
    for rank, label in ((-1, "dog"), (-2, "cat")):
        found = explain(IMAGES / "both.png", rank, driver="occlusion", options={"window": 104, "stride": 78})
        top, left = np.argwhere(found.heatmap > 0.99).mean(0)  # the middle of the square that costs most
        assert seen[label].holds(left, top, tolerance_px=0), label


def test_guides_are_read_off_the_inputs_of_one_picture():
    box, region = np.array([[[1, 2, 3, 4]]], np.float32), np.ones((1, 5, 6), np.float32)
    guides = Aim(0, {"box": box, "region": region, "other": np.zeros(1)}).guides
    np.testing.assert_array_equal(guides["box"], [1, 2, 3, 4])
    assert guides["region"].shape == (5, 6)
    assert set(guides) == {"box", "region"}


def test_of_several_boxes_each_target_has_its_own():
    boxes = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    np.testing.assert_array_equal(of_target({"box": boxes}, 1)["box"], [[[4, 5, 6, 7]]])
    single = {"box": boxes[:, 0], "other": np.ones(2)}
    assert of_target(single, 1) == single


def test_sigmoid_does_not_overflow():
    np.testing.assert_allclose(sigmoid([-1e4, 0, 2, 1e4]), [0, 0.5, 1 / (1 + np.exp(-2)), 1])
