"""Which functions are understood: of Keras 3 (`keras.ops`), of TensorFlow 2 by symbol, of TensorFlow 1 by op.

A function that several of them have is written once, with arguments named as Keras 3 names them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from onnxcam.registry import entering
from onnxcam_converters.keras.arrays import array_of
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.operands import Operand
from onnxcam_converters.keras.tensor import Tensor

# From the layer that calls it and its arguments to a tensor, or a list of them.
Body: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Function:
    """What a function does, and what its arguments are called elsewhere."""

    body: Body
    renamed: Mapping[str, str]


FUNCTIONS: dict[str, Function] = {}


def function(names: str, **renamed: str) -> Callable[[Body], Body]:
    """Enters a body under names, "ops.Mean tf.math.reduce_mean node.Mean"; `renamed` are other names of arguments."""
    return entering(FUNCTIONS, *names.split(), what="function", row=lambda body: Function(body, renamed))


def perform(layer: Layer, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What the function gives.

    Raises:
        UnsupportedLayer: if the function, or one of its arguments, is not understood.
    """
    found = FUNCTIONS.get(name)
    if found is None:
        raise layer.refuse(f"the function {name.partition('.')[2]!r} is not covered")
    signature = inspect.signature(found.body)
    given = {found.renamed.get(key, key): value for key, value in kwargs.items()}
    # An argument that is left at None says nothing.
    given = {key: value for key, value in given.items() if value is not None or key in signature.parameters}
    try:
        signature.bind(layer, *args, **given)
    except TypeError as error:
        raise layer.refuse(f"{name.partition('.')[2]!r} is called in a way that is not covered ({error})") from error
    return found.body(layer, *args, **given)


def operand(layer: Layer, thing: Any) -> Operand:
    """A tensor as it is, numbers as an array."""
    if isinstance(thing, Tensor):
        return thing
    found = array_of(thing)
    if found is None or found.dtype.kind not in "fiub":
        raise layer.refuse(f"its argument {thing!r} is not understood")
    return found


def tensor(layer: Layer, thing: Any) -> Tensor:
    """A tensor; refuses anything else."""
    if isinstance(thing, Tensor):
        return thing
    raise layer.refuse(f"its argument {thing!r} is no tensor")


def tensors(layer: Layer, things: Any) -> list[Tensor]:
    """A list of tensors; refuses anything else."""
    if not isinstance(things, list | tuple) or not things:
        raise layer.refuse(f"its argument {things!r} is no list of tensors")
    return [tensor(layer, thing) for thing in things]


def whole(layer: Layer, thing: Any) -> int:
    """A whole number."""
    found = array_of(thing)
    if found is None or found.size != 1 or found.dtype.kind not in "iu":
        raise layer.refuse(f"its argument {thing!r} is no whole number")
    return int(found.item())


def wholes(layer: Layer, things: Any) -> list[int]:
    """Whole numbers, of a list or of one alone."""
    found = array_of(things)
    if isinstance(things, list | tuple) and not things:
        return []
    if found is None or found.dtype.kind not in "iu":
        raise layer.refuse(f"its argument {things!r} is no list of whole numbers")
    return [int(n) for n in np.atleast_1d(found).reshape(-1)]


def within(layer: Layer, x: Tensor, axis: Any, *, new: int = 0) -> int:
    """The axis counted from the front, of the tensor with `new` more."""
    place, rank = whole(layer, axis), x.rank + new
    if not -rank <= place < rank:
        raise layer.refuse(f"axis {place} is none of {rank}")
    return place % rank


def inner(layer: Layer, x: Tensor, axis: Any) -> int:
    """The axis counted from the front, which may not be the batch: pictures have nothing to do with each other."""
    place = within(layer, x, axis)
    if place == 0 and not isinstance(x.shape[0], int):
        raise layer.refuse("it mixes the pictures of a batch")
    return place
