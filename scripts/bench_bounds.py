"""What bounds the ratios of docs/benchmarks.md: passes of plain nets, products of matrices, preparing a photo.

    python scripts/bench_bounds.py [--packages FOLDER]      a minute; needs the samples; FOLDER as for bench_methods.py

One thread, interleaved, medians of the processor's own time; of photos also by the clock, with one thread and two.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import samples  # noqa: E402
from bench_methods import SIZE, Net, net  # noqa: E402
from onnx import parser  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from torch_support import torch  # noqa: E402

import onnxcam  # noqa: E402
from onnxcam.resizing import resize  # noqa: E402

NETS, BATCHES, PRODUCT, RUNS = ("resnet18", "mobilenet_v3_small"), (1, 8, 16), 2048, 12
PHOTOS = (((512, 768), (224, 336)), ((3000, 4000), (224, 299)))
MATMUL = f"""<ir_version: 8, opset_import: ["" : 18]>
g (float[{PRODUCT},{PRODUCT}] a) => (float[{PRODUCT},{PRODUCT}] c) {{ c = MatMul(a, a) }}"""


def seconds(ways: Mapping[str, Callable[[], Any]], *, runs: int = RUNS) -> dict[str, tuple[float, float]]:
    """By way the median of the processor's time and of the clock's, in turns."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for at in range(runs + 1):
        for name, way in ways.items():
            spent, passed = time.process_time(), time.perf_counter()
            way()
            if at:
                found[name].append((time.process_time() - spent, time.perf_counter() - passed))
    return {name: (median(a for a, _ in pairs), median(b for _, b in pairs)) for name, pairs in found.items()}


def session(data: bytes) -> onnxruntime.InferenceSession:
    """One thread, that does not spin."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(data, settings, ["CPUExecutionProvider"])


def products() -> Iterator[str]:
    """What the processor gives at best."""
    a = np.random.default_rng(0).random((PRODUCT, PRODUCT), np.float32)
    runtime, tensor = session(parser.parse_model(MATMUL).SerializeToString()), torch.from_numpy(a)
    spent = seconds({"ONNX Runtime": lambda: runtime.run(None, {"a": a}), "PyTorch": lambda: tensor @ tensor}, runs=5)
    for name, (cpu, _) in spent.items():
        yield f"product of matrices, {name}: {2 * PRODUCT**3 / cpu / 1e9:.0f} GFLOP/s"


def passes(found: Net) -> Iterator[str]:
    """A pass of the plain net in batches."""
    runtime, work = session(found.model.SerializeToString()), FlopCounterMode(display=False)
    name = runtime.get_inputs()[0].name
    with work, torch.no_grad():
        found.module(found.x)
    for batch in BATCHES:
        x = np.random.default_rng(0).random((batch, 3, SIZE, SIZE), np.float32)
        ways = {"ours": lambda x=x: runtime.run(None, {name: x}), "theirs": lambda x=x: forward(found, x)}
        spent = {way: cpu / batch for way, (cpu, _) in seconds(ways).items()}
        speed = work.get_total_flops() / spent["ours"] / 1e9
        yield (
            f"{found.name}, batch {batch}: ONNX Runtime {spent['ours'] * 1e3:.2f} ms a picture ({speed:.0f} GFLOP/s), "
            f"PyTorch {spent['theirs'] * 1e3:.2f} ms"
        )


def forward(found: Net, x: Any) -> Any:
    with torch.no_grad():
        return found.module(torch.from_numpy(x))


def openvino_pass(found: Net) -> Iterator[str]:
    """The plain net in OpenVINO, beside ONNX Runtime."""
    import openvino

    core, data = openvino.Core(), found.model.SerializeToString()
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled, runtime, x = (
        core.compile_model(core.read_model(io.BytesIO(data)), "CPU", settings),
        session(data),
        found.x,
    )
    name = runtime.get_inputs()[0].name
    ways = {"OpenVINO": lambda: compiled(x.numpy()), "ONNX Runtime": lambda: runtime.run(None, {name: x.numpy()})}
    told = ", ".join(f"{way} {cpu * 1e3:.1f} ms" for way, (cpu, _) in seconds(ways, runs=30).items())
    yield f"{found.name}, one picture: {told}"


def photos() -> Iterator[str]:
    """Preparing a photo, and explaining one."""
    rng = np.random.default_rng(0)
    for size, wanted in PHOTOS:
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        cpu, clock = seconds({"": lambda image=image, wanted=wanted: resize(image, wanted)})[""]
        yield f"photo of {size} to {wanted}: {clock * 1e3:.1f} ms by the clock, {cpu * 1e3:.1f} of processors"
    graph = onnxcam.convert(samples.model_path("squeezenet1.1_fp32"), preprocess="torchvision").to_bytes()
    for threads in (1, 2):
        explainer, photo = onnxcam.Explainer(graph, threads=threads), str(samples.IMAGES / "dogs.png")
        cpu, clock = seconds({"": lambda explainer=explainer, photo=photo: explainer(photo, 3)}, runs=30)[""]
        yield f"squeezenet1.1, {threads} threads: {clock * 1e3:.1f} ms by the clock, {cpu * 1e3:.1f} of processors"


def main() -> None:
    """Prints all."""
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--packages", type=Path, help="a folder with OpenVINO")
    packages = wanted.parse_args().packages
    torch.set_num_threads(1)
    print(*products(), *photos(), sep="\n", flush=True)
    for name in NETS:
        print(*passes(net(name)), sep="\n", flush=True)
    if packages is not None:
        sys.path.append(str(packages))
        print(*openvino_pass(net(NETS[0])), sep="\n")


if __name__ == "__main__":
    main()
