"""Every bad input is an error of ours that says what is wrong and what to do: call, class, words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.parser
import pytest
from command_line import Command, colour_graph, photo, saved
from explain_graphs import DARK_IS_NAN, colours
from onnx import ModelProto
from small_nets import cnn, net

import onnxcam
from onnxcam import errors
from onnxcam.files import write_whole


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def bytes_at(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def split(folder: Path, location: str) -> Path:
    """The small classifier with its weights said to be in a side file, which is not there."""
    path = folder / "split.onnx"
    onnx.save_model(cnn(), path, save_as_external_data=True, location="gone.bin", size_threshold=0)
    (folder / "gone.bin").unlink()
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = location
    return saved(model, path)


def of_opset(version: int) -> ModelProto:
    model = cnn()
    model.opset_import[0].version = version
    return model


def of_domain(domain: str) -> ModelProto:
    model = cnn()
    model.opset_import.add(domain=domain, version=1)
    model.graph.node[1].domain = domain
    return model


def with_tensor_called(name: str) -> ModelProto:
    model = cnn()
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = name
    return model


def without_space() -> ModelProto:
    return net("flat = Flatten(x) y = Gemm(flat, w3, b3)", x="float[N,8] x")


def explained(**options: Any) -> onnxcam.Explainer:
    return onnxcam.Explainer(colours(**options).SerializeToString(), threads=1)


PHOTO = np.full((8, 8, 3), 90, np.uint8)
NONMAX = "s = NonMaxSuppression(boxes, t, k)"


class Row(NamedTuple):
    """A bad input: the call gets an empty folder."""

    name: str
    call: Callable[[Path], object]
    kind: type[errors.OnnxCamError]
    words: str


MODELS = [
    Row("not an ONNX file", lambda d: onnxcam.convert(bytes_at(d / "a.onnx", b"GIF89a")), errors.InvalidModelFile, "a.onnx is not an ONNX model"),
    Row("empty file", lambda d: onnxcam.convert(bytes_at(d / "a.onnx", b"")), errors.InvalidModelFile, "it is empty"),
    Row("truncated file", lambda d: onnxcam.convert(bytes_at(d / "a.onnx", cnn().SerializeToString()[:900])), errors.TruncatedModelFile, "truncated"),
    Row("no file", lambda d: onnxcam.convert(d / "a.onnx"), errors.MissingModelFile, "no model file .*Check the path"),
    Row("missing external data", lambda d: onnxcam.convert(split(d, "gone.bin")), errors.MissingExternalData, r"'gone\.bin', which is missing"),
    Row("data path leaves the folder", lambda d: onnxcam.convert(split(d, "../gone.bin")), errors.ExternalDataOutsideFolder, "outside the model's folder"),
    Row("unknown op domain", lambda d: onnxcam.convert(of_domain("acme.vision")), errors.UnknownDomain, r"Relu .*'acme\.vision'.*standard ONNX operators"),
    Row("opset too old", lambda d: onnxcam.convert(of_opset(1)), errors.UnsupportedOpset, "opset 1; opsets .* can be read. Export it again"),
    Row("opset too new", lambda d: onnxcam.convert(of_opset(999)), errors.UnsupportedOpset, "opset 999; opsets"),
    Row("no spatial layer", lambda d: onnxcam.convert(without_space()), errors.NoSpatialLayer, "A heatmap needs a convolutional feature map"),
    Row("unknown layer", lambda d: onnxcam.convert(cnn(), layer="r22"), errors.UnknownLayer, "no layer named 'r22'. Did you mean 'r2'.*lists all"),
    Row("layer without space", lambda d: onnxcam.convert(cnn(), layer="flat"), errors.UnknownLayer, "no spatial activation"),
    Row("unknown method", lambda d: onnxcam.convert(cnn(), method="gradcamm"), errors.UnknownChoice, "no method named 'gradcamm'. Did you mean 'gradcam'"),
    Row("unknown score", lambda d: onnxcam.convert(cnn(), score="logits"), errors.UnknownScore, "'logits'.*logit"),
    Row("unknown normalisation", lambda d: onnxcam.convert(cnn(), normalize="kera"), errors.UnknownChoice, "Did you mean 'keras'"),
    Row("unknown preset", lambda d: onnxcam.convert(cnn(), preprocess="torchvisoin"), errors.UnknownChoice, "Did you mean 'torchvision'"),
    Row("unknown preprocessing key", lambda d: onnxcam.convert(cnn(), preprocess={"means": [0.5]}), errors.UnknownChoice, "Did you mean 'mean'"),
    Row("preprocessing is no JSON", lambda d: onnxcam.convert(cnn(), preprocess='{"mean": '), errors.InvalidPreprocessing, "it is not JSON"),
    Row("labels of the wrong number", lambda d: onnxcam.convert(cnn(), labels=["a", "b"]), errors.InvalidLabels, "names 2 classes, but the model has 5"),
    Row("labels' file is missing", lambda d: onnxcam.convert(cnn(), labels=d / "a.txt"), errors.InvalidLabels, r"a\.txt cannot be used: No such file"),
    Row("no converter for .pb", lambda d: onnxcam.convert(d / "a.pb"), errors.NoConverter, "No converter reads .*export the model to ONNX|No converter reads .*Export the model to ONNX"),
    Row("a tensor called heatmap", lambda d: onnxcam.convert(with_tensor_called("heatmap")), errors.NameTaken, "a tensor called 'heatmap' itself.*Rename it"),
    Row("an explain graph as the model", lambda d: onnxcam.convert(colour_graph(d)), errors.OnnxCamError, "explain graph already"),
    Row("output is no class table", lambda d: onnxcam.convert(net("y = Relu(x)", y="float[N,3,16,16] y")), errors.NoClassScores, r"no output of the model is a table of class scores|No output of the model is a table of class scores"),
    Row("op without a rule", lambda d: onnxcam.convert(cnn("o = DynamicQuantizeLinear(flat) y = Gemm(flat, w3, b3)".split(" y")[1].join(["h = Det(c2) d = Unsqueeze(h, ax) y", ""]) if False else HARD), layer="r2"), errors.NoGradientRule, "has no gradient rule. Explain a later layer"),
]  # fmt: skip
