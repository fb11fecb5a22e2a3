"""Methods that run a net many times, against the libraries that have them too: a Markdown table.

    python scripts/bench_methods.py resnet18 mobilenet_v2 mobilenet_v3_small squeezenet1_1 --write docs/benchmarks.md
    python scripts/bench_methods.py resnet18 --only reciprocam --packages FOLDER

Nets are torchvision's, with random weights. Ours and the other library's take turns in one process, run by run, on one
thread; each ratio is that of two neighbouring runs, and the median of those is printed. OpenVINO XAI 1.1.0 needs
openvino before 2026 and none of its other dependencies; it may lie in a folder of its own:

    pip install --target FOLDER --no-deps openvino==2025.4.1 openvino-telemetry openvino_xai==1.1.0
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from torch_support import torch, torchvision

import onnxcam
from onnxcam.api import explainer_of

Run = Callable[[], Any]
START, END = "<!-- bench_methods -->", "<!-- end of bench_methods -->"
HEAD = "| what | net | × faster | ours ms | theirs ms | difference of the maps |\n|---|---|---|---|---|---|"
SIZE, CLASS = 224, 3


@dataclass(frozen=True)
class Duel:
    """Two that do the same.

    Attributes:
        what: for the table.
        ours, theirs: one run each; what they give is compared, [0, 1].
        runs: how often.
    """

    what: str
    ours: Run
    theirs: Run
    runs: int


@dataclass(frozen=True)
class Net:
    """A net in both forms, and a picture."""

    name: str
    module: Any
    model: Any
    x: Any
    layer: str

    def session(self, **options: Any) -> Callable[..., list[Any]]:
        """An explain graph of it, to be run on inputs by name."""
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.log_severity_level = 1, 3
        data = onnxcam.convert(self.model, **options).to_bytes()
        found = onnxruntime.InferenceSession(data, settings, ["CPUExecutionProvider"])
        name = found.get_inputs()[0].name

        def run(target: Any, output: str) -> Any:
            return found.run([output], {name: self.x.numpy(), "target": np.array(target)})[0]

        return run


LAYERS = {
    "resnet18": "layer4",
    "mobilenet_v2": "features",
    "mobilenet_v3_small": "features",
    "squeezenet1_1": "features",
}


def net(name: str) -> Net:
    """The net with random weights, its norms set so that nothing dies out in it, and its ONNX model."""
    from onnxcam.conversion import Request, convert_source

    torch.manual_seed(0)
    module, x = getattr(torchvision.models, name)(weights=None), torch.randn(1, 3, SIZE, SIZE)
    for norm in (part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)):
        norm.momentum = None  # as they are in the picture that follows
    with torch.no_grad():
        module.train()(torch.randn(8, 3, SIZE, SIZE))
    module.eval()
    return Net(name, module, convert_source(Request(source=module, example=x)).model, x, LAYERS[name])


def peer_map(net: Net, kind: str) -> Run:
    """One map of pytorch-grad-cam."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with_bar = io.StringIO()
    cam = getattr(pytorch_grad_cam, kind)(model=net.module, target_layers=[getattr(net.module, net.layer)])

    def run() -> Any:
        with contextlib.redirect_stderr(with_bar):
            return cam(input_tensor=net.x, targets=[ClassifierOutputTarget(CLASS)])[0]

    return run


def ablation(net: Net) -> Duel:
    """Ablation-CAM against pytorch-grad-cam's."""
    ours = net.session(method="ablationcam", layer=net.layer, like="pytorch-grad-cam")
    return Duel("Ablation-CAM, pytorch-grad-cam", lambda: ours([CLASS], "heatmap")[0], peer_map(net, "AblationCAM"), 3)


def score(net: Net) -> Duel:
    """Score-CAM against pytorch-grad-cam's."""
    graph = onnxcam.convert(net.model, method="scorecam", layer=net.layer, like="pytorch-grad-cam", preprocess="unit")
    explainer = explainer_of(graph, threads=1)
    photo = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    net.x.copy_(torch.from_numpy(photo.transpose(2, 0, 1)[None] / np.float32(255)))
    return Duel("Score-CAM, pytorch-grad-cam", lambda: explainer(photo, CLASS).map, peer_map(net, "ScoreCAM"), 1)


def recipro(net: Net) -> Duel:
    """Recipro-CAM against OpenVINO XAI's."""
    import openvino
    import openvino_xai
    from openvino_xai.common.parameters import Method, Task

    model = openvino.Core().read_model(io.BytesIO(net.model.SerializeToString()))
    found = openvino_xai.insert_xai(model, task=Task.CLASSIFICATION, explain_method=Method.RECIPROCAM)
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(found, "CPU", settings)
    ours = net.session(method="reciprocam", outputs=["raw_map"])

    def scaled() -> Any:
        raw = ours([CLASS], "raw_map")[0]
        return raw / raw.max()

    def theirs() -> Any:
        return compiled(net.x.numpy())["saliency_map"][0, CLASS] / np.float32(255)

    return Duel("Recipro-CAM, OpenVINO XAI", scaled, theirs, 20)


def several(net: Net) -> Duel:
    """Five classes of an image against one: here the ratio is at most 1, and the nearer to it the better."""
    many, one = net.session(multi_target=True), net.session()
    others = list(range(CLASS, CLASS + 5))
    return Duel("5 classes, 1 class", lambda: many([others], "heatmap")[0, 0], lambda: one([CLASS], "heatmap")[0], 30)


DUELS = {"ablationcam": ablation, "reciprocam": recipro, "scorecam": score, "several": several}


def milliseconds(run: Run) -> tuple[float, Any]:
    """One run, and what it gave. The processor's time counts, without what others took of it meanwhile."""
    started = time.process_time()
    found = run()
    return (time.process_time() - started) * 1000, found


def line(net: Net, duel: Duel) -> str:
    """One line of the table."""
    found, expected = duel.ours(), duel.theirs() if duel.runs > 2 else None
    pairs = []
    for _ in range(duel.runs):
        (a, found), (b, expected) = milliseconds(duel.ours), milliseconds(duel.theirs)
        pairs.append((a, b))
    ratio = statistics.median(b / a for a, b in pairs)
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    difference = float(np.abs(found - expected).max())
    return f"| {duel.what} | {net.name} | **{ratio:.2f}** | {ours:.1f} | {theirs:.1f} | {difference:.1e} |"


def lines(names: list[str], only: list[str]) -> Iterator[str]:
    """All lines of the table."""
    yield from HEAD.split("\n")
    for what in only:
        for name in names:
            found = net(name)
            yield line(found, DUELS[what](found))


def main() -> None:
    """Prints the table, and writes it between its marks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="+", choices=LAYERS)
    parser.add_argument("--only", nargs="+", default=list(DUELS), choices=DUELS)
    parser.add_argument("--packages", type=Path, help="a folder with OpenVINO XAI")
    parser.add_argument("--write", type=Path, help="a page with marks for the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.packages:
        sys.path.append(str(options.packages))
    table = []
    for text in lines(options.nets, options.only):
        print(text, flush=True)
        table.append(text)
    if options.write:
        page = options.write.read_text()
        body = "\n".join([START, *table, END])
        options.write.write_text(re.sub(f"{re.escape(START)}.*?{re.escape(END)}", lambda _: body, page, flags=re.S))


if __name__ == "__main__":
    main()
