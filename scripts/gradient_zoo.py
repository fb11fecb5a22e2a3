"""Gradients of a member of every timm family, of torchvision's nets and transformers', against PyTorch's own.

python scripts/gradient_zoo.py                         runs what is not in the cache yet, then writes the table
python scripts/gradient_zoo.py --only NAME [NAME ...]  runs these
python scripts/gradient_zoo.py --again STEP [STEP ...] runs these steps again: reference, attach, compare, double
python scripts/gradient_zoo.py --write                 writes the table only

Every step of every net has its own process. Exported models, PyTorch's gradients and results lie in --cache, which
outlives the run; that of scripts/torch_zoo.py serves.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch_zoo import SMALLER, TIMM, TORCHVISION
from workers import result_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "gradient-zoo.md"
STEPS = ("reference", "attach", "compare", "double")
TRANSFORMERS = """
vit deit beit swin swinv2 convnextv2 dinov2 segformer segformer_semantic mobilevit clip_vision detr
""".split()

TIMEOUT_S, ATTEMPTS = 900, 3
LIMIT, LIMIT_64 = 1e-3, 1e-7
SLOW_S, MEMORY, RATIO = 10.0, 3.0, 3.5
LARGE = 20e6  # bytes; below it what nodes take is more than the weights
COLUMNS = (
    "net", "ops", "nodes", "with gradient", "attach, s", "memory", "input, 1", "input, 3", "layer, 1", "layer, 3",
    "input, float64", "layer, float64", "time", "CUDA", "WebGPU",
)  # fmt: skip


def main() -> None:
    """Runs what was asked for and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "torch-zoo")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--again", nargs="*", choices=STEPS, default=[])
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    names = [f"timm:{name}" for name in TIMM] + [f"torchvision:{name}" for name in TORCHVISION]
    names += [f"transformers:{name}" for name in TRANSFORMERS]
    chosen = [name for name in names if not asked.only or {name, name.partition(":")[2]} & set(asked.only)]
    for name in () if asked.write else cheapest_first(chosen, asked.cache):
        folder = asked.cache / name.replace(":", "-")
        take_steps(name, folder, asked.again)
        while is_on_a_kink(folder):
            take_steps(name, folder, STEPS)
    rows = [row(name, asked.cache / name.replace(":", "-")) for name in names]
    write([found for found in rows if found is not None])


def take_steps(name: str, folder: Path, again: Sequence[str]) -> None:
    """Those that are asked for again, and those not taken yet; none where PyTorch's gradients cannot be had."""
    for step in STEPS:
        if step in again or not (folder / f"{step}.json").exists():
            run(step, name, folder)
        if step == STEPS[0] and "failure" in json.loads((folder / f"{step}.json").read_text()):
            return


def is_on_a_kink(folder: Path) -> bool:
    """Whether float64 is right where float32 is not, so that other pictures are worth a try; they are then asked for.

    A single unit that rounding carries across the kink of its ReLU makes 1e-3 of a gradient.
    """
    steps = [folder / f"{step}.json" for step in ("compare", "double")]
    narrow, wide = (json.loads(path.read_text()) if path.exists() else {} for path in steps)
    noise = json.loads((folder / "reference.json").read_text()).get("own_noise", 0)
    attempts = int((folder / "attempt").read_text()) if (folder / "attempt").exists() else 0
    wrong, right = worst(narrow.get("errors", {}), default=0), is_exact(wide.get("errors64", {}))
    if wrong <= max(LIMIT, noise) or not right or attempts >= ATTEMPTS:
        return False
    (folder / "attempt").write_text(str(attempts + 1))
    return True


def cheapest_first(names: Iterable[str], cache: Path) -> list[str]:
    """Small files first; the longest run last."""

    def size(name: str) -> int:
        folder = cache / name.replace(":", "-")
        return sum(path.stat().st_size for path in folder.glob("model.onnx*"))

    return sorted(names, key=size)


