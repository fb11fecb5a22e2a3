"""Small Keras models, saved and read back by the direct reader, against what Keras itself gives."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx.checker
import onnxruntime
import pytest

from onnxcam.conversion import Request, convert_source

TOLERANCE = 1e-5  # of the largest number
for _name, _value in {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}.items():
    os.environ.setdefault(_name, _value)


def framework(name: str) -> Any:
    """The module `keras` on TensorFlow, or `tf_keras`; skips the tests where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow", reason="extra `keras` is not installed")
        return pytest.importorskip(name, reason=f"{name} is not installed")


def pictures(*shape: int | None, seed: int = 0) -> Any:
    """A batch of two of that shape, a few of the numbers large, open lengths 7."""
    random = np.random.default_rng(seed)
    return (random.standard_normal((2, *(7 if n is None else n for n in shape))) * 3).astype(np.float32)


def outputs(path: Path, inputs: Sequence[Any]) -> list[Any]:
    """What the file gives in ONNX Runtime."""
    model = convert_source(Request(source=path)).model
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [info.name for info in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def save(model: Any, path: Path) -> Path:
    """The file, without Keras's remarks on its format."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def assert_agrees(model: Any, path: Path, inputs: Sequence[Any] | None = None) -> None:
    """The file gives what the model gives."""
    given = [pictures(*x.shape[1:], seed=i) for i, x in enumerate(model.inputs)] if inputs is None else list(inputs)
    save(model, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = model(given if len(given) > 1 else given[0], training=False)
    wanted = wanted if isinstance(wanted, list | tuple) else [wanted]
    found = outputs(path, given)
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, map(np.asarray, wanted), strict=True):
        assert ours.shape == theirs.shape
        scale = max(float(np.abs(theirs).max()), 1.0)
        np.testing.assert_allclose(
            ours.astype(np.float64) / scale, theirs.astype(np.float64) / scale, atol=TOLERANCE, rtol=0
        )
