"""What an explainer says to bad files and bad calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from explain_graphs import LABELS, SINGLE, colours
from onnx import ModelProto
from small_nets import cnn

import onnxcam
from onnxcam.engine import Explainer
from onnxcam.errors import (
    ExplainGraphNotFound,
    ExplainGraphNotLoadable,
    ImageError,
    InputMismatch,
    InvalidBatchSize,
    InvalidLabels,
    InvalidMetadata,
    InvalidPreprocessing,
    InvalidTarget,
    NoKernel,
    NotAnExplainGraph,
    OnnxCamError,
    RunFailed,
    TargetOutOfRange,
    UnknownChoice,
)

PHOTO = np.full((9, 7, 3), 90, np.uint8)


def explainer(model: ModelProto | None = None, **options: Any) -> Explainer:
    return Explainer((model or colours()).SerializeToString(), threads=1, **options)


def test_a_graph_with_external_data_is_loaded_from_its_path(tmp_path: Path) -> None:
    path = save_split(tmp_path)
    assert Explainer(path, threads=1)(PHOTO, 1).target_index == 1


def save_split(folder: Path) -> Path:
    model = colours()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((3, 3, 1, 1), np.float32), "kernel"))
    extra = onnx.helper.make_node("Conv", ["x", "kernel"], ["nothing"])
    model.graph.node.append(extra)
    model.graph.output.append(onnx.helper.make_tensor_value_info("nothing", 1, ["N", 3, 8, 8]))
    onnx.save_model(model, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    return folder / "m.onnx"


def broken(tmp_path: Path, what: str) -> Path:
    """A file that is no explain graph, one way or another."""
    path = tmp_path / "m.onnx"
    model = colours()
    if what == "plain":
        del model.metadata_props[:]
    if what == "renamed":
        model.graph.output[1].name = "scores2"
    data = model.SerializeToString()
    path.write_bytes({"empty": b"", "text": b"hello", "cut": data[: len(data) // 2]}.get(what, data))
    if what == "external":
        save_split(tmp_path)
        (tmp_path / "m.data").unlink()
    if what == "missing":
        path.unlink()
    return path


FILES = [
    ("missing", ExplainGraphNotFound, "onnxcam convert MODEL -o"),
    ("empty", ExplainGraphNotLoadable, "truncated"),
    ("text", ExplainGraphNotLoadable, "Protobuf parsing failed"),
    ("cut", ExplainGraphNotLoadable, "truncated"),
    ("external", ExplainGraphNotLoadable, "lacks its external data"),
    ("plain", NotAnExplainGraph, "onnxcam convert"),
]


@pytest.mark.parametrize(("what", "kind", "words"), FILES, ids=[row[0] for row in FILES])
def test_a_bad_file_is_an_error_that_says_what_to_do(
    tmp_path: Path, what: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as raised:
        Explainer(broken(tmp_path, what), threads=1)
    assert isinstance(raised.value, OnnxCamError)
    assert "\n" not in str(raised.value)


def test_a_graph_of_operators_that_lack_a_kernel_for_its_type_is_said_to_be_one() -> None:
    convolved = """<ir_version: 8, opset_import: ["" : 18]> g (double[N,3,8,8] x) => (double[N,2] y)
        <double[2, 3, 1, 1] w = {1, 2, 3, 4, 5, 6}> { c = Conv(x, w) p = GlobalAveragePool(c) y = Flatten(p) }"""
    graph = onnxcam.convert(onnx.parser.parse_model(convolved), layer="c", method="activation-mean")
    with pytest.raises(NoKernel, match=r"Conv.*float64.*convert the model to float32"):
        Explainer(graph.to_bytes())


BATCH = np.zeros((2, 3, 8, 8), np.float32)
CALLS = [
    # what,             call,                                             class,            words
    ("index", lambda e: e(PHOTO, 3), TargetOutOfRange, r"has 3 classes, so an index lies in 0\.\.2"),
    ("rank", lambda e: e(PHOTO, -4), TargetOutOfRange, "target -4 is out of range"),
    ("low-level index", lambda e: e.run(BATCH, 15), TargetOutOfRange, "target 15 is out of range"),
    ("too few targets", lambda e: e([PHOTO] * 3, [0, 1]), InvalidTarget, "2 targets for 3 pictures"),
    ("K targets", lambda e: e(PHOTO, [0, 1]), InvalidTarget, "built with multi_target"),
    ("target's kind", lambda e: e(PHOTO, 0.5), InvalidTarget, "0.5 is no target"),
    ("targets' shape", lambda e: e.run(BATCH, [0, 1, 2]), InvalidTarget, r"targets of shape \(3,\) do not fit 2 pict"),
    ("batch's shape", lambda e: e.run(BATCH[:, :, 1:]), InputMismatch, r"takes \(N, 3, 8, 8\)"),
    ("unknown input", lambda e: e(PHOTO, inputs={"y": [1]}), UnknownChoice, "no other input named 'y'"),
    ("unknown output", lambda e: e.run(BATCH, outputs=["heatmaps"]), UnknownChoice, "Did you mean 'heatmap'"),
    ("yes as a target", lambda e: e(PHOTO, True), InvalidTarget, "True is no target"),
    ("no batch", lambda e: e(PHOTO, batch_size=0), InvalidBatchSize, "batch_size is 0, .* must be 1 or more"),
    ("no pass", lambda e: e(PHOTO, driver="rise", batch_size=-1), InvalidBatchSize, "batch_size is -1"),
    ("bad picture", lambda e: e([PHOTO, b"no picture"]), ImageError, "not a picture"),
]


@pytest.mark.parametrize(("call", "kind", "words"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_a_bad_call_is_an_error_that_says_what_is_wrong(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call(explainer())


def test_another_size_than_the_models_is_refused_when_it_is_said() -> None:
    said = {"preset": "unit", "size": [16, 8]}
    with pytest.raises(
        InvalidPreprocessing, match=r'"size" is \[16, 8\], and the model takes \[8, 8\]; leave "size" out'
    ):
        explainer(preprocess=said)
    with pytest.raises(InvalidPreprocessing, match=r"the model takes \[16, 16\]"):
        onnxcam.convert(cnn(), preprocess=said)


def test_a_missing_input_is_named() -> None:
    with pytest.raises(InputMismatch, match="input 'sizes' is missing"):
        explainer(colours(extra=", float[N,2] sizes"))(PHOTO)


def test_a_failing_run_is_an_error_of_ours() -> None:
    ending = SINGLE.replace(
        "heatmap = Squeeze (maps, second)", "flat = Squeeze (maps, second) heatmap = Expand (flat, sizes)"
    )
    explain = explainer(colours(ending=ending, extra=", int64[3] sizes"))
    with pytest.raises(RunFailed, match="ONNX Runtime stopped while explaining"):
        explain(PHOTO, inputs={"sizes": [1, 7, 7]})


def test_rows_of_different_length_are_an_error() -> None:
    with pytest.raises(InvalidTarget, match="different numbers of targets"):
        explainer(colours(multi_target=True))([PHOTO] * 2, [[0, 1], [2]])


def test_labels_of_another_number_are_an_error() -> None:
    with pytest.raises(InvalidLabels, match="names 2 classes, but the model has 3"):
        explainer(labels=LABELS[:2])


def test_metadata_that_names_an_output_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InvalidMetadata, match="has no input or output 'probabilities'"):
        explainer(colours(scores="probabilities"))
