"""The class maps of a detector's head, against numpy; and the convention that adds up the maps of scales."""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime
import pytest
from detector_nets import CLASSES, SIDE, STRIDES, Decoupled, Faces, Queries, exported

import onnxcam
from onnxcam.conventions import CONVENTIONS as IN_GRAPH
from onnxcam.errors import NoClassMaps
from onnxcam.graph import Tape, load

YUNET = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)


def maps_of(kind, form, targets, names=()):
    """The raw maps (N, K, h, w) of the targets, the same for both pictures of the net."""
    net = exported(kind, form, names=names)
    graph = onnxcam.convert(
        net.model, method="detector-map", outputs=["raw_map"], multi_target=True, preprocess="unit", normalize="captum"
    )
    session = onnxruntime.InferenceSession(graph.to_bytes(), providers=["CPUExecutionProvider"])
    feeds = {"images": net.x.numpy(), "target": np.array([targets] * 2)}
    return session.run(["raw_map"], feeds)[0]


def mean_logits(logits):
    """(N, B, C) of three scales → (N, C, 12, 12), bilinear."""
    start, total = 0, []
    for stride in STRIDES:
        n = SIDE // stride
        part = logits[:, start : start + n * n].reshape(2, n, n, -1)
        total.append([cv2.resize(x, (12, 12), interpolation=cv2.INTER_LINEAR).reshape(12, 12, -1) for x in part])
        start += n * n
    return np.mean(total, axis=0).transpose(0, 3, 1, 2)


def test_the_map_of_a_class_is_the_softmax_of_the_mean_over_scales():
    table = exported(Decoupled, "raw").outputs()[0].astype(np.float64)
    mean = mean_logits(np.log(table[..., 5:]) - np.log1p(-table[..., 5:]))
    shares = np.exp(mean) / np.exp(mean).sum(1, keepdims=True)
    found = maps_of(Decoupled, "raw", [2, 5, CLASSES + 2, 2 * CLASSES + 2 * CLASSES + 5])
    np.testing.assert_allclose(found[:, 0], shares[:, 2], atol=1e-4)
    np.testing.assert_allclose(found[:, 1], shares[:, 5], atol=1e-4)
    np.testing.assert_allclose(found[:, 2], 1 - shares[:, 2], atol=1e-4)
    np.testing.assert_allclose(found[:, 3], shares[:, 2] - shares[:, 5], atol=1e-4)


def test_of_one_class_alone_it_is_the_sigmoid():
    outputs = exported(Faces, "yunet", names=YUNET).outputs()
    cls, obj = (np.concatenate(outputs[at : at + 3], 1).astype(np.float64) for at in (0, 3))
    mean = mean_logits(sum(np.log(p) - np.log1p(-p) for p in (cls, obj)))
    np.testing.assert_allclose(maps_of(Faces, "yunet", [0], YUNET)[:, 0], 1 / (1 + np.exp(-mean[:, 0])), atol=1e-4)


def test_queries_lie_on_no_grid():
    with pytest.raises(NoClassMaps, match="judge every cell"):
        maps_of(Queries, "logits", [0])


def test_summed_maps_keep_the_weight_that_each_scale_has():
    rng = np.random.default_rng(0)
    raw = [rng.normal(0, scale, (2, n, n)).astype(np.float32) for scale, n in ((1, 12), (0, 6), (0.1, 3))]
    tape = Tape(load(exported(Decoupled, "raw").model.SerializeToString()).proto)
    made = IN_GRAPH["summed"]([tape.constant(one) for one in raw], tape.ints(24, 24))
    tape.add_output(made, "made")
    session = onnxruntime.InferenceSession(tape.model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(["made"], {"images": np.zeros((2, 3, SIDE, SIDE), np.float32)})[0]
    for image in range(2):
        total = sum(cv2.resize(np.maximum(one[image], 0), (24, 24), interpolation=cv2.INTER_LINEAR) for one in raw)
        wanted = (total - total.min()) / (total.max() - total.min() + 1e-7)
        np.testing.assert_allclose(found[image], wanted, atol=1e-5)


def test_the_log_odds_of_a_finished_list_have_the_gradient_of_the_logit():
    """YOLOv10's list and the bare queries of the same net: the best detection is the same, and so is its map."""
    found = {}
    for form in ("six", "logits"):
        net = exported(Queries, form)
        score = "detector:threshold=0"
        graph = onnxcam.convert(net.model, score=score, method="hirescam", outputs=["raw_map"], preprocess="unit")
        session = onnxruntime.InferenceSession(graph.to_bytes(), providers=["CPUExecutionProvider"])
        outputs = ["raw_map", "target_index", "target_box", "target_score", "target_confidence"]
        found[form] = session.run(outputs, {"images": net.x.numpy(), "target": np.array([-1, -1])})
    assert np.abs(found["six"][0]).max() > 1e-4
    for mine, wanted in zip(found["six"], found["logits"], strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=2e-3, atol=1e-5)
