"""Small Keras models of two eras: made, saved, converted from the file, and compared with what Keras predicts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxcam.conversion import Request, convert_source

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
ERAS = ("keras", "tf_keras")
FORMATS = (".keras", ".h5")
Array = NDArray[Any]


@dataclass(frozen=True)
class Net:
    """A row of a table: a small model.

    Attributes:
        name: what it shows.
        build: from (layers of the Keras at hand, input tensors…) to the output, or several.
        shapes: of the inputs, without the batch.
        eras: which Keras has such layers.
    """

    name: str
    build: Callable[..., Any]
    shapes: tuple[tuple[int | None, ...], ...]
    eras: tuple[str, ...] = ERAS

    def __str__(self) -> str:
        return self.name


def each(nets: Sequence[Net]) -> Any:
    """The parameters of a test `(net, era)`: every net in every Keras that has it."""
    rows = [(net, era) for net in nets for era in net.eras]
    return pytest.mark.parametrize(("net", "era"), rows, ids=[f"{net}, {era}" for net, era in rows])


def keras_of(era: str) -> Any:
    """The package, with the test skipped where it is not installed."""
    pytest.importorskip("tensorflow", reason="extra `keras` is not installed")
    return pytest.importorskip(era, reason=f"{era} is not installed")


def model_of(net: Net, era: str) -> Any:
    """The model with random weights."""
    keras = keras_of(era)
    keras.backend.clear_session()
    inputs = [keras.layers.Input(shape) for shape in net.shapes]
    model = keras.Model(inputs[0] if len(inputs) == 1 else inputs, net.build(keras.layers, *inputs))
    fill(model)
    return model


def fill(model: Any, seed: int = 0) -> None:
    """Random weights, and positive ones for variances."""
    rng = np.random.default_rng(seed)
    weights = []
    for variable in model.weights:
        numbers = rng.normal(0, 0.5, variable.shape)
        weights.append(np.abs(numbers) + 0.5 if "variance" in variable.name else numbers)
    model.set_weights(weights)


def pictures(shapes: Sequence[tuple[int | None, ...]], *, batch: int = 3) -> list[Array]:
    """Random inputs; open sizes become 6."""
    rng = np.random.default_rng(1)
    return [rng.normal(0, 1, (batch, *(size or 6 for size in shape))).astype(np.float32) for shape in shapes]


def saved(model: Any, path: Path) -> Path:
    """The model as a file of that suffix."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*saving your model as an HDF5 file.*")
        # Keras 3 on numpy 2.
        warnings.filterwarnings("ignore", message="__array__ implementation doesn't accept a copy keyword")
        model.save(path)
    return path


def converted(path: Path, *, weights: Path | None = None) -> Any:
    """A session of ONNX Runtime for the model in the file."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra `cpu` is not installed")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    data = convert_source(Request(source=path, weights=weights)).model.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def predictions(model: Any, inputs: Sequence[Array]) -> list[Array]:
    """What Keras gives."""
    given = model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)
    return list(_flat(given))


def _flat(given: Any) -> Iterator[Array]:
    if isinstance(given, list | tuple):
        for entry in given:
            yield from _flat(entry)
    else:
        yield np.asarray(given)


def run(session: Any, inputs: Sequence[Array]) -> list[Array]:
    """What ONNX Runtime gives."""
    names = [info.name for info in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def relative_error(found: Array, wanted: Array) -> float:
    """The largest difference, as a part of the largest number."""
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-30))


def check(net: Net, era: str, folder: Path, *, suffix: str = ".keras", limit: float = 1e-5) -> None:
    """The model converted from its file gives what Keras predicts, for each output."""
    model = model_of(net, era)
    inputs = pictures(net.shapes)
    found, wanted = run(converted(saved(model, folder / f"net{suffix}")), inputs), predictions(model, inputs)
    assert len(found) == len(wanted)
    errors = [relative_error(a, b) for a, b in zip(found, wanted, strict=True)]
    assert max(errors) <= limit
