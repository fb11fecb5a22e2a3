"""What the tests of the loading side share: models as ONNX text, and ONNX Runtime as the judge."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import onnx.shape_inference
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

Array = NDArray[Any]
SAMPLES = Path(os.environ.get("ONNXCAM_SAMPLES", Path(__file__).parents[2] / "shared" / "samples")) / "onnx"
DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


def model(text: str, *, opset: int, ir: int = 8, other: str = "") -> ModelProto:
    """The model of a graph in ONNX's text form, `float[]` as inferred; `other` is a further domain."""
    domains = f'"": {opset}' + (f', "{other}": 1' if other else "")
    proto = onnx.parser.parse_model(f"<ir_version: {ir}, opset_import: [{domains}]> g {text}")
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph.output
    for info, known in zip(proto.graph.output, inferred, strict=True):
        info.type.CopyFrom(known.type)
    return proto


def session(source: ModelProto | Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    data = str(source) if isinstance(source, Path) else source.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run(source: ModelProto | Path, feeds: dict[str, Array]) -> list[Array]:
    return session(source).run(None, feeds)


def feeds(source: ModelProto | Path, *, batch: int = 1, free: int = 1, seed: int = 0) -> dict[str, Array]:
    """Random inputs; symbolic leading dimensions are `batch`, other symbolic ones `free`."""
    rng, made = np.random.default_rng(seed), {}
    for info in session(source).get_inputs():
        shape = [size if isinstance(size, int) else free for size in info.shape]
        if shape and not isinstance(info.shape[0], int):
            shape[0] = batch
        is_size = info.type == "tensor(int64)"
        made[info.name] = np.full(shape, 320) if is_size else rng.normal(size=shape).astype(DTYPES[info.type])
    return made


def sample_paths() -> list[Any]:
    """One test parameter for each sample model, or one that skips."""
    paths = sorted(SAMPLES.glob("*.onnx"))
    if not paths:
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no sample models in {SAMPLES}"))]
    return [pytest.param(path, id=path.stem) for path in paths]
