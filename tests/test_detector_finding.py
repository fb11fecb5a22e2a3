"""Detectors without a net: what NonMaxSuppression takes, offsets from anchors, finished lists; and what is none."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from detector_nets import Anchored, Queries, exported
from detector_reading import close, corners, found_in
from onnx import parser

from onnxcam.errors import DetectorUnclear, NotThatDetector, RawBoxes, UnknownChoice, UnknownClassCount
from onnxcam.scores.detectors.settings import Settings


# Graphs without a net: candidates straight from a pooled picture.
def text(body: str, outputs: str, *, x: str = "float[1,3,8,8] x") -> onnx.ModelProto:
    head = f'<ir_version: 8, opset_import: ["" : 18], producer_name: "pytorch">\ng ({x}) => ({outputs})'
    model = parser.parse_model(f"{head} {{ {body} }}")
    onnx.checker.check_model(model)
    return model


def suppressed(*, centre: int = 0) -> onnx.ModelProto:
    body = f"""
      all = Constant<value = int64[2] {{1, 192}}>()
      four = Constant<value = int64[3] {{1, 12, 4}}>()
      two = Constant<value = int64[3] {{1, 2, 12}}>()
      sizes = Constant<value = int64[3] {{48, 24, 120}}>()
      flat = Reshape(x, all)
      a, b, c = Split<axis=1>(flat, sizes)
      sorted = Sigmoid(a)
      boxes = Reshape(sorted, four)
      raw = Reshape(b, two)
      scores = Sigmoid(raw)
      most = Constant<value = int64[1] {{5}}>()
      overlap = Constant<value = float[1] {{0.5}}>()
      least = Constant<value = float[1] {{0.1}}>()
      picked = NonMaxSuppression<center_point_box={centre}>(boxes, scores, most, overlap, least)
    """
    return text(body, "int64[n,3] picked")


def test_the_candidates_of_a_suppression_are_what_it_takes():
    x = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    tape, found = found_in(suppressed(centre=1))
    assert found is not None
    assert (found.family, found.count) == ("nms", 2)
    for name in ("boxes", "logits"):
        tape.add_output(getattr(found, name), f"found_{name}")
    session = onnxruntime.InferenceSession(tape.model.SerializeToString(), providers=["CPUExecutionProvider"])
    boxes, logits = session.run(["found_boxes", "found_logits"], {"x": x})
    flat = x.reshape(-1).astype(np.float64)
    close(boxes[0], corners(1 / (1 + np.exp(-flat[:48])).reshape(12, 4)) * 8)
    close(logits[0], flat[48:72].reshape(2, 12).T)


def test_raw_outputs_with_anchors_are_not_guessed():
    with pytest.raises(DetectorUnclear, match=r"yolov3, yolov4, yolov5, yolov7.*--score detector:yolov3"):
        found_in(exported(Anchored, "flat").model)


def test_a_kind_that_does_not_fit_is_refused():
    with pytest.raises(NotThatDetector, match="no detector of kind 'nanodet'"):
        found_in(exported(Queries, "logits").model, "nanodet")


def test_a_kind_that_there_is_not_names_its_neighbour():
    with pytest.raises(UnknownChoice, match="yolov5"):
        found_in(exported(Queries, "logits").model, "yolov55")


OFFSETS = """
  all = Constant<value = int64[2] {1, 192}>()
  four = Constant<value = int64[3] {1, 24, 4}>()
  flat = Reshape(x, all)
  made = MatMul(flat, w)
  boxes = Reshape(made, four)
  raw = Reshape(made, four)
  scores = Softmax<axis=-1>(raw)
"""


def offsets() -> onnx.ModelProto:
    outputs = "float[1,24,4] boxes, float[1,24,4] scores"
    model = text(OFFSETS, outputs, x="float[1,3,8,8] x, float[192,96] w")
    weights = np.random.default_rng(0).normal(size=(192, 96)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    del model.graph.input[1]
    return model


def test_offsets_without_anchors_are_refused():
    with pytest.raises(RawBoxes, match="anchors=FILE"):
        found_in(offsets())


def test_offsets_are_decoded_with_the_anchors_given(tmp_path):
    anchors = np.abs(np.random.default_rng(1).normal(4, 1, (24, 4))).astype(np.float32)
    np.save(tmp_path / "anchors.npy", anchors)
    x = np.random.default_rng(2).normal(0, 0.1, size=(1, 3, 8, 8)).astype(np.float32)
    model = offsets()
    tape, found = found_in(model, f"anchored,anchors={tmp_path / 'anchors.npy'}")
    assert found is not None
    tape.add_output(found.boxes, "found_boxes")
    session = onnxruntime.InferenceSession(tape.model.SerializeToString(), providers=["CPUExecutionProvider"])
    raw, boxes = session.run(["boxes", "found_boxes"], {"x": x})
    xy, wh = anchors[:, :2] + raw[0, :, :2] * anchors[:, 2:], anchors[:, 2:] * np.exp(raw[0, :, 2:])
    close(boxes[0], corners(np.concatenate([xy, wh], -1)))


def test_finished_detections_whose_classes_cannot_be_counted_ask_for_their_number():
    body = """
      all = Constant<value = int64[2] {1, 192}>()
      sizes = Constant<value = int64[3] {48, 12, 132}>()
      four = Constant<value = int64[3] {1, 12, 4}>()
      flat = Reshape(x, all)
      a, b, c = Split<axis=1>(flat, sizes)
      boxes = Reshape(a, four)
      scores = Abs(b)
      labels = Cast<to=7>(scores)
    """
    model = text(body, "float[1,12,4] boxes, float[1,12] scores, int64[1,12] labels")
    with pytest.raises(UnknownClassCount, match="classes=80"):
        found_in(model)
    _, found = found_in(model, "classes=5")
    assert found is not None
    assert found.count == 5


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("y = ReduceMean<keepdims=0>(x)", "float y"),
        ("y = Relu(x)", "float[1,3,8,8] y"),
        # a classifier of four classes that also tells the best one
        (
            """
            a = Constant<value = int64[1] {0}>()
            b = Constant<value = int64[1] {1}>()
            space = Constant<value = int64[2] {2, 3}>()
            three = ReduceMean<keepdims=0>(x, space)
            one = Slice(three, a, b, b)
            four = Concat<axis=1>(three, one)
            best = ReduceMax<keepdims=0>(four, b)
            label = ArgMax<axis=1, keepdims=0>(four)
            """,
            "float[1,4] four, float[1] best, int64[1] label",
        ),
        # tokens, as many as a scale has cells
        ("s = Constant<value = int64[3] {1, 64, 3}>() y = Reshape(x, s)", "float[1,64,3] y"),
        # maps of features, finer and coarser
        ("a = AveragePool<kernel_shape=[8,8], strides=[8,8]>(x) b = Relu(x)", "float[1,3,1,1] a, float[1,3,8,8] b"),
    ],
)
def test_what_is_no_detector_is_left_alone(body, outputs):
    assert found_in(text(body, outputs))[1] is None


def test_settings_have_the_defaults_that_the_docs_name():
    assert (Settings().iou, Settings().threshold) == (0.5, 0.25)
