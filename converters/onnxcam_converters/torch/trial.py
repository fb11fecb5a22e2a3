"""Whether ONNX Runtime gives what a module gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from onnxcam.checking import INLINE_BYTES, distance
from onnxcam.conversion import Arrays
from onnxcam.graph import write
from onnxcam.providers import CPU, ERRORS_ONLY, brief, failures, load_runtime
from onnxcam_converters.torch.evaluation import Run

LIMIT = 1e-3  # relative L2 up to which what comes out counts as the same


class WrongResult(ValueError):
    """ONNX Runtime refuses what an exporter made of a module, or computes something else."""


def compare(model: ModelProto, run: Run, trials: Sequence[Arrays]) -> None:
    """Lets ONNX Runtime and the module compute the same.

    Args:
        model: to be tried.
        run: the module, on arrays.
        trials: the inputs of each trial.

    Raises:
        WrongResult: if ONNX Runtime refuses the model, or gives something else.
    """
    failing = failures(load_runtime())
    with TemporaryDirectory(prefix="onnxcam-") as folder:
        path = Path(folder) / "trial.onnx"
        write(model, path, limit=INLINE_BYTES)
        try:
            session = _session(path)
            found = [_run(session, inputs) for inputs in trials]
        except failing as error:
            raise WrongResult(f"ONNX Runtime: {brief(error)}") from error
        del session
    for inputs, results in zip(trials, found, strict=True):
        _compare(results, run(inputs), len(inputs[0]) if inputs[0].ndim else 1)


def samples(example: Arrays, count: int) -> Arrays:
    """A batch of that many: the rows of the example, and where there are fewer, the same mirrored."""
    return [np.stack([_row(array, n) for n in range(count)]) if array.ndim else array for array in example]


def _row(array: NDArray[Any], n: int) -> NDArray[Any]:
    """Not noise: what a net makes of inputs unlike its own may be chaotic, and rounding decides it."""
    row, repetition = array[n % len(array)], n // len(array)
    axes = [axis for axis, bit in ((-1, 1), (-2, 2)) if repetition & bit and row.ndim > 1 and array.dtype.kind == "f"]
    return np.flip(row, tuple(axes)) if axes else row


def _session(path: Path) -> Any:
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return runtime.InferenceSession(str(path), options, providers=[CPU])


def _run(session: Any, inputs: Arrays) -> Arrays:
    names = [entry.name for entry in session.get_inputs()]
    if len(names) != len(inputs):
        raise WrongResult(
            f"the exporter's model takes {', '.join(names) or 'nothing'}, the module {len(inputs)} inputs"
        )
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def _compare(found: Arrays, expected: Arrays, count: int) -> None:
    for place, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a.shape != b.shape:
            raise WrongResult(f"output {place} has the shape {a.shape} instead of {b.shape} for a batch of {count}")
        if not (error := distance(a, b)) <= LIMIT:
            raise WrongResult(f"output {place} differs by {error:.2g} in relative L2 for a batch of {count}")
