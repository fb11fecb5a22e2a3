"""What is found in a detector's graph, as arrays; for the tests of heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from detector_nets import Exported

from onnxcam.graph import Tape, drop_unused, load
from onnxcam.layouts import find_picture
from onnxcam.scores.detectors import Detections, find_detections
from onnxcam.scores.detectors.candidates import candidates
from onnxcam.scores.detectors.settings import parse

Arrays = dict[str, np.ndarray[Any, Any]]


def found_in(model: onnx.ModelProto, settings: str = "") -> tuple[Tape, Detections | None]:
    tape = Tape(load(model.SerializeToString()).proto)
    picture = find_picture(tape)
    assert picture is not None
    return tape, find_detections(tape, picture, parse(settings))


def numbers(net: Exported, settings: str = "") -> tuple[Detections, Arrays]:
    """What is found, and its tensors for the net's two pictures."""
    tape, found = found_in(net.model, settings)
    assert found is not None
    wanted = {"boxes": found.boxes, "logits": found.logits, "confidence": found.confidence}
    wanted |= {"candidates": candidates(found)} | ({} if found.labels is None else {"labels": found.labels})
    for name, value in wanted.items():
        tape.add_output(value, f"found_{name}")
    drop_unused(tape.model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(tape.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    arrays = session.run([f"found_{name}" for name in wanted], {session.get_inputs()[0].name: net.x.numpy()})
    return found, dict(zip(wanted, arrays, strict=True))


def corners(xywh: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.concatenate([xywh[..., :2] - xywh[..., 2:4] / 2, xywh[..., :2] + xywh[..., 2:4] / 2], -1)


def logit(p: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    p = p.astype(np.float64)
    return np.log(p) - np.log1p(-p)


def close(mine: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], tolerance: float = 1e-3) -> None:
    assert mine.shape == theirs.shape
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=tolerance)
