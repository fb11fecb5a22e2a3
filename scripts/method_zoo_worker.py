"""What every method of one pass makes of one net, in a process of its own; prints a line of JSON for each step.

python scripts/method_zoo_worker.py FOLDER SCORE STEP [STEP ...]

SCORE is what is explained, "" for what the model shows. A step is a method's name, or "facts": what must hold between
methods whatever the net.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "converters")]

from onnxcam.assembly import build  # noqa: E402
from onnxcam.errors import OnnxCamError  # noqa: E402
from onnxcam.graph import LoadedModel, check, drop_unused, load  # noqa: E402
from onnxcam.methods import METHODS  # noqa: E402
from onnxcam.planning import Wish, completed, plan  # noqa: E402

Array = NDArray[Any]
MEMORY_BYTES = 12 << 30
BEST, SECOND = -1, -2
FLAT = 1e-5  # of the largest value: a map that varies less shows rounding
SAME = 1e-2  # between two runs of one thing, relative L2: a single ReLU that rounding flips moves a gradient so far
SMALLEST = 1e-4  # of a map of activations, which are near 1: their mean behind a normalisation is rounding
# Those of which several targets at once are compared with one after the other: each runs something else again.
SEVERAL = frozenset(
    "gradcam layercam eigencam ablationcam reciprocam finercam fullgrad saliency lrp-epsilon legrad rollout "
    "gradient-rollout refinecam guided-gradcam".split()
)


class Net(NamedTuple):
    """A model, two pictures for it, and PyTorch's gradient of the best score, where it is known."""

    loaded: LoadedModel
    score: str | None
    pictures: Array
    reference: Array | None
    noise: float


def main() -> None:
    """Prints what was found, step by step."""
    folder, score, *steps = sys.argv[1:]
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    net = opened(Path(folder), score or None)
    for step in steps:
        started = time.process_time()
        found = facts(net) if step == "facts" else tried(net, step)
        print(json.dumps({"step": step, **found, "seconds": round(time.process_time() - started, 1)}), flush=True)


def opened(folder: Path, score: str | None) -> Net:
    """The net of that folder."""
    path = folder / "reference.json"
    told = json.loads(path.read_text()) if path.exists() else {}
    loaded = load(folder / told.get("file", "model.onnx"))
    if (folder / "gradients.npz").exists():
        with np.load(folder / "gradients.npz") as known:
            reference = known["input"][:2] if score is None and known["outputs"].ndim == 2 else None
            return Net(loaded, score, known["x"][:2], reference, told.get("own_noise", 0.0))
    dims = loaded.proto.graph.input[0].type.tensor_type.shape.dim
    shape = (2, *(dim.dim_value for dim in list(dims)[1:]))
    return Net(loaded, score, np.random.default_rng(0).normal(size=shape).astype(np.float32), None, 0.0)


def tried(net: Net, method: str) -> dict[str, Any]:
    """What becomes of the method: refused, or the state of its maps and what is odd about them."""
    try:
        run = Runs(net, method)
        both = run(net.pictures, [BEST, BEST])
    except OnnxCamError as error:
        return {"refused": type(error).__name__, "words": str(error)}
    except Exception as error:  # noqa: BLE001 - that there is none is what is asked
        return {"bug": f"{type(error).__name__}: {error}"[:300]}
    try:
        return {**state(both), **oddities(net, run, both, method)}
    except Exception as error:  # noqa: BLE001
        return {**state(both), "bug": f"{type(error).__name__}: {error}"[:300]}


class Runs:
    """An explain graph of the net, ready to be run."""

    def __init__(self, net: Net, method: str, outputs: tuple[str, ...] = ("raw_map",), *, multi: bool = False) -> None:
        copy = type(net.loaded.proto)()
        copy.CopyFrom(net.loaded.proto)
        loaded = LoadedModel(copy, net.loaded.source, net.loaded.batch_reason)
        wish = Wish(method=method, score=net.score, outputs=outputs)
        wish.check()
        found = completed(plan(loaded, wish), None)
        model = build(found, outputs, is_multi=multi)
        drop_unused(model)
        check(model)
        self.layers, self.is_multi = found.layers, multi
        self.picture = found.picture.name
        self._session = session(model.SerializeToString())

    def __call__(self, pictures: Array, targets: Any) -> dict[str, Array]:
        """The outputs by name."""
        feed = {self.picture: pictures, "target": np.asarray(targets, np.int64)}
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(None, feed), strict=True))


