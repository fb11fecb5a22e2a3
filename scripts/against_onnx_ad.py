"""Input gradients by onnxcam beside those by onnx-ad, of the same files: equal? nodes, time to attach, time to run.

    python scripts/against_onnx_ad.py --cache FOLDER --onnx-ad FOLDER [--only NAME ...] [--write]

Models, pictures and PyTorch's gradients are those that scripts/gradient_zoo.py left in its cache,
onnx-ad comes from PyPI: pip install --no-deps --target FOLDER onnx-ad==0.3.0. Results lie in the cache.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto
from workers import result_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "against-onnx-ad.md"
TIMEOUT_S, RUNS = 900, 15
NAMES = """
timm:test_vit torchvision:squeezenet1_1 torchvision:shufflenet_v2_x1_0 torchvision:mobilenet_v2
torchvision:mobilenet_v3_large torchvision:mnasnet1_0 torchvision:regnet_y_400mf torchvision:efficientnet_b0
torchvision:googlenet torchvision:densenet121 torchvision:resnet18 torchvision:resnet50 torchvision:convnext_tiny
torchvision:swin_t timm:vit_tiny_patch16_224 timm:deit_tiny_patch16_224 timm:mixer_s32_224 timm:mobilevit_xxs
timm:poolformerv2_s12 torchvision:vgg11
""".split()
EQUAL = 1e-3
COLUMNS = ("model", "nodes", "with gradient", "onnx-ad", "attach, s", "onnx-ad", "time", "onnx-ad", "error", "onnx-ad")


def main() -> None:
    """Runs what is not known yet and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "torch-zoo")
    parser.add_argument("--onnx-ad", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        sys.path[:0] = [str(ROOT), str(asked.onnx_ad)]
        print(json.dumps(compare(asked.worker)))
        return
    for name in () if asked.write else NAMES:
        path = asked.cache / name.replace(":", "-") / "onnx-ad.json"
        if not (path.parent / "reference.json").exists():
            print(name, "waits for scripts/gradient_zoo.py")
        elif name in asked.only or name.partition(":")[2] in asked.only or not (asked.only or path.exists()):
            run(name, path, asked.onnx_ad)
    known = {name: asked.cache / name.replace(":", "-") / "onnx-ad.json" for name in NAMES}
    write({name: json.loads(path.read_text()) for name, path in known.items() if path.exists()})


def run(name: str, path: Path, onnx_ad: Path) -> None:
    """Leaves the result, a JSON object, at the path."""
    result = result_of(__file__, "--onnx-ad", str(onnx_ad), "--worker", str(path.parent), timeout_s=TIMEOUT_S)
    path.write_text(json.dumps(result))
    print(name, json.dumps(result), flush=True)


def compare(folder: Path) -> dict[str, Any]:
    """Both gradients of one model, of the top logit of one picture."""
    import onnxcam

    known = np.load(folder / "gradients.npz")
    model = static(folder / json.loads((folder / "reference.json").read_text())["file"])
    picture, logits = model.graph.input[0].name, model.graph.output[0].name
    feeds = {picture: known["x"][:1]}
    cotangent = known["cotangent"][:1].astype(np.float32)
    onnxcam.gradient(model, wrt=[picture])  # modules that it imports on the way are loaded then
    started = time.process_time()
    ours = onnxcam.gradient(model, wrt=[picture])
    seconds = time.process_time() - started
    plain = (session(model), feeds)
    mine = (session(ours), {**feeds, "cotangent": cotangent})
    found: dict[str, Any] = {"nodes": len(model.graph.node)}
    found["ours"] = told(ours, seconds, mine, f"gradient/{picture}", known["input"][:1])
    reverse, seconds = by_onnx_ad(model, picture, logits)
    if isinstance(reverse, str):
        return {**found, "failure": reverse}
    other = session(reverse)
    seed = next(info for info in other.get_inputs() if info.name != picture)
    theirs = (other, {**feeds, seed.name: cotangent.reshape([n if isinstance(n, int) else 1 for n in seed.shape])})
    found["onnx-ad"] = told(reverse, seconds, theirs, other.get_outputs()[-1].name, known["input"][:1])
    found["ours"]["ratio"], found["onnx-ad"]["ratio"] = ratios(plain, mine, theirs)
    return found


def told(model: ModelProto, seconds: float, run: tuple[Any, Any], name: str, right: Any) -> dict[str, Any]:
    """Nodes, seconds, and the relative L2 of the gradient to PyTorch's."""
    g = run[0].run([name], run[1])[0].reshape(right.shape)
    distance = float(np.linalg.norm(g - right) / np.linalg.norm(right))
    return {"nodes": len(model.graph.node), "s": seconds, "distance": distance}


def by_onnx_ad(model: ModelProto, picture: str, logits: str) -> tuple[ModelProto | str, float]:
    """Its reverse model for one cotangent, or what it says instead; and the seconds it took."""
    import onnx_ad

    started = time.process_time()
    try:
        reverse = onnx_ad.reverse(model, inputs=[picture], outputs=[logits], layout="onnx")
    except Exception as error:  # noqa: BLE001 - another's: whatever it says goes into the table
        return f"onnx-ad: {type(error).__name__}: {str(error)[:200]}", 0.0
    seconds = time.process_time() - started
    for info in (*reverse.graph.input, *reverse.graph.output):
        for size in info.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_value = 1
    return reverse, seconds


def static(path: Path) -> ModelProto:
    """The model for one picture, with every shape declared, as onnx-ad wants it."""
    model = onnx.load(path)
    for info in (*model.graph.input, *model.graph.output):
        for size in info.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_value = 1
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def sizes(model: ModelProto) -> list[int]:
    """The shape of the picture."""
    return [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]


def session(model: ModelProto) -> Any:
    """On one thread, which does not burn the other sessions' time."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def ratios(plain: tuple[Any, Any], *others: tuple[Any, Any]) -> list[float]:
    """The median, for each of the others, of its time over that of the plain run just before."""
    rounds = []
    for _ in range(RUNS + 2):
        times = []
        for found, given in (plain, *others):
            started = time.thread_time()  # its own: others use the machine too
            found.run(None, given)
            times.append(time.thread_time() - started)
        rounds.append([each / times[0] for each in times[1:]])
    return [round(statistics.median(column), 2) for column in zip(*rounds[2:], strict=True)] + [0.0] * (2 - len(others))


def write(known: dict[str, dict[str, Any]]) -> None:
    """The table between the markers of the page."""
    text = PAGE.read_text(encoding="utf-8")
    both = [found for found in known.values() if "onnx-ad" in found]
    equal, smaller, faster = (
        sum(is_so(found["ours"], found["onnx-ad"]) for found in both)
        for is_so in (
            lambda ours, theirs: max(ours["distance"], theirs["distance"]) <= EQUAL,
            lambda ours, theirs: ours["nodes"] < theirs["nodes"],
            lambda ours, theirs: ours["ratio"] < theirs["ratio"],
        )
    )
    quotient = statistics.median([found["onnx-ad"]["ratio"] / found["ours"]["ratio"] for found in both] or [0])
    sums = (
        f"Of {len(known)} models onnx-ad 0.3.0 differentiates {len(both)}; in {equal} of these both are within "
        f"{EQUAL:g} of PyTorch's gradient (relative L2). onnxcam's files have fewer nodes in {smaller} and run faster "
        f"in {faster}: in the median onnx-ad's take {quotient:.2f} times as long."
    )
    for marker, content in (("sums", sums), ("table", table(known))):
        start, end = f"<!-- {marker} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}{content}\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(text, encoding="utf-8")


def table(known: dict[str, dict[str, Any]]) -> str:
    """One line a model."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for name, found in known.items():
        cells = [f"`{name}`", found.get("nodes", found.get("failure", ""))]
        for key, form in (("nodes", "{}"), ("s", "{:.2f}"), ("ratio", "{:.2f}"), ("distance", "{:.1e}")):
            cells += [form.format(found[who][key]) if key in found.get(who, {}) else "–" for who in ("ours", "onnx-ad")]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", *(f"- `{name}`: {found['failure']}" for name, found in known.items() if "failure" in found)]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
