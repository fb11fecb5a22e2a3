"""One step of scripts/gradient_zoo.py for one net, in a process of its own; prints JSON.

python scripts/gradient_zoo_worker.py reference NAME FOLDER OPTIONS   exports it where need be; PyTorch's gradients
python scripts/gradient_zoo_worker.py attach    NAME FOLDER OPTIONS   time and memory that onnxcam.gradient takes
python scripts/gradient_zoo_worker.py compare   NAME FOLDER OPTIONS   errors in float32, time, kernels
python scripts/gradient_zoo_worker.py double    NAME FOLDER OPTIONS   errors in float64
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from gradient_zoo_measures import distance, file_size, is_narrow, memory_now, peak, ratio, session
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "converters"), str(ROOT / "tests")]
BATCHES = (1, 3)
LIMIT_64 = 1e-7
SMALLEST = '<ir_version: 8, opset_import: ["": 18]> g (float[N,1] x) => (float[N,1] y) { y = Relu(x) }'
NOISE = 3e-4  # of PyTorch in float32 against itself in float64
Array = NDArray[Any]


def main() -> None:
    """Prints what was found."""
    step, name, folder, options = sys.argv[1:]
    warnings.simplefilter("ignore")
    steps = {"reference": reference, "attach": attach, "compare": compare, "double": double}
    print(json.dumps(steps[step](name, Path(folder), json.loads(options))))


def reference(name: str, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Leaves pictures, cotangents and PyTorch's gradients of three pictures, in float64, in the folder.

    A net whose gradients PyTorch's own float32 misses by too much to compare anything is made calmer, and tried again;
    and so are all nets at a second attempt.
    """
    from gradient_zoo_nets import calm, make
    from torch_support import torch

    torch.set_num_threads(1)
    attempt = int((folder / "attempt").read_text()) if (folder / "attempt").exists() else 0
    if not attempt:
        module, x = make(name, **options)
        found = refer(module, x, folder / "model.onnx")
        if found["own_noise"] <= NOISE:
            return found
    module, x = make(name, **options)
    return {**refer(module, calm(module, x, attempt), folder / "calm.onnx"), "is_calm": True, "attempt": attempt}


def refer(module: Any, x: Any, path: Path) -> dict[str, Any]:
    """The model at the path, exported where need be, and PyTorch's gradients beside it."""
    from gradient_zoo_torch import find_places, gradients, top_cotangents, without_overwriting
    from torch_support import torch

    x = x[: max(BATCHES)]
    exported = export(module, x, path)
    layer, tensor, held = default_layer(path, x.numpy())
    module = without_overwriting(module)
    with torch.no_grad():
        narrow = module(x).numpy()
        wide = module.double()
        outputs = wide(x.double()).numpy()
    cotangent = top_cotangents(narrow)
    places = [] if held is None else find_places(wide, x.double(), held, maker_of(path, tensor))
    by_input, by_layer = None, None
    for place in places or [None]:
        by_input, by_layer = gradients(wide, x.double(), cotangent, place)
        if by_layer is not None:
            break
    noisy = gradients(wide.float(), x, cotangent, None)[0]
    found = {"input": by_input} | ({} if by_layer is None else {"layer": by_layer.reshape(held.shape)})
    np.savez(path.parent / "gradients.npz", x=x.numpy(), cotangent=cotangent, outputs=outputs, **found)
    told = {"layer": layer, "tensor": tensor, "places": len(places), "has_layer_gradient": by_layer is not None}
    return {**exported, **told, "file": path.name, "own_noise": distance(noisy, by_input)}


def maker_of(path: Path, tensor: str) -> str:
    """The op that makes the tensor."""
    nodes = onnx.load(path, load_external_data=False).graph.node
    return next((str(node.op_type) for node in nodes if tensor in node.output), "")


def export(module: Any, x: Any, path: Path) -> dict[str, Any]:
    """Leaves the net's model at the path, where it does not lie there already, and gives the same."""
    from onnxcam_converters.torch.exporting import export_module
    from torch_support import torch
    from torch_zoo_worker import run

    with torch.no_grad():
        right = module(x[:1]).numpy()
    if path.exists() and distance(run(path, x[:1].numpy())[0], right) <= 1e-3:
        return {"is_exported_now": False}
    made = export_module(module, (x[:1],))
    weights = path.with_suffix(".onnx.data")
    weights.unlink(missing_ok=True)
    onnx.save(made.model, path, save_as_external_data=True, location=weights.name)
    return {"is_exported_now": True, "export_error": distance(run(path, x[:1].numpy())[0], right)}


def default_layer(path: Path, x: Array) -> tuple[str, str | None, Array | None]:
    """The layer that onnxcam takes, its tensor's name, and what it holds; or why there is none."""
    from torch_zoo_worker import run_inner

    from onnxcam.errors import NoClassScores, NoSpatialLayer
    from onnxcam.graph import Tape, load
    from onnxcam.layer import find_layers
    from onnxcam.scores import find_scores

    tape = Tape(load(path).proto)
    try:
        scores = find_scores(tape).values
    except NoClassScores:  # a detector or a segmenter, whose layer is that before its only output
        scores = tape.outputs[0]
    try:
        default = find_layers(tape, scores)[0]
    except NoSpatialLayer as error:
        return f"{type(error).__name__}: {error}", None, None
    return default.name, default.tensor, run_inner(load(path).proto, [default.tensor], x)[0]


