"""The cases of ONNX's own backend tests: models, inputs and outputs that nobody here wrote."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
from onnx import ModelProto, TensorProto, TypeProto

FOLDERS = ("pytorch-converted", "pytorch-operator")


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: as ONNX calls it, without "test_".
        op: the operator that it is about; of a folder with several, the folder's name.
        feeds: the inputs by name.
        outputs: what the model must give, by name.
    """

    name: str
    op: str
    model: ModelProto
    feeds: dict[str, Any]
    outputs: dict[str, Any]
    rtol: float = 1e-3
    atol: float = 1e-5


@functools.cache
def all_cases() -> dict[str, Case]:
    """Those of single nodes, their expansions, and those that PyTorch exported, by name."""
    return node_cases() | {case.name: case for folder in FOLDERS for case in _folder_cases(folder)}


@functools.cache
def node_cases() -> dict[str, Case]:
    """One node each, or the body of a function, as the installed onnx generates them."""
    np.random.seed(0)  # noqa: NPY002  (what the cases draw from)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The module makes its cases when it is imported, and some of its code warns.
        found = importlib.import_module("onnx.backend.test.case.node").collect_testcases(None)
    ops = {case.name: case.model.graph.node[0].op_type for case in found if "_expanded" not in case.name}
    return {case.name.removeprefix("test_"): _node_case(case, ops) for case in found}


def _node_case(case: Any, ops: dict[str, str]) -> Case:
    inputs, outputs = case.data_sets[0]
    graph = case.model.graph
    name = case.name.removeprefix("test_")
    op = ops.get(case.name) or ops[case.name[: case.name.index("_expanded")]]
    feeds, expected = _named(graph.input, inputs), _named(graph.output, outputs)
    return Case(name, op, case.model, feeds, expected, case.rtol, max(case.atol, 1e-5))


def _named(infos: Any, arrays: Any) -> dict[str, Any]:
    return {info.name: _array(array) for info, array in zip(infos, arrays, strict=True)}


def _array(value: Any) -> Any:
    if isinstance(value, TensorProto):
        return onnx.numpy_helper.to_array(value)
    return value if value is None or isinstance(value, list) else np.asarray(value)


def _folder_cases(folder: str) -> Iterator[Case]:
    root = Path(onnx.__file__).parent / "backend" / "test" / "data" / folder
    for path in sorted(root.iterdir()):
        model = onnx.load(path / "model.onnx")
        defaults = {tensor.name for tensor in model.graph.initializer}
        inputs = [info for info in model.graph.input if info.name not in defaults]
        data = path / "test_data_set_0"
        feeds = {info.name: _read(data / f"input_{i}.pb", info.type) for i, info in enumerate(inputs)}
        outputs = {info.name: _read(data / f"output_{i}.pb", info.type) for i, info in enumerate(model.graph.output)}
        yield Case(f"{folder}/{path.name.removeprefix('test_')}", folder, model, feeds, outputs, 1e-3, 1e-5)


def _read(path: Path, kind: TypeProto) -> Any:
    if not kind.HasField("tensor_type"):
        raise ValueError(f"{path} is no tensor")
    tensor = TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return onnx.numpy_helper.to_array(tensor)
