"""What scripts/gradient_zoo_worker.py measures: errors, time, memory."""

from __future__ import annotations

import resource
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

FEWEST, MOST, BUDGET_MS = 3, 41, 5000  # runs that are timed
Array = NDArray[Any]


def distance(a: Array, b: Array) -> float:
    """‖a − b‖ / ‖b‖; 9 for other shapes."""
    if a.shape != b.shape:
        return 9.0
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm(a - b) / (np.linalg.norm(b) or 1.0))


def session(model: onnx.ModelProto) -> Any:
    """On one thread, which does not burn the other session's time."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def ratio(forward: Any, full: Any, feeds: dict[str, Array]) -> dict[str, Any]:
    """The median of the quotients of neighbouring runs of one picture, in the thread's own time."""
    plain_feeds = {name: x for name, x in feeds.items() if name != "cotangent"}

    def milliseconds(found: Any, given: dict[str, Array]) -> float:
        started = time.thread_time()
        found.run(None, given)
        return (time.thread_time() - started) * 1000

    pairs = [(milliseconds(forward, plain_feeds), milliseconds(full, feeds)) for _ in range(2)]
    runs = max(FEWEST, min(MOST, int(BUDGET_MS / sum(pairs[-1]))))
    pairs = [(milliseconds(forward, plain_feeds), milliseconds(full, feeds)) for _ in range(runs)]
    plain, all_of_it = (statistics.median(column) for column in zip(*pairs, strict=True))
    middle = statistics.median(b / a for a, b in pairs)
    return {"ratio": round(middle, 2), "plain_ms": round(plain, 1), "full_ms": round(all_of_it, 1)}


def file_size(path: Path) -> int:
    """Bytes of a model and of the weights beside it, without what an earlier export left in the same file."""
    graph = onnx.load(path, load_external_data=False).graph
    lengths = [int(part.value) for tensor in graph.initializer for part in tensor.external_data if part.key == "length"]
    return path.stat().st_size + sum(lengths)


def is_narrow(node: onnx.NodeProto) -> bool:
    """Whether it casts to float32: the module itself goes below float64."""
    return any(attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT for attribute in node.attribute)


def memory_now() -> int:
    """Bytes that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    """Bytes that it has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