def attach(_name: str, folder: Path, _options: dict[str, Any]) -> dict[str, Any]:
    """Seconds to load and differentiate, and the memory that takes at its peak, in multiples of the file's size."""
    import onnxcam

    path, wrt = chosen(folder)
    size = file_size(path)
    onnxcam.gradient(onnx.parser.parse_model(SMALLEST))  # its modules are loaded then
    before, at_start = memory_now(), peak()
    started = time.process_time()
    model = onnxcam.gradient(path, wrt=wrt)
    seconds = time.process_time() - started
    grown = (max(peak(), at_start) - before) / size
    return {"seconds": round(seconds, 2), "size": size, "memory": round(grown, 2), "nodes": len(model.graph.node)}


def compare(_name: str, folder: Path, _options: dict[str, Any]) -> dict[str, Any]:
    """Relative L2 to PyTorch at each batch, nodes, the time ratio, and what a GPU would not take."""
    from kernels import gaps

    import onnxcam
    from onnxcam.graph import load

    path, wrt = chosen(folder)
    known = dict(np.load(folder / "gradients.npz"))
    plain = load(path).proto
    model = onnxcam.gradient(path, wrt=wrt)
    forward, full = session(plain), session(model)
    errors = {}
    for count in BATCHES:
        feeds = {"cotangent": known["cotangent"][:count].astype(np.float32)}
        feeds[forward.get_inputs()[0].name] = known["x"][:count]
        outputs, *found = full.run(None, feeds)
        errors[f"output {count}"] = distance(outputs, known["outputs"][:count])
        for what, g in zip(("input", "layer"), found, strict=False):
            if what in known:
                errors[f"{what} {count}"] = distance(g, known[what][:count])
    own = {output for node in plain.graph.node for output in node.output}
    missing = {
        provider: sorted({str(gap) for gap in gaps(model, provider) if gap.is_added(own)})
        for provider in ("cuda", "webgpu")
    }
    return {
        "errors": errors,
        "ops": len({node.op_type for node in model.graph.node}),
        "nodes_before": len(plain.graph.node),
        "nodes_after": len(model.graph.node),
        **ratio(forward, full, {name: x[:1] for name, x in feeds.items()}),
        **missing,
    }


def double(name: str, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Relative L2 to PyTorch of the model in float64, differentiated in float64.

    Where constants that the exporter computed in float32 hide the answer, the net is exported in float64 anew.
    """
    from double_runs import widened
    from torch_support import torch

    import onnxcam

    torch.set_num_threads(1)
    path, wrt = chosen(folder)
    known = dict(np.load(folder / "gradients.npz"))
    found = errors_double(widened(onnx.load(path)), known, wrt)
    if max(found["errors64"].values()) <= LIMIT_64:
        return found
    model = exported_double(name, folder, options)
    layer = onnxcam.layers(model)[0].tensor
    again = errors_double(model, known, [model.graph.input[0].name, layer])
    return {**again, "converted": found["errors64"], "casts": sum(map(is_narrow, model.graph.node))}


def exported_double(name: str, folder: Path, options: dict[str, Any]) -> onnx.ModelProto:
    """The net's model, exported in float64; not by way of a converter, which would try it in ONNX Runtime."""
    from gradient_zoo_nets import calm, make
    from torch_support import torch

    module, x = make(name, **options)
    if json.loads((folder / "reference.json").read_text()).get("is_calm"):
        x = calm(module, x)
    with contextlib.redirect_stdout(sys.stderr), torch.no_grad():
        torch.onnx.export(
            module.double(), (x[: max(BATCHES)].double(),), folder / "double.onnx", opset_version=18, dynamo=True,
            external_data=False,
        )  # fmt: skip
    model = onnx.load(folder / "double.onnx")
    (folder / "double.onnx").unlink()
    return model


def errors_double(model: onnx.ModelProto, known: dict[str, Array], wrt: list[str]) -> dict[str, Any]:
    """Relative L2 of the gradients of a model of float64."""
    from double_runs import evaluate

    import onnxcam

    full = onnxcam.gradient(model, wrt=wrt)
    feeds = {full.graph.input[0].name: known["x"].astype(np.float64), "cotangent": known["cotangent"].astype(float)}
    started = time.perf_counter()
    names = [full.graph.output[0].name, *(info.name for info in full.graph.output[-len(wrt) :])]
    outputs, *found = evaluate(full, feeds, names)
    pairs = zip(("input", "layer"), found, strict=False)
    errors = {"output float64": distance(outputs, known["outputs"])} | {
        f"{what} float64": distance(g, known[what])
        for what, g in pairs
        if what in known and known[what].shape == g.shape
    }
    kinds = sorted({str(g.dtype) for g in found})
    return {"errors64": errors, "dtypes": kinds, "seconds64": round(time.perf_counter() - started, 1)}


def chosen(folder: Path) -> tuple[Path, list[str]]:
    """The model, and the names of its picture and of the default layer's tensor."""
    known = json.loads((folder / "reference.json").read_text())
    path = folder / known["file"]
    picture = onnx.load(path, load_external_data=False).graph.input[0].name
    return path, [picture, *([known["tensor"]] if known["tensor"] else [])]


if __name__ == "__main__":
    main()
