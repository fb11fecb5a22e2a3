"""Keras files written by hand, as Keras of several eras writes them: an architecture and named arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from converted import session
from numpy.typing import NDArray

from onnxcam.conversion import Request, convert_source

Array = NDArray[Any]


def layer(kind: str, name: str, *inbound: Any, **config: Any) -> dict[str, Any]:
    """A layer of a functional model; `inbound` are its inbound nodes."""
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": list(inbound)}


def entry(name: str, *shape: int | None, **config: Any) -> dict[str, Any]:
    """An InputLayer."""
    return layer("InputLayer", name, batch_input_shape=[None, *shape], dtype="float32", **config)


def functional(layers: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], name: str = "net") -> Any:
    """A functional model."""
    config = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Model", "config": config, "name": name}


def sequential(*layers: Any, name: str = "net") -> Any:
    """A Sequential model, as Keras has written it since 2.2.3."""
    return {"class_name": "Sequential", "name": name, "config": {"name": name, "layers": layers}}


def write(
    path: Path,
    model: Any,
    weights: Mapping[str, Mapping[str, Array]],
    *,
    keras: str = "2.2.4",
    backend: str = "tensorflow",
) -> Path:
    """The .h5 file: for each layer of the top its arrays by name."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model).encode()
        file.attrs["keras_version"], file.attrs["backend"] = keras.encode(), backend.encode()
        top = file.create_group("model_weights")
        top.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            group = top.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight in arrays]
            for weight, array in arrays.items():
                group[weight] = np.asarray(array, np.float32)
    return path


def convert(path: Path, **said: Any) -> Any:
    """The plain ONNX model."""
    return convert_source(Request(source=path, **said)).model


def run(path: Path, *inputs: Array, **said: Any) -> list[Array]:
    """What the file gives in ONNX Runtime."""
    runner = session(convert(path, **said))
    names = [info.name for info in runner.get_inputs()]
    return list(runner.run(None, dict(zip(names, inputs, strict=True))))


def correlate(x: Array, kernel: Array) -> Array:
    """The valid correlation of pictures (N, H, W, C) with a kernel (h, w, C, F)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    found: Array = np.einsum("nijchw,hwcf->nijf", windows, kernel)
    return found
