"""Whether a converted model computes what the framework's own does: both on the same random inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam.check import Check
from onnxcam.conversion import Arrays, Conversion, Reference
from onnxcam.errors import CannotConvert, ConversionMismatch, InvalidModelFile
from onnxcam.facts import author_facts
from onnxcam.graph import write
from onnxcam.preprocessing import parse
from onnxcam.providers import ERRORS_ONLY, brief, failures, load_runtime

SAMPLES = 4
SIZE = 64  # pixels: height and width of the random pictures where the model leaves them free
LIMIT = 1e-2  # relative error at which the model is refused
ROUNDING = 1e-6
ITSELF = "itself, unoptimised"
INLINE_BYTES = 1 << 26  # heavier weights go to a side file, which ONNX Runtime maps instead of copying
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}


def check(conversion: Conversion) -> Check:
    """The converted model compared with its reference on random inputs; with itself where there is no reference.

    "Itself" is the graph as ONNX Runtime runs it without its optimisations: what they break shows.

    Raises:
        ConversionMismatch: if they differ by more than `LIMIT`.
        InvalidModelFile: if ONNX Runtime refuses the converted model.
    """
    reference = conversion.reference
    with TemporaryDirectory(prefix="onnxcam-") as folder:
        path = Path(folder) / "converted.onnx"
        write(conversion.model, path, limit=INLINE_BYTES)
        session = _session(path)
        given = reference.example if reference else None
        inputs = random_inputs(session, author_facts(conversion.model)) if given is None else shuffled(session, given)
        found = _run(session, inputs)
        del session
        against, expected = _expected(reference, path, inputs)
    result = compare(against, found, expected)
    if not result.relative_error <= LIMIT:
        raise ConversionMismatch(against, result.relative_error, result.agreement, LIMIT)
    return result


def _expected(reference: Reference | None, path: Path, inputs: Arrays) -> tuple[str, Arrays]:
    """What is compared against, and its outputs."""
    if reference is not None:
        # A framework of another version than the file's may refuse it.
        with contextlib.suppress(CannotConvert):
            return reference.name, reference.run(inputs)
    return ITSELF, _run(_session(path, optimized=False), inputs)


def _session(path: Path, *, optimized: bool = True) -> Any:
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimized:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except failures(runtime) as error:
        raise InvalidModelFile("the converted model", f"ONNX Runtime refuses it: {brief(error)}") from error


def _run(session: Any, inputs: Arrays) -> Arrays:
    feeds = {entry.name: array for entry, array in zip(session.get_inputs(), inputs, strict=True)}
    try:
        return list(session.run(None, feeds))
    except failures(load_runtime()) as error:
        raise InvalidModelFile("the converted model", f"ONNX Runtime cannot run it: {brief(error)}") from error


def compare(against: str, found: Arrays, expected: Arrays) -> Check:
    """The worst relative error of the outputs, and how often the best class is the same."""
    if [x.shape for x in found] != [x.shape for x in expected]:
        shapes = f"outputs {[x.shape for x in found]} instead of {[x.shape for x in expected]}"
        raise InvalidModelFile("the converted model", f"it gives {shapes}")
    errors = [distance(a, b) for a, b in zip(found, expected, strict=True)]
    tables = [(a, b) for a, b in zip(found, expected, strict=True) if a.ndim == 2 and a.shape[1] > 1]
    same = [a.argmax(1) == b.argmax(1) for a, b in tables]
    agreement = float(np.mean(np.concatenate(same))) if same else 1.0
    samples = len(found[0]) if found and found[0].ndim else 1
    return Check(against, max(errors, default=0.0), agreement, samples, all(map(is_saturated, expected)))


def is_saturated(output: NDArray[Any]) -> bool:
    """Whether every number is 0 or 1 to within the rounding of float32, as behind a softmax that is too sure."""
    return bool(np.all(np.minimum(np.abs(output), np.abs(output - 1.0)) < ROUNDING))


def distance(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """‖found − expected‖ / ‖expected‖, in float64; the plain norm where the expected is zero."""
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    both_nan = np.isnan(a) & np.isnan(b)
    a, b = np.where(both_nan, 0, a), np.where(both_nan, 0, b)
    norm = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / (norm or 1.0)


def random_inputs(session: Any, facts: Mapping[str, Any]) -> Arrays:
    """Random inputs of the model's shapes: noise with the range of prepared pixels, whole numbers 0 and 1, truths.

    Free sizes are `SAMPLES` for the batch, `SIZE` for the rest.
    """
    rng = np.random.default_rng(0)
    return [_random(entry, facts.get("preprocessing"), rng) for entry in session.get_inputs()]


def shuffled(session: Any, example: Arrays) -> Arrays:
    """Noise of the example's shape, mean and deviation, `SAMPLES` of it where the batch is free.

    Whole numbers and truths stay as they are, and then so does the batch.
    """
    is_free = all(x.dtype.kind == "f" and x.ndim for x in example) and all(
        not isinstance(entry.shape[0], int) for entry in session.get_inputs()
    )
    rng = np.random.default_rng(0)
    return [_noise(x, SAMPLES if is_free else None, rng) if x.dtype.kind == "f" else x for x in example]


def _noise(example: NDArray[Any], batch: int | None, rng: np.random.Generator) -> NDArray[Any]:
    spread = float(example.std()) or 1.0
    noise = rng.standard_normal((batch, *example.shape[1:]) if batch else example.shape) * spread
    return np.asarray(noise + float(example.mean()), example.dtype)


def _random(entry: Any, spec: Mapping[str, Any] | str | None, rng: np.random.Generator) -> NDArray[Any]:
    dtype = np.dtype(DTYPES.get(entry.type, "float32"))
    sizes = [n if isinstance(n, int) else (SIZE if axis else SAMPLES) for axis, n in enumerate(entry.shape)]
    if dtype.kind == "u":
        return rng.integers(0, 256, sizes).astype(dtype)
    if dtype.kind in "ib":
        return rng.integers(0, 2, sizes).astype(dtype)
    if spec is None or len(sizes) != 4:
        return rng.standard_normal(sizes).astype(dtype)
    how = parse(spec)
    pixels: NDArray[np.float64] = rng.uniform(0, 255, sizes) * how.scale
    prepared: NDArray[np.float64] = (pixels - np.mean(how.mean)) / np.mean(how.std)
    return prepared.astype(dtype)
