"""One net of scripts/torch_zoo.py in a process of its own: converts it, or finds its default layer; prints JSON.

python scripts/torch_zoo_worker.py export NAME FOLDER OPTIONS
python scripts/torch_zoo_worker.py layer NAME FOLDER OPTIONS
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "converters"), str(ROOT / "tests")]
LIMIT = 1e-4  # relative L2
BATCHES = (1, 3)
Array = NDArray[Any]


def main() -> None:
    """Prints what was found."""
    step, name, folder, options = sys.argv[1:]
    warnings.simplefilter("ignore")
    found = export(name, Path(folder), json.loads(options)) if step == "export" else layer(Path(folder))
    print(json.dumps(found))


def export(name: str, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Converts the net; leaves it, an input, and the tensor that its default layer should be, in the folder."""
    from onnxcam_converters.torch.exporting import export_module
    from torch_support import torch
    from zoo_nets import expected, hooked, make

    from onnxcam.errors import CannotConvert
    from onnxcam.facts import author_facts

    torch.set_num_threads(1)
    module, x = make(name, **options)
    started = time.monotonic()
    try:
        made = export_module(module, (x[:1],))
    except CannotConvert as error:
        return {"failure": str(error)}
    seconds = round(time.monotonic() - started, 1)
    onnx.save(made.model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    layers = author_facts(made.model)["layers"]
    errors = []
    for count in BATCHES:
        with torch.no_grad():
            right = module(x[:count]).numpy()
        errors.append(distance(run(folder / "model.onnx", x[:count].numpy())[0], right))
    outputs = hooked(module, x[:1])
    unequal = differing(folder / "model.onnx", x[:1].numpy(), layers, outputs)
    what, tensor = expected(name, module, x[:1])
    np.savez(folder / "expected.npz", x=x[:1].numpy(), **({} if tensor is None else {"tensor": tensor}))
    return {
        "route": made.route,
        "attempts": list(made.attempts),
        "errors": errors,
        "nodes": len(made.model.graph.node),
        "modules": len(layers),
        "equal": len(layers) - len(unequal),
        "unequal": unequal,
        "vanished": len(author_facts(made.model).get("vanished", {})),
        "expected": what,
        "seconds": seconds,
    }


def differing(path: Path, x: Array, layers: dict[str, str], outputs: dict[str, Array]) -> list[str]:
    """The module paths whose tensor in the file is not what the module gives."""
    inner = sorted(set(layers.values()))
    wrong = []
    for some in portions(inner, 150):
        found = dict(zip(some, run_inner(onnx.load(path), some, x), strict=True))
        for module, tensor in layers.items():
            if tensor in found and not distance(found[tensor], outputs[module]) <= LIMIT:
                wrong.append(module)
    return wrong


def layer(folder: Path) -> dict[str, Any]:
    """The default layer that onnxcam finds in the converted net, and whether it is the one expected."""
    import onnxcam
    from onnxcam.errors import OnnxCamError
    from onnxcam.graph import load

    known = np.load(folder / "expected.npz")
    try:
        default = onnxcam.layers(folder / "model.onnx")[0]
    except OnnxCamError as error:
        return {"failure": f"{type(error).__name__}: {error}"}
    found = {"layer": default.name, "layout": default.layout, "prefix": default.prefix, "reason": default.reason}
    if "tensor" not in known:
        return {**found, "is_right": False}
    (tensor,) = run_inner(load(folder / "model.onnx").proto, [default.tensor], known["x"])
    flat = places(tensor, default.layout)[:, default.prefix :]
    close = [distance(flat, other) for other in readings(known["tensor"]) if other.shape == flat.shape]
    return {
        **found,
        "is_right": min(close, default=9) <= LIMIT,
        "shape": tensor.shape,
        "shape_expected": known["tensor"].shape,
    }


def places(x: Array, layout: str) -> Array:
    """(N, places, C) of a tensor in that layout."""
    x = x.transpose([layout.index(letter) for letter in ("NHWC" if "H" in layout else "NTC")])
    return x.reshape(len(x), -1, x.shape[-1])


def readings(x: Array) -> Iterator[Array]:
    """All that a tensor of PyTorch may be as (N, places, C), tokens in front left out."""
    for layout in ("NCHW", "NHWC") if x.ndim == 4 else ("NTC", "NCT"):
        rows = places(x, layout)
        yield from (rows[:, start:] for start in range(min(9, rows.shape[1])))


def run(source: Any, x: Array, wanted: Sequence[str] | None = None) -> list[Array]:
    """Outputs by ONNX Runtime on one thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(source, options, ["CPUExecutionProvider"])
    return list(session.run(wanted, {session.get_inputs()[0].name: x}))


def run_inner(model: onnx.ModelProto, wanted: Sequence[str], x: Array) -> list[Array]:
    """What tensors inside the model hold; inputs included."""
    known = {info.name for info in (*model.graph.output, *model.graph.input)}
    for name in wanted:
        if name not in known:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    inner = [name for name in wanted if name != model.graph.input[0].name]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "inner.onnx"
        onnx.save(model, path, save_as_external_data=True, location="inner.onnx.data")
        found = dict(zip(inner, run(str(path), x, inner), strict=True))
    return [found.get(name, x) for name in wanted]


def portions(names: Sequence[str], count: int) -> Iterator[list[str]]:
    """The names, so many at a time."""
    yield from (list(names[start : start + count]) for start in range(0, len(names), count))


def distance(a: Array, b: Array) -> float:
    """‖a − b‖ / ‖b‖; 9 for other shapes."""
    if a.shape != b.shape:
        return 9.0
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm(a - b) / (np.linalg.norm(b) or 1.0))


if __name__ == "__main__":
    main()
