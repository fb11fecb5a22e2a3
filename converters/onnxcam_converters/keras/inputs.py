"""The inputs of a model: their shapes, with the batch free and the size as the user wants it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from onnxcam.conversion import Request
from onnxcam.errors import InvalidSource, WrongInputSize
from onnxcam.graph import Dim, Tape
from onnxcam_converters.batch import BATCH
from onnxcam_converters.keras.policies import policy_name
from onnxcam_converters.keras.specs import Architecture, Spec
from onnxcam_converters.keras.tensor import Tensor

SPACE = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
KEPT_TYPES = frozenset(("int32", "int64", "uint8", "bool"))
PICTURE_CHANNELS = (1, 2, 3, 4)


def add_inputs(tape: Tape, architecture: Architecture, request: Request) -> list[Tensor]:
    """The model's inputs under the names of Keras's input layers; pictures at once with channels in front."""
    specs = {spec.name: spec for spec in architecture.layers}
    is_first = is_channels_first(architecture.layers)
    found: list[Tensor] = []
    for ref in architecture.inputs:
        shape = _shape(specs[ref.layer], request, is_first=is_first, is_only=len(architecture.inputs) == 1)
        dtype = policy_name(specs[ref.layer].config.get("dtype"))
        kind = dtype if dtype in KEPT_TYPES else "float32"
        symbols = _named(shape, ref.layer if found else "", is_first=is_first)
        value = tape.add_input(ref.layer, np.dtype(kind), symbols)
        x = Tensor(tape.Cast(value, to=1) if kind == "uint8" else value, symbols)
        with tape.named(ref.layer):
            found.append(Tensor(x.moved(), symbols, is_moved=True) if len(shape) == 4 and not is_first else x)
    return found


def is_channels_first(layers: Sequence[Spec]) -> bool:
    """Whether the layers that say where their channels are all say: first."""
    said = set(_data_formats(layers))
    return bool(said) and said <= {"channels_first", "th"}


def _data_formats(layers: Sequence[Spec]) -> Iterator[str]:
    for spec in layers:
        if spec.is_model:
            yield from _data_formats(spec.layers)
        else:
            found = spec.config.get("data_format") or spec.config.get("dim_ordering")
            # Keras writes a default where order means nothing, so Flatten says nothing.
            if isinstance(found, str) and spec.kind != "Flatten":
                yield found


def _shape(spec: Spec, request: Request, *, is_first: bool, is_only: bool) -> list[Dim]:
    """The shape with the batch free, and the size that was asked for."""
    given = _batch_shape(spec)
    shape: list[Dim] = [BATCH, *given[1:]]
    space = slice(2, 4) if is_first else slice(1, 3)
    channels = shape[1 if is_first else -1]
    if len(shape) != 4 or (not is_only and channels not in PICTURE_CHANNELS):
        return shape
    if request.input_size is not None:
        for fixed, wanted in zip(shape[space], request.input_size, strict=True):
            if fixed not in (None, wanted):
                size = " x ".join(map(str, shape[space]))
                raise WrongInputSize(spec.name, request.input_size, f"the file fixes its size to {size}")
        shape[space] = request.input_size
    elif request.dynamic_size:
        shape[space] = [None, None]
    return shape


def _batch_shape(spec: Spec) -> Sequence[int | None]:
    config: Mapping[str, Any] = spec.config
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if not isinstance(shape, list | tuple) or not shape:
        raise InvalidSource(
            f"model input {spec.name!r}", "the file does not say its shape: build the model before it is saved"
        )
    return shape


def _named(shape: Sequence[Dim], prefix: str, *, is_first: bool) -> tuple[Dim, ...]:
    """Free sizes with symbols: H and W; of further inputs with their names."""
    names = SPACE.get(len(shape) - 2, tuple(f"D{i}" for i in range(1, len(shape))))
    places = range(2, len(shape)) if is_first else range(1, len(shape) - 1)
    symbols = dict(zip(places, names, strict=False))
    return tuple(
        (f"{prefix}_{symbols.get(i, f'D{i}')}" if prefix else symbols.get(i, f"D{i}")) if dim is None else dim
        for i, dim in enumerate(shape)
    )
