"""Models written whole or not at all; above 2 GB with the weights in one side file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import onnx.numpy_helper
from onnx import ModelProto, TensorProto

from onnxcam.errors import CannotWriteFile
from onnxcam.files import whole
from onnxcam.graph.copying import without
from onnxcam.graph.files import MEMORY_BYTES, Piece, external_tensors, keep_outside, tensor_bytes
from onnxcam.graph.walk import all_tensors

ALIGN_BYTES = 4096  # ONNX Runtime maps tensors into memory that start on a page
SMALL_BYTES = 1024  # stay in the model file: shapes and scales
BLOCK_BYTES = 1 << 20


def write(model: ModelProto, path: str | Path, *, limit: int = MEMORY_BYTES) -> None:
    """Leaves the model at `path`: one file, or with `path`.data beside it when its tensors exceed `limit` bytes.

    Raises:
        CannotWriteFile: the folder is missing or not writable, or the disk is full; nothing is left behind.
    """
    path = Path(path)
    if external_tensors(model) or sum(map(tensor_bytes, all_tensors(model))) > limit:
        _write_split(model, path)
        return
    with whole(path) as file:
        file.write(model.SerializeToString())


def _write_split(model: ModelProto, path: Path) -> None:
    """The weights in one side file, tensor by tensor: what is in memory at a time is one tensor."""
    beside = path.with_name(f"{path.name}.data")
    is_new = not beside.exists()
    try:
        with whole(path) as file:
            with whole(beside) as data:
                shell = _shell(model, _appender(data, Path(beside.name)))
            file.write(shell.SerializeToString())
    except CannotWriteFile:
        if is_new:
            beside.unlink(missing_ok=True)
        raise


def _appender(data: BinaryIO, name: Path) -> Callable[[TensorProto], TensorProto]:
    """Moves a tensor's bytes to the end of the side file and gives the tensor that points there."""

    def append(tensor: TensorProto) -> TensorProto:
        data.seek(-(-data.tell() // ALIGN_BYTES) * ALIGN_BYTES)
        start = data.tell()
        for block in _blocks(tensor):
            data.write(block)
        moved = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        if tensor.doc_string:
            moved.doc_string = tensor.doc_string
        keep_outside(moved, Piece(name, start, tensor_bytes(tensor)))
        return moved

    return append


def _blocks(tensor: TensorProto) -> Iterator[bytes]:
    if tensor.data_location != TensorProto.EXTERNAL:
        yield tensor.raw_data or onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor)).raw_data
        return
    told = {entry.key: entry.value for entry in tensor.external_data}
    left = int(told["length"])
    with Path(told["location"]).open("rb") as file:
        file.seek(int(told["offset"]))
        while left and (block := file.read(min(left, BLOCK_BYTES))):
            left -= len(block)
            yield block


def _shell(model: ModelProto, move: Callable[[TensorProto], TensorProto]) -> ModelProto:
    """The model with its large tensors moved out; the given one keeps its own."""
    shell = without(model, "graph")
    shell.graph.CopyFrom(without(model.graph, "initializer"))
    for tensor in model.graph.initializer:
        is_inside = tensor.data_location != TensorProto.EXTERNAL and tensor_bytes(tensor) <= SMALL_BYTES
        shell.graph.initializer.append(tensor if is_inside or tensor.data_type == TensorProto.STRING else move(tensor))
    for tensor in all_tensors(shell):
        if tensor.data_location == TensorProto.EXTERNAL and Path(tensor.external_data[0].value).is_absolute():
            tensor.CopyFrom(move(tensor))
    return shell
