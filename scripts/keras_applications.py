"""Every net of keras.applications, converted from its file without TensorFlow and compared with Keras.

    python scripts/keras_applications.py            all of them, into docs/keras-applications.md
    python scripts/keras_applications.py VGG16 …    these rows anew

Weights are random; BatchNormalization's statistics are those of a batch of random pictures, so that activations stay
of size one. Each net has a process of its own for Keras and one, without TensorFlow, for the conversion.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DOCUMENT = Path(__file__).parent.parent / "docs" / "keras-applications.md"
SIZE, CLASSES, BATCH = 96, 10, 2
# The biggest last.
NAMES = (
    "VGG16 VGG19 ResNet50 ResNet101 ResNet152 ResNet50V2 ResNet101V2 ResNet152V2 InceptionV3 InceptionResNetV2 "
    "Xception MobileNet MobileNetV2 MobileNetV3Small MobileNetV3Large DenseNet121 DenseNet169 DenseNet201 "
    "NASNetMobile EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 EfficientNetB5 "
    "EfficientNetB6 EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 "
    "EfficientNetV2S EfficientNetV2M ConvNeXtTiny ConvNeXtSmall ConvNeXtBase NASNetLarge EfficientNetV2L "
    "ConvNeXtLarge ConvNeXtXLarge"
).split()
HEAD = (
    "| net | parameters | output | … exactly | Keras itself | default layer | its activation | seconds | MB |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
# Mean and deviation of random weights. With β around ½ most units are on, as in trained nets; around 0 a random net
# is chaotic: ResNet152 makes 2e-4 of Keras's own rounding.
SPREAD = {"gamma": (0.5, 0.1), "beta": (0.5, 0.3), "bias": (0.0, 0.1)}
# Bigger nets are not computed in float64, which would take Keras more than 8 GB.
MOST_PARAMETERS = 200e6
Array = NDArray[Any]


def pictures(batch: int, seed: int) -> Array:
    """Random pictures, 0 to 255, that differ in colour, contrast and fineness as photos do."""
    rng = np.random.default_rng(seed)
    found = []
    for cells in rng.choice([1, 2, 3, 4, 6, 8, 12], batch):
        colour, contrast = rng.uniform(0, 255, 3), rng.uniform(20, 200)
        coarse = colour + contrast * rng.uniform(-1, 1, (cells, cells, 3))
        found.append(np.kron(coarse, np.ones((SIZE // cells, SIZE // cells, 1))) + rng.normal(0, 10, (SIZE, SIZE, 3)))
    return np.clip(np.stack(found), 0, 255).astype(np.float32)


def built(name: str) -> Any:
    """The net with random weights, its BatchNormalization calibrated."""
    import keras

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=(SIZE, SIZE, 3), classes=CLASSES)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for variable in layer.weights:
            name = "gamma" if type(layer).__name__ == "LayerScale" else variable.name
            if name in SPREAD:
                variable.assign(rng.normal(*SPREAD[name], variable.shape))
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(pictures(32, seed=0), training=True)
    return model


def one(name: str) -> dict[str, Any]:
    """The row of one net: makes it in Keras, has it converted by another process, and compares."""
    model, x = built(name), pictures(BATCH, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/net.keras")
        np.save(f"{folder}/x.npy", x)
        subprocess.run([sys.executable, __file__, "--convert", folder, str(time.time())], check=True)
        found = json.loads(Path(folder, "found.json").read_text())
        arrays = np.load(f"{folder}/found.npz")
        y, activation = arrays["y"], arrays["activation"]
    return (
        found | {"name": name, "parameters": model.count_params()} | compared(model, x, y, activation, found["layer"])
    )


def compared(model: Any, x: Array, y: Array, activation: Array, layer: str) -> dict[str, float]:
    """Relative errors ‖a − b‖/‖b‖: of the output, of the default layer, and of Keras against itself in float64."""
    import keras

    (chosen,) = (operation for operation in model.operations if operation.name == layer)
    both = keras.Model(model.input, [chosen.output, model.output])
    wanted, predicted = (np.asarray(each) for each in both(x, training=False))
    assert np.ptp(predicted) > 1e-3, "the net says the same of everything"
    found = {"output": distance(y, predicted), "activation": distance(activation, wanted)}
    if model.count_params() > MOST_PARAMETERS:
        return found
    weights, config = model.get_weights(), model.get_config()
    keras.config.set_floatx("float64")
    exact = np.asarray(double(config, weights)(x.astype(np.float64), training=False))
    return found | {"exact": distance(y, exact), "rounding": distance(predicted, exact)}


def double(config: dict[str, Any], weights: list[Array]) -> Any:
    """The same net in float64."""
    import keras

    text = json.dumps(config).replace('"float32"', '"float64"')
    model = keras.Model.from_config(json.loads(text))
    model.set_weights(weights)
    return model


def distance(a: Array, b: Array) -> float:
    """‖a − b‖/‖b‖."""
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b))


def convert(folder: Path, started: float) -> None:
    """Converts the file and runs it; what it took counts from the start of the process, imports included."""
    import onnxcam
    from onnxcam.conversion import Request, convert_source

    model = convert_source(Request(source=folder / "net.keras")).model
    seconds = time.time() - started
    peak = peak_mb()
    assert not {"tensorflow", "keras", "torch"} & sys.modules.keys()
    layer = onnxcam.layers(model)[0]
    y, activation = run(model, layer.tensor, np.load(folder / "x.npy"))
    if layer.layout == "NCHW":
        activation = activation.transpose(0, 2, 3, 1)
    np.savez(folder / "found.npz", y=y, activation=activation)
    (folder / "found.json").write_text(json.dumps({"seconds": seconds, "peak": peak, "layer": layer.name}))


def peak_mb() -> int:
    """The most memory this process has had; getrusage would count what the parent had when it started this one."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) // 1024 if found else 0


