"""What an explanation costs: explain graph against plain forward pass, interleaved in one process, medians.

    python scripts/bench.py MODEL.onnx [...] [--layer L] [--method M] [--batch 1 8] [--threads 1] [--input-gradient]

The ratio is the figure; milliseconds are this machine's. Both sessions take turns, run by run, so that a machine that
is busy for a while is busy for both; each ratio is that of two neighbouring runs, and the median of those is printed.
On one thread of the processor it is that thread's own time which counts, without what others took of it meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto

import onnxcam
from onnxcam.graph import load

DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


def session(model: bytes, threads: int, providers: list[str]) -> onnxruntime.InferenceSession:
    """A session whose waiting threads do not burn the cores of the other one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers)


def feeds(found: onnxruntime.InferenceSession, batch: int) -> dict[str, Any]:
    """Random values for every input that must be given."""
    rng = np.random.default_rng(0)
    shapes = {x.name: [n if isinstance(n, int) else batch if i == 0 else 224 for i, n in enumerate(x.shape)]
              for x in found.get_inputs() if x.name != "target"}  # fmt: skip
    kinds = {x.name: DTYPES[x.type] for x in found.get_inputs() if x.name in shapes}
    return {name: rng.normal(size=shape).astype(kinds[name]) for name, shape in shapes.items()}


def milliseconds(found: onnxruntime.InferenceSession, given: dict[str, Any], clock: Callable[[], float]) -> float:
    """One run."""
    started = clock()
    found.run(None, given)
    return (clock() - started) * 1000


def with_input_gradient(model: ModelProto) -> tuple[ModelProto, str]:
    """The model with the gradient of its first output by its picture, and the name of the cotangent."""
    graph = onnxcam.gradient(model)
    return graph, "cotangent"


def compare(source: Path, batch: int, options: argparse.Namespace) -> str:
    """One line of the table."""
    plain_model = load(source).proto
    if options.input_gradient:
        explained, _ = with_input_gradient(plain_model)
        data = explained.SerializeToString()
    else:
        data = onnxcam.convert(plain_model, method=options.method, layer=options.layer).to_bytes()
    plain = session(plain_model.SerializeToString(), options.threads, options.provider)
    full = session(data, options.threads, options.provider)
    given = feeds(plain, batch)
    more = dict(given)
    if options.input_gradient:
        output = plain.run(None, given)[0]
        more["cotangent"] = np.eye(1, output.size // batch, dtype=output.dtype).repeat(batch, 0).reshape(output.shape)
    for _ in range(options.warmup):
        plain.run(None, given)
        full.run(None, more)
    is_alone = options.threads == 1 and options.provider == ["CPUExecutionProvider"]
    clock = time.thread_time if is_alone else time.perf_counter
    pairs = [(milliseconds(plain, given, clock), milliseconds(full, more, clock)) for _ in range(options.runs)]
    ratio = statistics.median(b / a for a, b in pairs)
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    what = "input gradient" if options.input_gradient else f"{options.method} at {options.layer or 'default'}"
    return f"| {source.stem} | {what} | {batch} | {options.threads} | **{ratio:.3f}** | {a:.2f} | {b:.2f} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--layer")
    parser.add_argument("--method", default="gradcam")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--provider", nargs="+", default=["CPUExecutionProvider"])
    parser.add_argument("--input-gradient", action="store_true", help="all the way down to the picture")
    options = parser.parse_args()
    print("| model | what | batch | threads | × plain forward | plain ms | explained ms |")
    print("|---|---|---|---|---|---|---|")
    for source in options.models:
        for batch in options.batch:
            print(compare(source, batch, options), flush=True)


if __name__ == "__main__":
    main()