def run(step: str, name: str, folder: Path) -> None:
    """Leaves the step's result, a JSON object, in the net's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    script, smaller = ROOT / "scripts" / "gradient_zoo_worker.py", json.dumps(SMALLER.get(name, {}))
    started = time.monotonic()
    result = result_of(script, step, name, str(folder), smaller, timeout_s=TIMEOUT_S, log=folder / f"{step}.log")
    if set(result) == {"failure"}:
        result = {"failure": f"{step}: {result['failure']}"}
    (folder / f"{step}.json").write_text(json.dumps(result))
    print(f"{time.monotonic() - started:6.1f} s  {step:9}  {name}  {brief(result)}", flush=True)


def brief(result: dict[str, Any]) -> str:
    """What is worth a look, for the log."""
    wanted = ("failure", "own_noise", "has_layer_gradient", "seconds", "memory", "errors", "ratio", "errors64", "cuda")
    parts = []
    for key in wanted:
        if key in result:
            value = result[key]
            numbers = isinstance(value, dict)
            parts.append(f"{key} " + (" ".join(f"{v:.1e}" for v in value.values()) if numbers else str(value)))
    return "  ".join(parts)


def row(name: str, folder: Path) -> dict[str, Any] | None:
    """What is known of a net, None where it was not run yet."""
    found: dict[str, Any] = {"net": name, "errors": {}, "errors64": {}, "failures": []}
    for step in STEPS:
        path = folder / f"{step}.json"
        if not path.exists():
            return found if found["failures"] else None
        known = json.loads(path.read_text())
        found["failures"] += [known["failure"]] if "failure" in known else []
        found.update(known)
    return found


def write(rows: Sequence[dict[str, Any]]) -> None:
    """The table and its sums between the markers of the page."""
    text = PAGE.read_text(encoding="utf-8")
    for marker, content in (("sums", sums(rows)), ("zoo", table(rows)), ("remarks", remarks(rows))):
        start, end = f"<!-- {marker} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}{content}\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(text, encoding="utf-8")


def worst(errors: dict[str, float], default: float = 9.0) -> float:
    """The largest of the errors."""
    return max(errors.values(), default=default)


def is_exact(errors: dict[str, float]) -> bool:
    """Whether the gradients in float64 are right, to 1e-7 or to a few times what the model's own output is off.

    That comes of what ONNX keeps in float32 whatever the model, such as the slope of HardSigmoid.
    """
    return worst(errors) <= max(LIMIT_64, 4 * errors.get("output float64", 0))


def sums(rows: Sequence[dict[str, Any]]) -> str:
    """How many of them go well."""
    narrow = sum(worst(found["errors"]) <= LIMIT for found in rows)
    as_near = sum(LIMIT < worst(found["errors"]) <= found.get("own_noise", 0) for found in rows)
    wide = sum(is_exact(found["errors64"]) for found in rows)
    exact = sum(not found.get("casts") for found in rows)
    layers = sum(any(name.startswith("layer") for name in found["errors"]) for found in rows)
    ratios = sorted(found["ratio"] for found in rows if "ratio" in found)
    slowest = max(rows, key=lambda found: found.get("seconds", 0))
    hungriest = max((found for found in rows if found.get("size", 0) >= LARGE), key=lambda found: found["memory"])
    ops = Counter(op for found in rows for op in {gap.partition(":")[0] for gap in found.get("cuda", [])})
    return (
        f"Of {len(rows)} nets {narrow} have gradients within 1e-3 of PyTorch's (relative L2, float32, at batches of 1 "
        f"and 3 from one file), {as_near} more are nearer to them than PyTorch's own float32; {wide} are within 1e-7 "
        f"in float64, or a few times what the model's own output is off (nets that cast to float32 themselves: "
        f"{len(rows) - exact}); the layer's gradient was compared in {layers}. The "
        f"slowest to attach is `{slowest['net']}`, {slowest['seconds']} s; the largest in memory, of those over 20 MB, "
        f"`{hungriest['net']}`, {hungriest['memory']} × the file. Time of the whole gradient over the plain forward "
        f"pass: median {ratios[len(ratios) // 2]}, from {ratios[0]} to {ratios[-1]}. Added nodes without a CUDA "
        f"kernel: {', '.join(f'{op} in {n} nets' for op, n in ops.items()) or 'none'}."
    )


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line a net."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for found in rows:
        errors = {**found["errors"], **found["errors64"]}
        kinds = ("input 1", "input 3", "layer 1", "layer 3", "input float64", "layer float64")
        gaps = [len(found[key]) if found[key] else "all" for key in ("cuda", "webgpu") if key in found]
        cells = [
            f"`{found['net']}`",
            *(found.get(key, "") for key in ("ops", "nodes_before", "nodes_after", "seconds")),
            found.get("memory", "") if found.get("size", 0) >= LARGE else "",
            *(f"{errors[kind]:.1e}" if kind in errors else "" for kind in kinds),
            found.get("ratio", ""),
            *gaps,
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def remarks(rows: Sequence[dict[str, Any]]) -> str:
    """One line for each thing that is not as it should be."""
    lines = []
    for found in rows:
        net = f"- `{found['net']}`:"
        if found.get("attempt"):
            lines.append(f"{net} a unit on a kink in {found['attempt']} sets of pictures before these")
        lines += [f"{net} {failure}" for failure in found["failures"]]
        lines += [f"{net} {kind} is off by {e:.1e}, PyTorch's own float32 by {found.get('own_noise', 9):.1e}"
                  for kind, e in found["errors"].items() if e > LIMIT]  # fmt: skip
        why = "; the net itself casts to float32" if found.get("casts") else ""
        wide = {} if is_exact(found["errors64"]) and not why else found["errors64"]
        lines += [f"{net} {kind} is off by {e:.1e}{why}" for kind, e in wide.items() if e > LIMIT_64]
        if found.get("seconds", 0) > SLOW_S:
            lines.append(f"{net} takes {found['seconds']} s to attach")
        if found.get("size", 0) >= LARGE and found.get("memory", 0) > MEMORY:
            lines.append(f"{net} takes {found['memory']} × its size")
        if found.get("ratio", 0) > RATIO:
            lines.append(f"{net} takes {found['ratio']} × the forward pass")
        lines += [f"{net} not on CUDA: {gap}" for gap in found.get("cuda", [])]
    return "\n".join(lines) or "None."


if __name__ == "__main__":
    main()
