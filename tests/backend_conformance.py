"""Gradients of ONNX's own test cases, against central differences of the original model in float64."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from backend_cases import Case
from backend_float64 import evaluating_in_double
from backend_problem import TOLERANCE, NoDerivative, Problem, Slope, posed
from conformance import run_in_reference
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_state

from onnxcam.autodiff import differentiate
from onnxcam.errors import OnnxCamError
from onnxcam.graph import Tape, load

Array = NDArray[Any]


# What ONNX Runtime raises has no common class, and what else may come out of a bug is not known beforehand.
RUNTIME_ERRORS = tuple(
    kind for kind in vars(runtime_state).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
CRASHES = (
    *RUNTIME_ERRORS, ArithmeticError, AssertionError, AttributeError, InferenceError, LookupError, RuntimeError,
    TypeError, ValidationError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of one case.

    Attributes:
        verdict: "passed", "refused", "failed", or "no derivative".
        why: the error's text, or the reason why there is nothing to differentiate.
        error: the largest difference to a central difference, relative to the largest of those.
        forward: "equal", or how the loaded model's outputs differ from the case's.
        float32: "equal", or how the gradient in ONNX Runtime at float32 differs from that in float64.
    """

    name: str
    op: str
    verdict: str
    why: str = ""
    error: float = 0.0
    forward: str = ""
    float32: str = ""


def judge(case: Case) -> Verdict:
    """The verdict on a case."""
    forward = _forward(case)
    with warnings.catch_warnings(), np.errstate(all="ignore"), evaluating_in_double():
        warnings.simplefilter("ignore")
        try:
            problem, slopes = posed(case)
        except NoDerivative as reason:
            return Verdict(case.name, case.op, "no derivative", str(reason), forward=forward)
        try:
            found = gradients(problem, problem.wide)
        except OnnxCamError as refusal:
            return Verdict(case.name, case.op, "refused", f"{type(refusal).__name__}: {refusal}", forward=forward)
        except CRASHES as crash:
            return Verdict(case.name, case.op, "failed", f"{type(crash).__name__}: {crash}"[:500], forward=forward)
        error, worst = error_of(slopes, found, is_finite=problem.is_finite)
        if error > TOLERANCE:
            return Verdict(case.name, case.op, "failed", f"wrong for {worst}", error, forward)
        return Verdict(case.name, case.op, "passed", "", error, forward, _in_float32(problem, found))


def gradients(problem: Problem, model: ModelProto, *, narrow: bool = False) -> dict[str, Array | None]:
    """What the loaded and differentiated model says, by input; None where it says that there is no path."""
    tape = Tape(load(model).proto)
    outputs = [tape.value(name) for name in problem.outputs]
    seeds = {y: tape.add_input(f"cotangent_{y.name}", y.dtype, y.shape or ()) for y in outputs}
    for info, y in zip(tape.model.graph.input[-len(outputs) :], outputs, strict=True):
        if y.shape is None:
            info.type.tensor_type.ClearField("shape")
    found = differentiate(seeds, [tape.value(name) for name in problem.names])
    known = {name: g for name, g in zip(problem.names, found, strict=True) if g is not None}
    for name, g in known.items():
        tape.add_output(g, f"gradient_{name}")
    dtypes = {name: problem.case.feeds[name].dtype if narrow else np.float64 for name in problem.names}
    feeds = {name: x.astype(dtypes[name]) if name in dtypes else x for name, x in problem.feeds.items()}
    for y, cotangent in zip(outputs, problem.cotangents, strict=True):
        feeds[f"cotangent_{y.name}"] = cotangent.astype(y.dtype)
    arrays = _run(tape.model, feeds, [f"gradient_{name}" for name in known], narrow=narrow)
    return dict.fromkeys(problem.names) | dict(zip(known, arrays, strict=True))


def _in_float32(problem: Problem, expected: dict[str, Array | None]) -> str:
    """Whether ONNX Runtime gives the same in the case's own precision."""
    kinds = {x.dtype.name for x in problem.case.feeds.values() if isinstance(x, np.ndarray)}
    if kinds & {"bfloat16", "float16"}:
        return "of 16 bits"
    try:
        found = gradients(problem, problem.case.model, narrow=True)
    except (OnnxCamError, *CRASHES) as error:
        return f"{type(error).__name__}: {error}"[:300] if _runs(problem.case) else "ONNX Runtime lacks the op itself"
    worst = max((_distance(found[name], g) for name, g in expected.items() if g is not None), default=0.0)
    return "equal" if worst <= 1e-3 else f"differs by {worst:.1e}"


