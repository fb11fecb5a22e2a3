"""Model files: read safely, weights beside the file included, and written whole or not at all.

`onnx.load` refuses the Hugging Face cache, where model.onnx and model.onnx_data are both links into another folder, so
side files are found here: a location must be relative and stay in the model's folder by its words; what it leads to
must lie there too, or in the folder where the model file really lies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx.helper
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto

from onnxcam.errors import (
    ExternalDataOutsideFolder,
    ExternalDataTooShort,
    InvalidModelFile,
    MissingExternalData,
    MissingModelFile,
    TruncatedModelFile,
)
from onnxcam.graph.walk import all_tensors

# A protobuf message ends at 2 GiB; the rest is for the nodes that an explain graph adds.
MEMORY_BYTES = 1_900_000_000
WIRE_TYPES = {1: 0, 5: 0, 2: 2, 3: 2, 4: 2, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
PER_BYTE: dict[int, int] = {TensorProto.INT4: 2, TensorProto.UINT4: 2, TensorProto.FLOAT4E2M1: 2}


@dataclass(frozen=True)
class Source:
    """Where a model came from.

    Attributes:
        file: the file's name; None for a model given as bytes or as a proto.
        sha256: of the file's bytes, followed by those of its side files in the order of their first use.
        folder: where the side files lie.
    """

    file: str | None
    sha256: str
    folder: Path | None


@dataclass(frozen=True)
class Piece:
    """A tensor's bytes in a side file."""

    file: Path
    offset: int
    length: int


def read(source: str | Path | bytes | ModelProto, *, limit: int = MEMORY_BYTES) -> tuple[ModelProto, Source]:
    """A model of our own, never the caller's, and where it came from.

    Side files are loaded up to `limit` bytes of tensors in all. Beyond it the tensors stay outside, each at the
    absolute path of its file.

    Raises:
        MissingModelFile, InvalidModelFile, TruncatedModelFile: the file itself is no model.
        MissingExternalData, ExternalDataTooShort, ExternalDataOutsideFolder: the weights beside it cannot be had.
    """
    if isinstance(source, ModelProto):
        return _copied(source)
    path = None if isinstance(source, bytes) else Path(source)
    data = source if isinstance(source, bytes) else _bytes(Path(source))
    model = parse(data, str(path or "the bytes given"))
    digest = hashlib.sha256(data)
    for file in _attach(model, path, limit):
        with file.open("rb") as side:
            while block := side.read(1 << 20):
                digest.update(block)
    return model, Source(path.name if path else None, digest.hexdigest(), path.parent if path else None)


def parse(data: bytes, name: str) -> ModelProto:
    """The model that the bytes hold."""
    _check_fields(data, name)
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise InvalidModelFile(name, "it is damaged inside") from error
    if not model.HasField("graph") or not model.opset_import:
        raise TruncatedModelFile(name)
    return model


def external_tensors(model: ModelProto) -> list[TensorProto]:
    """The tensors whose bytes lie beside the file."""
    return [tensor for tensor in all_tensors(model) if tensor.data_location == TensorProto.EXTERNAL]


def tensor_bytes(tensor: TensorProto) -> int:
    """How many bytes the tensor's elements take, wherever they lie."""
    count: int = prod(tensor.dims)
    if tensor.data_type in PER_BYTE:
        return -(-count // PER_BYTE[tensor.data_type])
    if tensor.data_type == TensorProto.STRING:
        return sum(map(len, tensor.string_data))
    return count * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def piece(tensor: TensorProto, model_file: Path | None) -> Piece:
    """Where an external tensor's bytes lie; only safe files that are long enough come back."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    location = told.get("location", "")
    file = _side_file(location, tensor.name, model_file)
    needed, size = tensor_bytes(tensor), file.stat().st_size
    offset, length = _number(told, "offset", 0, tensor), _number(told, "length", needed, tensor)
    if length != needed or offset + length > size:
        raise ExternalDataTooShort(tensor.name, location, needed=offset + needed, found=min(size, offset + length))
    return Piece(file, offset, length)


def keep_outside(tensor: TensorProto, where: Piece) -> None:
    """The tensor's bytes stay in that file."""
    del tensor.external_data[:]
    entries = {"location": str(where.file), "offset": str(where.offset), "length": str(where.length)}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    tensor.data_location = TensorProto.EXTERNAL


def _copied(given: ModelProto) -> tuple[ModelProto, Source]:
    model = ModelProto()
    model.CopyFrom(given)
    for tensor in external_tensors(model):
        raise MissingExternalData(tensor.name, "its side file", "a ModelProto has no folder: pass the path of the file")
    try:
        digest = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    except (EncodeError, ValueError) as error:
        raise InvalidModelFile("the ModelProto given", "it is larger than 2 GB: save it, pass its path") from error
    return model, Source(None, digest, None)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MissingModelFile(str(path)) from error
    except OSError as error:
        raise InvalidModelFile(str(path), f"it cannot be read: {error.strerror}") from error


def _check_fields(data: bytes, name: str) -> None:
    """Tells a file that ends too early from one that never was a model, by the outermost fields alone."""
    if not data:
        raise InvalidModelFile(name, "it is empty")
    at = 0
    while at < len(data):
        key, at = _varint(data, at, name)
        if WIRE_TYPES.get(key >> 3) != key & 7:
            raise InvalidModelFile(name, "it holds something else")
        value, at = _varint(data, at, name)
        at += value if key & 7 else 0
    if at > len(data):
        raise TruncatedModelFile(name)


def _varint(data: bytes, at: int, name: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at == len(data):
            raise TruncatedModelFile(name)
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise InvalidModelFile(name, "it holds something else")


def _attach(model: ModelProto, model_file: Path | None, limit: int) -> Iterable[Path]:
    """The side files in use, once their tensors are loaded, or placed where they lie when they are too many bytes."""
    outside = external_tensors(model)
    pieces = [piece(tensor, model_file) for tensor in outside]
    is_large = bool(outside) and sum(map(tensor_bytes, all_tensors(model))) > limit
    for tensor, where in zip(outside, pieces, strict=True):
        if is_large:
            keep_outside(tensor, where)
        else:
            _load(tensor, where)
    return dict.fromkeys(where.file for where in pieces)


def _load(tensor: TensorProto, where: Piece) -> None:
    with where.file.open("rb") as file:
        file.seek(where.offset)
        tensor.raw_data = file.read(where.length)
    del tensor.external_data[:]
    tensor.ClearField("data_location")


def _side_file(location: str, tensor: str, model_file: Path | None) -> Path:
    if model_file is None:
        raise MissingExternalData(tensor, location, "bytes have no folder: pass the path of the file")
    windows = PureWindowsPath(location)
    if not location or windows.anchor or PurePosixPath(location).anchor or ".." in windows.parts:
        raise ExternalDataOutsideFolder(tensor, location)
    file = (model_file.parent / location).resolve()
    if not any(file.is_relative_to(home) for home in (model_file.parent.resolve(), model_file.resolve().parent)):
        raise ExternalDataOutsideFolder(tensor, location)
    if not file.is_file():
        raise MissingExternalData(tensor, location, f"put it into {model_file.parent}, beside the model")
    return file


def _number(told: dict[str, str], key: str, default: int, tensor: TensorProto) -> int:
    text = told.get(key, str(default))
    if not text.isdecimal():
        raise InvalidModelFile(f"tensor {tensor.name!r}", f"the {key} of its external data is {text[:20]!r}")
    return int(text)
