"""Every bad input is an error of ours that says what is wrong and what to do: call, class, words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.parser
import pytest
from command_line import bytes_at, colour_graph, photo, saved
from explain_graphs import DARK_IS_NAN, colours
from onnx import ModelProto
from small_nets import cnn, net

import onnxcam
from onnxcam import errors
from onnxcam.autodiff import RULES
from onnxcam.files import write_whole


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


def without_rule(op_type: str, call: Callable[[], object]) -> object:
    """What the call gives while the op has no rule."""
    rule = RULES.pop(op_type)
    try:
        return call()
    finally:
        RULES[op_type] = rule


def read_only(path: Path) -> Path:
    bytes_at(path, b"old").chmod(0o444)
    return path


def explained(**options: Any) -> onnxcam.Explainer:
    return onnxcam.Explainer(colours(**options).SerializeToString(), threads=1)


PHOTO = np.full((8, 8, 3), 90, np.uint8)


class Row(NamedTuple):
    """A bad input: the call gets an empty folder."""

    name: str
    call: Callable[[Path], object]
    kind: type[errors.OnnxCamError]
    words: str


MODELS = [
    Row(
        "not an ONNX file",
        lambda d: onnxcam.convert(bytes_at(d / "a.onnx", b"GIF89a")),
        errors.InvalidModelFile,
        "a.onnx is not an ONNX model",
    ),
    Row("empty file", lambda d: onnxcam.convert(bytes_at(d / "a.onnx", b"")), errors.InvalidModelFile, "it is empty"),
    Row(
        "truncated file",
        lambda d: onnxcam.convert(bytes_at(d / "a.onnx", cnn().SerializeToString()[:900])),
        errors.TruncatedModelFile,
        "truncated",
    ),
    Row("no file", lambda d: onnxcam.convert(d / "a.onnx"), errors.MissingModelFile, "no model file .*Check the path"),
    Row(
        "missing external data",
        lambda d: onnxcam.convert(split(d, "gone.bin")),
        errors.MissingExternalData,
        r"'gone\.bin', which is missing",
    ),
    Row(
        "data path leaves the folder",
        lambda d: onnxcam.convert(split(d, "../gone.bin")),
        errors.ExternalDataOutsideFolder,
        "outside the model's folder",
    ),
    Row(
        "unknown op domain",
        lambda d: onnxcam.convert(of_domain("acme.vision")),
        errors.UnknownDomain,
        r"Relu .*'acme\.vision'.*standard ONNX operators",
    ),
    Row(
        "opset too old",
        lambda d: onnxcam.convert(of_opset(1)),
        errors.UnsupportedOpset,
        "opset 1; opsets .* can be read. Export it again",
    ),
    Row("opset too new", lambda d: onnxcam.convert(of_opset(999)), errors.UnsupportedOpset, "opset 999; opsets"),
    Row(
        "no spatial layer",
        lambda d: onnxcam.convert(without_space()),
        errors.NoSpatialLayer,
        "A heatmap needs a convolutional feature map",
    ),
    Row(
        "unknown layer",
        lambda d: onnxcam.convert(cnn(), layer="r22"),
        errors.UnknownLayer,
        "no layer named 'r22'. Did you mean 'r2'.*lists all",
    ),
    Row(
        "layer without space",
        lambda d: onnxcam.convert(cnn(), layer="flat"),
        errors.UnknownLayer,
        "no spatial activation",
    ),
    Row(
        "unknown method",
        lambda d: onnxcam.convert(cnn(), method="gradcamm"),
        errors.UnknownChoice,
        "no method named 'gradcamm'. Did you mean 'gradcam'",
    ),
    Row("unknown score", lambda d: onnxcam.convert(cnn(), score="logits"), errors.UnknownScore, "'logits'.*logit"),
    Row(
        "unknown normalisation",
        lambda d: onnxcam.convert(cnn(), normalize="kera"),
        errors.UnknownChoice,
        "Did you mean 'keras'",
    ),
    Row(
        "unknown preset",
        lambda d: onnxcam.convert(cnn(), preprocess="torchvisoin"),
        errors.UnknownChoice,
        "Did you mean 'torchvision'",
    ),
    Row(
        "unknown preprocessing key",
        lambda d: onnxcam.convert(cnn(), preprocess={"means": [0.5]}),
        errors.UnknownChoice,
        "Did you mean 'mean'",
    ),
    Row(
        "preprocessing is no JSON",
        lambda d: onnxcam.convert(cnn(), preprocess='{"mean": '),
        errors.InvalidPreprocessing,
        "it is not JSON",
    ),
    Row(
        "labels of the wrong number",
        lambda d: onnxcam.convert(cnn(), labels=["a", "b"]),
        errors.InvalidLabels,
        "names 2 classes, but the model has 5",
    ),
    Row(
        "labels' file is missing",
        lambda d: onnxcam.convert(cnn(), labels=d / "a.txt"),
        errors.InvalidLabels,
        r"a\.txt cannot be used: No such file",
    ),
    Row(
        "no converter",
        lambda d: onnxcam.convert(object()),
        errors.NoConverter,
        r"No converter reads objects of class object.*the model to ONNX",
    ),
    Row(
        "a tensor called heatmap",
        lambda d: onnxcam.convert(with_tensor_called("heatmap")),
        errors.NameTaken,
        "a tensor called 'heatmap' itself.*Rename it",
    ),
    Row(
        "an explain graph as the model",
        lambda d: onnxcam.convert(onnxcam.convert(cnn()).model),
        errors.NameTaken,
        "explain graph already",
    ),
    Row(
        "output is no class table",
        lambda d: onnxcam.convert(net("z = Relu(x)  y = Flatten<axis=0>(z)", y="float[1,M] y")),
        errors.NoClassScores,
        "No output of the model is a table of class scores",
    ),
    Row(
        "op without a rule",
        lambda d: without_rule("GlobalAveragePool", lambda: onnxcam.convert(cnn(), layer="r1")),
        errors.NoGradientRule,
        r"GlobalAveragePool \(node .*layer 'r1'.*has no gradient rule. Explain a later layer.*register a rule",
    ),
]

RUNS = [
    Row(
        "index out of range",
        lambda d: explained()(PHOTO, 3),
        errors.TargetOutOfRange,
        r"target 3 .*the model has 3 classes.*0\.\.2",
    ),
    Row("rank out of range", lambda d: explained()(PHOTO, -4), errors.TargetOutOfRange, "target -4 is out of range"),
    Row(
        "label not found",
        lambda d: explained()(PHOTO, "gren"),
        errors.LabelNotFound,
        "no class is labelled 'gren'.*Did you mean 'green'",
    ),
    Row(
        "no labels at all",
        lambda d: explained(labels=None)(PHOTO, "cat"),
        errors.LabelNotFound,
        "carries no labels. Give an index, or labels",
    ),
    Row("target of no kind", lambda d: explained()(PHOTO, 1.5), errors.InvalidTarget, "1.5 is no target"),
    Row("no picture", lambda d: explained()(d / "a.jpg"), errors.ImageNotFound, r"no picture at .*a\.jpg"),
    Row("empty picture", lambda d: explained()(bytes_at(d / "a.jpg", b"")), errors.EmptyImage, "a.jpg' is empty"),
    Row(
        "corrupt picture",
        lambda d: explained()(bytes_at(d / "a.png", photo(d / "b.png").read_bytes()[:50])),
        errors.CorruptImage,
        "a.png' is damaged",
    ),
    Row(
        "no picture format",
        lambda d: explained()(bytes_at(d / "a.jpg", b"hello")),
        errors.NotAnImage,
        "a.jpg' is not a picture in a format",
    ),
    Row(
        "unknown colour map",
        lambda d: explained()(PHOTO).overlay(colormap="jett"),
        errors.UnknownChoice,
        "no colour map named 'jett'. Did you mean 'jet'",
    ),
    Row(
        "unknown blend rule",
        lambda d: explained()(PHOTO).overlay(blend="ad"),
        errors.UnknownChoice,
        "no blend rule named 'ad'. Did you mean 'add'",
    ),
    Row(
        "unknown picture format",
        lambda d: explained()(PHOTO).overlay().save(d / "a.xyz"),
        errors.UnknownPictureFormat,
        "names no picture format",
    ),
    Row(
        "provider not available",
        lambda d: onnxcam.Explainer(colour_graph(d), providers=["qnn"]),
        errors.ProviderNotAvailable,
        "'qnn' is not in this ONNX Runtime.*Available here: .*cpu",
    ),
    Row(
        "provider unknown",
        lambda d: onnxcam.Explainer(colour_graph(d), providers=["cudda"]),
        errors.ProviderNotAvailable,
        "Did you mean 'cuda'.*Available here: .*cpu",
    ),
    Row(
        "plain model where an explain graph is due",
        lambda d: onnxcam.Explainer(saved(cnn(), d / "a.onnx")),
        errors.NotAnExplainGraph,
        "onnxcam convert MODEL",
    ),
    Row(
        "folder is not there",
        lambda d: onnxcam.convert(cnn()).save(d / "gone" / "a.onnx"),
        errors.CannotWriteFile,
        "Choose a folder that exists",
    ),
    Row(
        "a file in the folder's place",
        lambda d: onnxcam.convert(cnn()).save(bytes_at(d / "gone", b"") / "a.onnx"),
        errors.CannotWriteFile,
        "cannot be written: Not a directory",
    ),
    Row(
        "overlay's folder is not there",
        lambda d: explained()(PHOTO).overlay().save(d / "gone" / "a.png"),
        errors.CannotWriteFile,
        "cannot be written",
    ),
    Row(
        "read-only file of that name",
        lambda d: onnxcam.convert(cnn()).save(read_only(d / "a.onnx")),
        errors.CannotWriteFile,
        "there is a read-only file of that name",
    ),
]


@pytest.mark.parametrize("row", MODELS + RUNS, ids=lambda row: row.name)
def test_bad_input_is_an_error_of_ours_in_one_line(row: Row, tmp_path: Path):
    with pytest.raises(row.kind, match=row.words) as raised:
        row.call(tmp_path)
    assert isinstance(raised.value, errors.OnnxCamError)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["a.h5", "a.keras"])
def test_a_missing_converter_is_named_with_the_extra_that_has_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("onnxcam.conversion.converters", dict)
    with pytest.raises(errors.NoConverter, match=r'installed: none.*pip install "onnxcam\[keras\]", or export'):
        onnxcam.convert(tmp_path / name)


def test_not_a_number_in_the_map_is_a_status_with_its_reason():
    found = explained(ending=DARK_IS_NAN)(np.zeros((8, 8, 3), np.uint8))
    assert found.status == "not-finite"
    assert "are not finite" in found.reason


def test_a_map_of_zeros_is_a_status_with_its_reason():
    found = explained()(np.zeros((8, 8, 3), np.uint8), "green")
    assert (found.status, found.heatmap.any()) == ("all-zero", False)
    assert "nothing in layer4 speaks for green" in found.reason


WRITERS = [
    ("explain graph", lambda path: onnxcam.convert(cnn()).save(path)),
    ("overlay", lambda path: explained()(PHOTO).overlay().save(path.with_suffix(".png"))),
    ("bytes", lambda path: write_whole(path, b"new")),
]


@pytest.mark.parametrize(("name", "write"), WRITERS, ids=[name for name, _ in WRITERS])
def test_a_file_that_exists_is_left_as_it_was_when_writing_fails(
    name: str, write: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    old = {path: bytes_at(path, b"old").read_bytes() for path in (tmp_path / "a.onnx", tmp_path / "a.png")}
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(errors.CannotWriteFile, match="No space left on device"):
        write(tmp_path / "a.onnx")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == old


@pytest.mark.parametrize(("name", "write"), WRITERS, ids=[name for name, _ in WRITERS])
def test_a_read_only_file_is_left_as_it_was(name: str, write: Callable[[Path], object], tmp_path: Path):
    for path in (tmp_path / "a.onnx", tmp_path / "a.png"):
        read_only(path)
    with pytest.raises(errors.CannotWriteFile, match="read-only"):
        write(tmp_path / "a.onnx")
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"old"}
