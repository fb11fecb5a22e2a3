"""What a live Keras model takes: names, shapes and types of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxcam.conversion import Request
from onnxcam.errors import CannotConvert, WrongInputSize
from onnxcam_converters.keras.live.framework import Framework

NEEDS_EXAMPLE = "the shape of its input is not known yet; convert(model, example=batch) shows it"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a model.

    Attributes:
        name: of the input layer, where there is one.
        shape: batch first; None where it is open.
        dtype: as numpy calls it.
        values: the user's example, where one was given.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    values: Any = None

    def example(self, batch: int) -> Any:
        """Values of that batch: of the user's example, else random numbers from 0 to 1, open sizes being 64."""
        if self.values is not None:
            return np.resize(self.values, (batch, *self.values.shape[1:])).astype(self.dtype)
        shape = (batch, *(64 if dim is None else dim for dim in self.shape[1:]))
        return np.random.default_rng(0).random(shape).astype(self.dtype)


def find_inputs(request: Request, framework: Framework, *, wanted: int | None = None) -> list[Input]:
    """The inputs of the model in the request: as the model says, else as the example shows.

    Args:
        request: its `example` and `input_size` say what the model leaves open.
        framework: the model's.
        wanted: how many there must be, where that is known.

    Raises:
        CannotConvert: if neither the model nor an example tells.
        WrongInputSize: if the model does not take the size that is asked for.
    """
    model = request.source
    declared = _declared(model, framework)
    examples = _examples(request.example, declared)
    if not declared and not examples:
        raise CannotConvert(f"{type(model).__name__} {model.name!r}", NEEDS_EXAMPLE)
    found = declared or [_of_example(array, index) for index, array in enumerate(examples)]
    if wanted is not None and len(found) != wanted:
        raise CannotConvert(f"{type(model).__name__} {model.name!r}", f"{wanted} inputs expected, it has {len(found)}")
    shown = examples if len(examples) == len(found) else [None] * len(found)
    return [_narrowed(tensor, array, request) for tensor, array in zip(found, shown, strict=True)]


def call(model: Any, tensors: Sequence[Any]) -> Any:
    """What the model gives when nothing is trained."""
    is_single = len(tensors) == 1 or not getattr(model, "inputs", None)
    return model(*tensors, training=False) if is_single else model(list(tensors), training=False)


def output_names(model: Any, given: Any, count: int) -> list[str]:
    """Of the outputs: as the model calls them, else numbered."""
    if isinstance(given, dict) and len(given) == count:
        return sorted(given)
    known = getattr(model, "output_names", None) or []
    return list(known) if len(set(known)) == count else [f"output_{index}" for index in range(count)]


def _declared(model: Any, framework: Framework) -> list[Input]:
    """Inputs as a functional or Sequential model has them; those that a subclassed one was built with."""
    known = getattr(model, "inputs", None) or []
    if known:
        names = getattr(model, "input_names", None) or [tensor.name for tensor in known]
        return [Input(name, tuple(x.shape), _dtype(x.dtype)) for name, x in zip(names, known, strict=True)]
    built = getattr(model, "_build_shapes_dict", None) or getattr(model, "_build_input_shape", None)
    shape = next(iter(built.values())) if isinstance(built, dict) and len(built) == 1 else built
    # tf_keras keeps a TensorShape, Keras 3 a tuple.
    dims = tuple(getattr(shape, "as_list", lambda: shape or ())())
    if len(dims) < 2 or not all(dim is None or isinstance(dim, int) for dim in dims):
        return []
    return [Input("input_0", (None, *dims[1:]), framework.module.backend.floatx())]


def _narrowed(tensor: Input, array: Any, request: Request) -> Input:
    """The input with its open sizes settled by what the user has said."""
    dims, size = list(tensor.shape), request.input_size
    dims[0] = None
    if len(dims) == 4 and size is not None:
        rows = 2 if dims[1] in (1, 3, 4) and dims[3] not in (1, 3, 4) else 1
        for axis, wanted in zip((rows, rows + 1), size, strict=True):
            if dims[axis] not in (None, wanted):
                raise WrongInputSize(request.source.name, size, f"it was made for {dims[rows]} x {dims[rows + 1]}")
            dims[axis] = wanted
    if array is not None and not request.dynamic_size:
        dims[1:] = [seen if dim is None else dim for dim, seen in zip(dims[1:], array.shape[1:], strict=True)]
    return Input(tensor.name, tuple(dims), tensor.dtype, array)


def _examples(example: Any, declared: Sequence[Input]) -> list[Any]:
    if example is None:
        return []
    several = isinstance(example, tuple) or (isinstance(example, list) and len(declared) > 1)
    return [np.asarray(array) for array in (example if several else (example,))]


def _of_example(array: Any, index: int) -> Input:
    dtype = "float32" if array.dtype == np.float64 else array.dtype.name
    return Input(f"input_{index}", (None, *array.shape[1:]), dtype)


def _dtype(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype))
