"""What a row of the conformance table is, and how it is checked: against central differences in float64."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.parser
import onnxruntime
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from reference_ops import REFERENCE_OPS

from onnxcam.autodiff import differentiate
from onnxcam.graph import Tape
from onnxcam.graph.opset import to_opset_18

STEP = 1e-5
Array = NDArray[Any]


class Row:
    """One line of the table: ONNX text that computes `y` (several statements with ';'), and its tensors.

    A tuple is the shape of a random tensor to differentiate by; an array is a float64 tensor to differentiate by,
    with these elements; `Fixed(array)` is a constant of the model that is not. `skip_dynamic` says why the row is not
    repeated with all sizes symbolic, `skip_onnxruntime` why ONNX Runtime cannot be asked although it does not say so
    itself. `outputs` names what is differentiated.
    """

    def __init__(
        self,
        name: str,
        text: str,
        *,
        outputs: tuple[str, ...] = ("y",),
        skip_dynamic: str = "",
        skip_onnxruntime: str = "",
        **tensors: Any,
    ) -> None:
        self.name, self.text, self.outputs, self.skip_dynamic = name, text, outputs, skip_dynamic
        self.skip_onnxruntime = skip_onnxruntime
        rng = np.random.default_rng(sum(map(ord, name)))
        self.fixed = {key: value.array for key, value in tensors.items() if isinstance(value, Fixed)}
        self.inputs = {
            key: rng.normal(size=value) if isinstance(value, tuple) else np.asarray(value, np.float64)
            for key, value in tensors.items()
            if not isinstance(value, Fixed)
        }
        self.ops = set(re.findall(r"=\s*([\w.]+?)\s*[<(]", text))

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Fixed:
    """A constant that is not differentiated by."""

    array: Array


def spread(*shape: int, seed: int = 0) -> Array:
    """Values that lie well apart (steps of 0.1, shuffled, none at zero): no difference crosses a kink or a tie."""
    count = int(np.prod(shape))
    values = (np.arange(count) - count // 2) * 0.1 + 0.05
    return np.random.default_rng(seed).permutation(values).reshape(shape)


def positive(*shape: int, seed: int = 0) -> Array:
    """Random values in [0.5, 2)."""
    return np.random.default_rng(seed).uniform(0.5, 2.0, shape)


def build(row: Row, *, dynamic: bool) -> onnx.ModelProto:
    """The row's model as it is differentiated."""
    model = parsed(row, dynamic=dynamic)
    if "com.microsoft" in row.text:
        to_opset_18(model)  # ONNX Runtime's own ops have no rules: they are lowered on loading
    return model


def parsed(row: Row, *, dynamic: bool) -> onnx.ModelProto:
    """The row's model in float64; `dynamic`: every size of every differentiated tensor is a symbol."""

    def declare(name: str, array: Array) -> str:
        sizes = ",".join(f"{name}{axis}" if dynamic else str(n) for axis, n in enumerate(array.shape))
        return f"double[{sizes}] {name}" if array.ndim else f"double {name}"

    inputs = ", ".join(declare(name, array) for name, array in row.inputs.items())
    outputs = ", ".join(f"double[] {name}" for name in row.outputs)
    statements = "\n".join(part.strip() for part in row.text.split(";"))
    domains = '"" : 18, "com.microsoft" : 1' if "com.microsoft" in row.text else '"" : 18'
    model = onnx.parser.parse_model(
        f"<ir_version: 8, opset_import: [{domains}]> g ({inputs}) => ({outputs}) {{ {statements} }}"
    )
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    for name, array in row.fixed.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return model


def gradient_model(row: Row, *, dynamic: bool) -> tuple[onnx.ModelProto, list[str]]:
    """The model with a cotangent input for each output, and an output for each gradient; the wrt with a path."""
    tape = Tape(build(row, dynamic=dynamic))
    seeds = {}
    for name in row.outputs:
        value = tape.value(name)
        shape = value.shape if value.shape is not None else None
        seeds[value] = tape.add_input(f"cotangent_{name}", np.float64, shape or ())
        if shape is None:
            tape.model.graph.input[-1].type.tensor_type.ClearField("shape")
    found = differentiate(seeds, [tape.value(name) for name in row.inputs])
    for name, value in zip(row.inputs, found, strict=True):
        assert value is not None, f"no gradient for {name}"
        tape.add_output(value, f"gradient_{name}")
    return tape.model, [f"gradient_{name}" for name in row.inputs]


def run(
    model: onnx.ModelProto, feeds: Mapping[str, Array], outputs: list[str], *, in_reference: bool = False
) -> list[Array]:
    """In ONNX Runtime where it has every kernel in float64, else in ONNX's reference evaluator."""
    session = None if in_reference else _session(model.SerializeToString())
    return run_in_reference(model, feeds, outputs) if session is None else list(session.run(outputs, dict(feeds)))


@lru_cache(maxsize=4)
def _session(model: bytes) -> onnxruntime.InferenceSession | None:
    """One for all the differences of a row; None where ONNX Runtime lacks a kernel."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        return None


def run_in_reference(model: onnx.ModelProto, feeds: Mapping[str, Array], outputs: list[str]) -> list[Array]:
    """In ONNX's reference evaluator, with our own evaluation of the few ops that it gets wrong or lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(_evaluator(model.SerializeToString()).run(outputs, dict(feeds)))


@lru_cache(maxsize=4)
def _evaluator(model: bytes) -> ReferenceEvaluator:
    return ReferenceEvaluator(onnx.ModelProto.FromString(model), new_ops=REFERENCE_OPS)


def errors(row: Row, *, dynamic: bool = False) -> dict[str, float]:
    """For each differentiated tensor: the largest difference to central differences, relative to the largest value."""
    primal = build(row, dynamic=False)
    in_reference = bool(row.skip_onnxruntime)
    values = run(primal, row.inputs, list(row.outputs), in_reference=in_reference)
    rng = np.random.default_rng(7)
    cotangents = [rng.normal(size=value.shape) for value in values]
    model, names = gradient_model(row, dynamic=dynamic)
    seeds = {f"cotangent_{name}": c for name, c in zip(row.outputs, cotangents, strict=True)}
    gradients = run(model, {**row.inputs, **seeds}, names, in_reference=in_reference)

    def score(feeds: Mapping[str, Array]) -> float:
        found = run(primal, feeds, list(row.outputs), in_reference=in_reference)
        return float(sum((v * c).sum() for v, c in zip(found, cotangents, strict=True)))

    found = {}
    for (name, x), gradient in zip(row.inputs.items(), gradients, strict=True):
        assert gradient.shape == x.shape, f"{name}: {gradient.shape}, not {x.shape}"
        expected = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[index] += STEP
            down[index] -= STEP
            expected[index] = (score({**row.inputs, name: up}) - score({**row.inputs, name: down})) / (2 * STEP)
        found[name] = float(np.abs(gradient - expected).max() / max(np.abs(expected).max(), 1e-3))
    return found