def run(model: Any, tensor: str, x: Array) -> list[Array]:
    """The output and one inner tensor in ONNX Runtime."""
    import onnxruntime
    from onnx import ValueInfoProto

    model.graph.output.append(ValueInfoProto(name=tensor))
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: x}))


def row(found: dict[str, Any]) -> str:
    """A line of the table."""
    output, exact, rounding, activation = (
        f"{found[key]:.1e}" if key in found else "–" for key in ("output", "exact", "rounding", "activation")
    )
    return (
        f"| {found['name']} | {found['parameters'] / 1e6:.1f} M | {output} | {exact} | {rounding} "
        f"| `{found['layer']}` | {activation} | {found['seconds']:.1f} | {found['peak']} |"
    )


def write(rows: dict[str, str]) -> None:
    """The rows into the table, those of other nets kept."""
    text = DOCUMENT.read_text()
    kept = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    kept = {name: line for name, line in (kept | rows).items() if name in NAMES}
    table = "\n".join([HEAD, *(kept[name] for name in NAMES if name in kept)])
    pattern = r"(<!-- applications -->\n).*?(<!-- end -->)"
    DOCUMENT.write_text(re.sub(pattern, lambda found: f"{found[1]}{table}\n{found[2]}", text, flags=re.DOTALL))


def main() -> None:
    """All nets, or those named."""
    if sys.argv[1:2] == ["--convert"]:
        return convert(Path(sys.argv[2]), float(sys.argv[3]))
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(sys.argv[2])))
        return None
    for name in sys.argv[1:] or NAMES:
        environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(
            [sys.executable, __file__, "--one", name], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            print(f"{name}: {done.stderr.strip().splitlines()[-1][:300]}", file=sys.stderr)
            continue
        line = row(json.loads(done.stdout.splitlines()[-1]))
        print(line, flush=True)
        write({name: line})
    return None


if __name__ == "__main__":
    main()
