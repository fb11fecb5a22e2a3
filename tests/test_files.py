"""Files: what is refused and with which words, where weights may lie, and that nothing half-written remains."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import onnx.external_data_helper
import onnx.numpy_helper
import pytest
from onnx import ModelProto, TensorProto
from onnx_runs import model, run

from onnxcam import files
from onnxcam.errors import (
    CannotWriteFile,
    ExternalDataOutsideFolder,
    ExternalDataTooShort,
    InvalidModelFile,
    MissingExternalData,
    MissingModelFile,
    TruncatedModelFile,
)
from onnxcam.graph.files import external_tensors, read
from onnxcam.graph.writing import write

X = np.ones((2, 600), np.float32)


def dense() -> ModelProto:
    """x · w + b with weights of 4800 bytes."""
    proto = model("""(float[N, 600] x, float[600, 2] w) => (float[N, 2] y) <float[2] b = {1, 2}>
        { m = MatMul (x, w) y = Add (m, b) }""", opset=18)  # fmt: skip
    del proto.graph.input[1]
    weights = np.arange(1200, dtype=np.float32).reshape(600, 2) / 1000
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    return proto


def beside(folder: Path, *, location: str = "weights.bin") -> Path:
    """The model with its weights in a file beside it."""
    path = folder / "dense.onnx"
    onnx.save(dense(), path, save_as_external_data=True, location="weights.bin", size_threshold=100)
    if location != "weights.bin":
        proto = onnx.load(path, load_external_data=False)
        for tensor in external_tensors(proto):
            tensor.external_data[0].value = location
        path.write_bytes(proto.SerializeToString())
    return path


def answer(proto: ModelProto | Path) -> np.ndarray:
    return run(proto, {"x": X})[0]


EXPECTED = X @ (np.arange(1200, dtype=np.float32).reshape(600, 2) / 1000) + [1, 2]


def test_a_file_is_read_with_its_name_folder_and_digest(tmp_path: Path):
    path = tmp_path / "dense.onnx"
    path.write_bytes(dense().SerializeToString())
    proto, source = read(path)
    assert (source.file, source.folder) == ("dense.onnx", tmp_path)
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_allclose(answer(proto), EXPECTED, rtol=1e-5)


def test_bytes_have_no_file():
    proto, source = read(dense().SerializeToString())
    assert (source.file, source.folder) == (None, None)
    assert proto == dense()


def test_a_proto_given_is_copied():
    given = dense()
    proto, _ = read(given)
    proto.graph.name = "changed"
    assert given == dense()


JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (JPEG, InvalidModelFile, "is not an ONNX model: it holds something else"),
        (b"hello, this is text", InvalidModelFile, "it holds something else"),
        (b"", InvalidModelFile, "it is empty"),
        (b"\x89PNG\r\n\x1a\n", InvalidModelFile, "it holds something else"),
        (b"PK\x03\x04\x14\x00", InvalidModelFile, "it holds something else"),
        (dense().SerializeToString()[:2000], TruncatedModelFile, "it is truncated"),
        (dense().SerializeToString()[:9], TruncatedModelFile, "it is truncated"),
        (ModelProto(ir_version=8).SerializeToString(), TruncatedModelFile, "it is truncated"),
    ],
    ids=["JPEG", "text", "empty", "PNG", "zip", "cut in the weights", "cut early", "cut before the graph"],
)
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes, error: type[Exception], words: str):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(error, match=words):
        read(path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path):
    whole = dense().SerializeToString()
    for end in range(1, len(whole), 97):
        with pytest.raises(TruncatedModelFile):
            read(whole[:end])


def test_a_file_damaged_inside_is_refused():
    data = bytearray(dense().SerializeToString())
    start = data.index(b"MatMul")
    data[start - 1] = 0xF7
    with pytest.raises(InvalidModelFile, match="it is damaged inside"):
        read(bytes(data))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(MissingModelFile, match=r"no model file '.*gone\.onnx'"):
        read(tmp_path / "gone.onnx")


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(InvalidModelFile, match="it cannot be read"):
        read(tmp_path)


def test_weights_beside_the_file_are_loaded(tmp_path: Path):
    path = beside(tmp_path)
    proto, source = read(path)
    assert not external_tensors(proto)
    digest = hashlib.sha256(path.read_bytes() + (tmp_path / "weights.bin").read_bytes()).hexdigest()
    assert source.sha256 == digest
    np.testing.assert_allclose(answer(proto), EXPECTED, rtol=1e-5)


def test_missing_weights_are_named(tmp_path: Path):
    path = beside(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(MissingExternalData, match=r"tensor 'w' lie in 'weights\.bin', which is missing: put it into"):
        read(path)


def test_weights_of_bytes_cannot_be_found(tmp_path: Path):
    with pytest.raises(MissingExternalData, match="bytes have no folder: pass the path"):
        read(beside(tmp_path).read_bytes())


def test_weights_of_a_proto_cannot_be_found(tmp_path: Path):
    with pytest.raises(MissingExternalData, match="a ModelProto has no folder: pass the path"):
        read(onnx.load(beside(tmp_path), load_external_data=False))


def test_weights_that_end_too_early_are_named(tmp_path: Path):
    path = beside(tmp_path)
    os.truncate(tmp_path / "weights.bin", 4000)
    with pytest.raises(ExternalDataTooShort, match=r"should end at byte 4800 of 'weights\.bin', but end at 4000"):
        read(path)


@pytest.mark.parametrize(("key", "value"), [("length", "400"), ("offset", "4097"), ("length", "99999999999999")])
def test_a_place_that_does_not_fit_the_tensor_is_refused(tmp_path: Path, key: str, value: str):
    path = beside(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    for entry in external_tensors(proto)[0].external_data:
        entry.value = value if entry.key == key else entry.value
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ExternalDataTooShort):
        read(path)


@pytest.mark.parametrize("value", ["-4", "1e3", "0x10", ""])
def test_an_offset_that_is_no_number_is_refused(tmp_path: Path, value: str):
    path = beside(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    for entry in external_tensors(proto)[0].external_data:
        entry.value = value if entry.key == "offset" else entry.value
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(InvalidModelFile, match="the offset of its external data is"):
        read(path)


@pytest.mark.parametrize(
    "location", ["/etc/hostname", "../weights.bin", "a/../../weights.bin", "..\\weights.bin", "C:\\w", ""]
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, location: str):
    inner = tmp_path / "inner"
    inner.mkdir()
    path = beside(inner, location=location)
    shutil.copy(inner / "weights.bin", tmp_path)
    with pytest.raises(ExternalDataOutsideFolder, match="outside the model's folder"):
        read(path)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path):
    inner = tmp_path / "inner"
    inner.mkdir()
    path = beside(inner)
    (inner / "weights.bin").rename(tmp_path / "secret")
    (inner / "weights.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(ExternalDataOutsideFolder):
        read(path)


def test_a_folder_linked_to_elsewhere_is_refused(tmp_path: Path):
    inner = tmp_path / "inner"
    inner.mkdir()
    path = beside(inner, location="sub/weights.bin")
    shutil.move(inner / "weights.bin", tmp_path / "weights.bin")
    (inner / "sub").symlink_to(tmp_path)
    with pytest.raises(ExternalDataOutsideFolder):
        read(path)


def test_the_links_of_a_hugging_face_cache_are_followed(tmp_path: Path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0a1b"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    path = beside(tmp_path)
    path.rename(blobs / "e3f0")
    (tmp_path / "weights.bin").rename(blobs / "67fb")
    (snapshot / "dense.onnx").symlink_to("../../blobs/e3f0")
    (snapshot / "weights.bin").symlink_to("../../blobs/67fb")
    proto, source = read(snapshot / "dense.onnx")
    assert source.file == "dense.onnx"
    np.testing.assert_allclose(answer(proto), EXPECTED, rtol=1e-5)


def test_a_written_file_is_read_back(tmp_path: Path):
    path = tmp_path / "out.onnx"
    write(dense(), path)
    onnx.checker.check_model(path, full_check=True)
    assert read(path)[0] == dense()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.onnx"]


def test_a_large_model_is_written_with_its_weights_beside_it(tmp_path: Path):
    path, given = tmp_path / "out.onnx", dense()
    write(given, path, limit=1000)
    assert given == dense()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.onnx", "out.onnx.data"]
    onnx.checker.check_model(path, full_check=True)
    np.testing.assert_allclose(answer(path), EXPECTED, rtol=1e-5)
    assert read(path)[0] == dense()


def test_weights_start_on_a_page(tmp_path: Path):
    proto = dense()
    for index in range(3):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.full(500, index, np.float32), f"more{index}"))
    write(proto, tmp_path / "out.onnx", limit=1000)
    told = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    offsets = [int(e.value) for t in external_tensors(told) for e in t.external_data if e.key == "offset"]
    assert offsets == [0, 8192, 12288, 16384]
    assert read(tmp_path / "out.onnx")[0] == proto


def test_beyond_the_limit_weights_stay_outside_and_are_written_from_there(tmp_path: Path):
    path = beside(tmp_path)
    proto, _ = read(path, limit=1000)
    told = {entry.key: entry.value for entry in external_tensors(proto)[0].external_data}
    assert told == {"location": str((tmp_path / "weights.bin").resolve()), "offset": "0", "length": "4800"}
    write(proto, tmp_path / "out.onnx", limit=1000)
    (tmp_path / "weights.bin").unlink()
    onnx.checker.check_model(tmp_path / "out.onnx", full_check=True)
    np.testing.assert_allclose(answer(tmp_path / "out.onnx"), EXPECTED, rtol=1e-5)


def test_a_model_can_be_written_over_itself(tmp_path: Path):
    path = tmp_path / "out.onnx"
    write(dense(), path, limit=1000)
    proto, _ = read(path, limit=1000)
    write(proto, path, limit=1000)
    np.testing.assert_allclose(answer(path), EXPECTED, rtol=1e-5)


@pytest.mark.parametrize("limit", [1000, 10**9])
def test_a_folder_that_is_missing_is_named_and_nothing_is_left(tmp_path: Path, limit: int):
    with pytest.raises(CannotWriteFile, match="Choose a folder that exists and is writable"):
        write(dense(), tmp_path / "gone" / "out.onnx", limit=limit)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [1000, 10**9])
def test_a_folder_that_is_not_writable_is_named(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch):
    def refuse(**_: object) -> tuple[int, str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    with pytest.raises(CannotWriteFile, match=r"out\.onnx cannot be written: Permission denied"):
        write(dense(), tmp_path / "out.onnx", limit=limit)


@pytest.mark.parametrize("limit", [1000, 10**9])
def test_when_the_disk_is_full_the_old_file_stays_and_no_part_remains(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
):
    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "out.onnx").write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(CannotWriteFile, match="No space left on device"):
        write(dense(), tmp_path / "out.onnx", limit=limit)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("out.onnx", b"old")]


def test_when_only_the_model_file_fails_its_side_file_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if Path(target).name == "out.onnx":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(CannotWriteFile):
        write(dense(), tmp_path / "out.onnx", limit=1000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif("ONNXCAM_LARGE" not in os.environ, reason="writes 2.3 GB: set ONNXCAM_LARGE=1")
def test_a_model_of_more_than_two_gigabytes_is_read_written_and_run(tmp_path: Path):
    rows, width = 575_000, 1000
    proto = model(f"(int64[N] x, float[{rows}, {width}] w) => (float[N, {width}] y) {{ y = Gather (w, x) }}", opset=18)
    del proto.graph.input[1]
    table = TensorProto(name="w", dims=[rows, width], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    table.external_data.add(key="location", value="holes.bin")
    proto.graph.initializer.append(table)
    (tmp_path / "large.onnx").write_bytes(proto.SerializeToString())
    with (tmp_path / "holes.bin").open("wb") as file:
        file.truncate(rows * width * 4)
        file.seek(-4, os.SEEK_END)
        file.write(np.float32(7).tobytes())
    loaded, _ = read(tmp_path / "large.onnx")
    write(loaded, tmp_path / "out.onnx")
    onnx.checker.check_model(tmp_path / "out.onnx")
    assert run(tmp_path / "out.onnx", {"x": np.array([rows - 1])})[0][0, -1] == 7
