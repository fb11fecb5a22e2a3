"""ONNX Runtime, started the way that was asked for or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeAlias

from numpy.typing import NDArray

from onnxcam.errors import (
    ExplainGraphNotLoadable,
    InvalidProviderOptions,
    NoKernel,
    ProviderNotAvailable,
    RunFailed,
    RuntimeMissing,
    did_you_mean,
)

ProviderSpec: TypeAlias = str | tuple[str, dict[str, Any]]

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
PROVIDERS = {
    "cpu": CPU,
    "cuda": CUDA,
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}
SHORT = {full: short for short, full in PROVIDERS.items()}
ERRORS_ONLY = 3
FAILURES = (
    "EPFail",
    "EngineError",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "ModelLoaded",
    "NoModel",
    "NoSuchFile",
    "NotFound",
    "NotImplemented",
    "RuntimeException",
)


def load_runtime() -> Any:
    """The module onnxruntime, with its telemetry off unless the user has set ORT_DISABLE_TELEMETRY.

    Raises:
        RuntimeMissing: if it is not installed, or its libraries cannot be loaded.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        runtime = import_module("onnxruntime")
    except ImportError as error:
        raise RuntimeMissing(str(error)) from error
    if not hasattr(runtime, "InferenceSession"):  # what is left in the folder after one of two packages is removed
        raise RuntimeMissing("its folder is there, but its contents are not")
    return runtime


def failures(runtime: Any) -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises; its own classes share no parent but Exception."""
    state = runtime.capi.onnxruntime_pybind11_state
    return (*(getattr(state, name) for name in FAILURES if hasattr(state, name)), RuntimeError, ValueError)


def brief(error: Exception) -> str:
    """The telling line of ONNX Runtime's message."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line.split(" : ")[-1].strip().rstrip(".")


def named(providers: Sequence[ProviderSpec] | None, runtime: Any) -> list[tuple[str, dict[str, Any]]]:
    """ONNX Runtime's own names with their options; None is CUDA where there is one, and the CPU behind it.

    Raises:
        ProviderNotAvailable: if this ONNX Runtime lacks one of them.
    """
    available = runtime.get_available_providers()
    if providers is None:
        return [(name, {}) for name in (CUDA, CPU) if name in available]
    pairs = [(entry, {}) if isinstance(entry, str) else entry for entry in providers]
    wanted = [(PROVIDERS.get(name.lower(), name), options) for name, options in pairs]
    for (name, _), full in zip(pairs, wanted, strict=True):
        if full[0] not in available:
            reason = "is not in this ONNX Runtime" if full[0] in SHORT else f"is unknown{did_you_mean(name, PROVIDERS)}"
            raise ProviderNotAvailable(name, short(available), reason)
    return wanted


def short(names: Sequence[str]) -> list[str]:
    """The providers under the names that users give."""
    return [SHORT.get(name, name) for name in names]


def open_session(
    source: str | bytes,
    *,
    providers: Sequence[ProviderSpec] | None = None,
    threads: int | None = None,
    arena: bool = True,
    spinning: bool = False,
) -> Any:
    """An InferenceSession on the providers asked for, the first of which it really uses.

    Raises:
        ProviderNotAvailable: if one is missing here or does not start.
        InvalidProviderOptions: if ONNX Runtime refuses an option.
        NoKernel: if it lacks an operator for the types that the model computes with.
        ExplainGraphNotLoadable: if it refuses the file.
    """
    runtime = load_runtime()
    wanted = named(providers, runtime)
    options = runtime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.enable_cpu_mem_arena = arena
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    if CUDA in dict(wanted) and hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()  # finds CUDA where pip has put it
    session = started(runtime, source, options=options, wanted=wanted)
    for name, _ in wanted:
        if name not in session.get_providers():
            reason = "is in this ONNX Runtime but does not start (driver or CUDA libraries missing or too old)"
            raise ProviderNotAvailable(SHORT.get(name, name), short(session.get_providers()), reason)
    return session


def started(runtime: Any, source: str | bytes, *, options: Any, wanted: list[tuple[str, dict[str, Any]]]) -> Any:
    """The session itself, with ONNX Runtime's failures told apart."""
    try:
        return runtime.InferenceSession(
            source,
            sess_options=options,
            providers=[name for name, _ in wanted],
            provider_options=[{key: str(value) for key, value in given.items()} for _, given in wanted],
            enable_fallback=0,  # a failing provider is an error here, not a slower answer
        )
    except failures(runtime) as error:
        if any(given for _, given in wanted) and "option" in str(error).lower():
            raise InvalidProviderOptions(short([name for name, _ in wanted]), brief(error)) from error
        where = repr(source) if isinstance(source, str) else "the bytes given"
        if isinstance(error, runtime.capi.onnxruntime_pybind11_state.NotImplemented):
            raise NoKernel(where, brief(error)) from error
        raise ExplainGraphNotLoadable(where, brief(error)) from error


@contextmanager
def failing(fixed: str | None = None) -> Iterator[None]:
    """A block in which a session runs; what ONNX Runtime raises becomes RunFailed. `fixed`: why its batch is."""
    try:
        yield
    except failures(load_runtime()) as error:
        raise RunFailed(brief(error), fixed) from error


def bound(session: Any, feed: Mapping[str, NDArray[Any]], wanted: Sequence[str]) -> list[NDArray[Any]]:
    """The outputs by way of an IOBinding: only what is wanted leaves the device, in one copy."""
    binding, runtime = session.io_binding(), load_runtime()
    for name, array in feed.items():
        # As OrtValues: bind_cpu_input does not find inputs that have a default, as `target` has.
        binding.bind_ortvalue_input(name, runtime.OrtValue.ortvalue_from_numpy(array))
    for name in wanted:
        binding.bind_output(name, "cpu")
    session.run_with_iobinding(binding)
    return list(binding.copy_outputs_to_cpu())