def session(model: bytes) -> Any:
    """In ONNX Runtime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])


def state(found: dict[str, Array]) -> dict[str, Any]:
    """What a user would be told of the worst of the maps."""
    heatmap, raw = found["heatmap"], found["raw_map"]
    if not np.isfinite(heatmap).all():
        return {"state": "not finite", "bug": f"{np.count_nonzero(~np.isfinite(heatmap))} values are not finite"}
    if not raw.any():
        return {"state": "raw map is zero"}
    if any(row.any() and np.ptp(row) <= FLAT * np.abs(row).max() for row in raw):
        return {"state": "flat"}
    return {"state": "ok" if all(row.any() for row in heatmap) else "zero"}


def oddities(net: Net, run: Runs, both: dict[str, Array], method: str) -> dict[str, Any]:
    """What differs that must not: pictures together or alone, targets together or alone."""
    found: dict[str, Any] = {"layer": ", ".join(layer.name for layer in run.layers)[:80]}
    alone = run(net.pictures[1:], [BEST])
    smallest = 1e-30 if METHODS[method].needs_gradient else SMALLEST
    found["batch"] = distance(both["raw_map"][1:], alone["raw_map"], smallest)
    if method in SEVERAL:
        second = run(net.pictures, [SECOND, SECOND])
        several = Runs(net, method, multi=True)(net.pictures, [[BEST, SECOND]] * 2)
        # the raw map is of all rows
        raw = several["raw_map"].reshape(2, 2, *both["raw_map"].shape[1:])
        found["targets"] = max(distance(raw[:, 0], both["raw_map"]), distance(raw[:, 1], second["raw_map"]))
        found["differs"] = distance(both["raw_map"], second["raw_map"])
    worst = max(found[key] for key in ("batch", "targets") if key in found)
    if not np.isfinite(worst):
        return found  # `state` says so already
    return found if worst <= max(SAME, 3 * net.noise) else {**found, "bug": "batch or targets"}


def distance(found: Array, right: Array, smallest: float = 1e-30) -> float:
    """Relative L2. What is smaller than `smallest` is rounding."""
    if found.shape != right.shape:
        return 9.0
    scale = max(float(np.linalg.norm(right)), smallest * right.size**0.5)
    return float(np.linalg.norm(found.astype(np.float64) - right) / scale)


def facts(net: Net) -> dict[str, Any]:
    """How far off each of what must hold is."""
    found: dict[str, Any] = {}
    for fact in (gradient_of_torch, sum_of_linear, places):
        try:
            value = fact(net)
        except OnnxCamError as error:
            found[fact.__name__] = type(error).__name__
        except Exception as error:  # noqa: BLE001
            found[fact.__name__] = f"bug: {type(error).__name__}: {error}"[:300]
        else:
            found[fact.__name__] = value
    return found


def gradient_of_torch(net: Net) -> float | None:
    """Saliency is the size of PyTorch's own gradient of the best score."""
    if net.reference is None:
        return None
    run = Runs(net, "saliency", ("raw_map",))
    found = run(net.pictures, [BEST, BEST])["raw_map"]
    channels = 1 if net.pictures.shape[1] <= 4 else 3
    return distance(found, np.abs(net.reference).max(axis=channels))


def sum_of_linear(net: Net) -> float | str:
    """Below a linear head the score is HiResCAM's sum and a constant of the class: for two pictures the same."""
    Runs(net, "cam")  # refused where the head is not linear
    run = Runs(net, "hirescam")
    if any(layer.prefix for layer in run.layers):
        return "tokens beside the grid"
    found = run(net.pictures, [0, 0])
    rest = found["target_score"] - found["raw_map"].astype(np.float64).sum(axis=(1, 2))
    return float(abs(rest[1] - rest[0]) / max(np.abs(found["target_score"]).max(), 1e-6))


def places(net: Net) -> list[float]:
    """A quadrant of the picture that changes moves the layer most in the same quadrant: by which factor it does."""
    run = Runs(net, "activation-mean", ("raw_map", "activation"))
    x = net.pictures[:1]
    height, width = (n // 2 for n in x.shape[2:])
    changed = np.repeat(x, 5, axis=0)
    for i in range(4):
        rows, columns = slice((i // 2) * height, (i // 2 + 1) * height), slice((i % 2) * width, (i % 2 + 1) * width)
        changed[1 + i, :, rows, columns] = net.pictures[1, :, rows, columns]
    a = run(changed, [BEST] * 5)["activation"].astype(np.float64)
    moved = np.square(a[1:] - a[:1]).sum(axis=1)
    h, w = (n // 2 for n in moved.shape[1:])
    quadrants = [
        (rows, columns) for rows in (slice(0, h), slice(-h, None)) for columns in (slice(0, w), slice(-w, None))
    ]
    own = []
    for i in range(4):
        parts = [float(moved[i][quadrant].mean()) for quadrant in quadrants]
        own.append(round(parts[i] / max(max(parts[:i] + parts[i + 1 :]), 1e-30), 2))
    return own


if __name__ == "__main__":
    main()