def _run(model: ModelProto, feeds: dict[str, Any], outputs: list[str], *, narrow: bool) -> list[Array]:
    """In ONNX Runtime; in float64, for which it lacks kernels, else in the reference evaluator."""
    if not outputs:
        return []
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    wanted = {info.name for info in model.graph.input}
    feeds = {name: x for name, x in feeds.items() if name in wanted and x is not None}
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        return list(session.run(outputs, feeds))
    except CRASHES:
        if narrow:
            raise
        return run_in_reference(model, feeds, outputs)


def _runs(case: Case) -> bool:
    """Whether ONNX Runtime runs the loaded model, without any gradient."""
    try:
        _run(load(case.model).proto, case.feeds, list(case.outputs), narrow=True)
    except CRASHES:
        return False
    return True


def _forward(case: Case) -> str:
    """Whether the loaded model gives what the case says."""
    try:
        model = load(case.model).proto
    except OnnxCamError as refusal:
        return f"refused: {refusal}"
    except CRASHES as crash:
        return f"crashed: {type(crash).__name__}: {crash}"[:300]
    try:
        found = _run(model, case.feeds, list(case.outputs), narrow=False)
    except CRASHES as error:
        return f"no runtime: {re.sub(chr(10), ' ', str(error))}"[:300]
    for y, expected in zip(found, case.outputs.values(), strict=True):
        if not _is_equal(y, expected, case):
            return f"differs{_as_before(case)}"
    return "equal"


def _as_before(case: Case) -> str:
    """Whether ONNX Runtime's answer to the original model differs from the case's as well."""
    try:
        found = _run(case.model, case.feeds, list(case.outputs), narrow=True)
    except CRASHES:
        return ""
    is_equal = all(_is_equal(y, e, case) for y, e in zip(found, case.outputs.values(), strict=True))
    return "" if is_equal else ", and so do ONNX Runtime's from the original model"


def _is_equal(y: Any, expected: Any, case: Case) -> bool:
    if isinstance(expected, list):
        return len(y) == len(expected) and all(_is_equal(a, b, case) for a, b in zip(y, expected, strict=True))
    y, expected = np.asarray(y), np.asarray(expected)
    if y.shape != expected.shape:
        return False
    if expected.dtype.kind in "OUS":
        return [str(a) for a in y.ravel()] == [str(b) for b in expected.ravel()]
    if expected.dtype.kind == "c" or y.dtype.kind == "c":
        return bool(np.allclose(y, expected, case.rtol, case.atol))
    y, expected = y.astype(np.float64), expected.astype(np.float64)
    # A sum of large numbers that is near zero is as inexact as they are.
    size = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    return bool(np.allclose(y, expected, case.rtol, case.atol + 1e-6 * size, equal_nan=True))


def error_of(slopes: list[Slope], found: dict[str, Array | None], *, is_finite: bool) -> tuple[float, str]:
    """The largest difference, relative to the largest slope by the same input; and that input.

    A gradient that is no number is an error where all outputs are finite.
    """
    worst = (0.0, "")
    for name in {slope.name for slope in slopes}:
        own = [slope for slope in slopes if slope.name == name]
        given = found[name]
        g = np.zeros_like(own[0].direction) if given is None else given
        if g.shape != own[0].direction.shape:
            return math.inf, f"{name}, of shape {g.shape}"
        size = max(max(abs(slope.slope) for slope in own), 1e-3)
        for slope in own:
            difference = abs(float(np.where(slope.direction == 0, 0.0, g * slope.direction).sum()) - slope.slope)
            if math.isfinite(difference) or is_finite:
                worst = max(worst, (difference / size if math.isfinite(difference) else math.inf, name))
    return worst


def _distance(found: Array | None, expected: Array) -> float:
    if found is None:
        return math.inf
    is_number = np.isfinite(expected)
    scale = max(float(np.abs(expected[is_number]).max(initial=0.0)), 1e-3)
    return float(np.abs(found.astype(np.float64) - expected)[is_number].max(initial=0.0)) / scale
