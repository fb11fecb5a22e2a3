"""Concrete functions of TensorFlow to ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from onnxcam.conversion import Arrays, Conversion, Reference, Request
from onnxcam.errors import CannotConvert, WrongInputSize
from onnxcam_converters.quiet import quiet
from onnxcam_converters.tensorflow.frozen import FrozenGraph, free_inputs, freeze, tensors_of_interest
from onnxcam_converters.tensorflow.scopes import keep_keras_names
from onnxcam_converters.tensorflow.to_onnx import note_tensor_names, to_onnx

FRAMEWORK = f"TensorFlow {tf.__version__}"


def convert_function(function: Any, request: Request, what: str) -> Conversion:
    """A concrete function as ONNX; inputs and outputs have the names of its signature.

    Args:
        function: a ConcreteFunction.
        request: its `outputs` pick among those of the function.
        what: the source, for messages.
    """
    inputs, outputs = input_names(function), choose(output_names(function), request.outputs, what)
    with quiet():
        frozen = freeze(function, inputs, outputs)
    keep_keras_names(function, frozen)
    set_size(frozen, request.input_size, what)
    with quiet():
        frozen.taps = tensors_of_interest(frozen)
    model = to_onnx(frozen, what)
    note_tensor_names(model)
    return Conversion(model, "tf2onnx", reference=Reference(FRAMEWORK, _runner(function, list(inputs), list(outputs))))


def input_names(function: Any) -> dict[str, str]:
    """From the names in the signature to tensors, without variables."""
    tensors = [tensor for tensor in free_inputs(function) if tensor.dtype != tf.resource]
    known = list(getattr(function, "_arg_keywords", None) or ())
    names = known if len(known) == len(tensors) and _is_keyword_only(function) else [x.op.name for x in tensors]
    return dict(zip(names, (tensor.name for tensor in tensors), strict=True))


def output_names(function: Any) -> dict[str, str]:
    """From the names in the signature, or of the nodes where it has none, to tensors."""
    named = function.structured_outputs
    tensors = [tensor for tensor in function.outputs if tensor.dtype != tf.resource]
    if isinstance(named, dict) and len(named) == len(tensors):
        return dict(zip(sorted(named), (tensor.name for tensor in tensors), strict=True))
    return {tensor.op.name: tensor.name for tensor in tensors}


def choose(known: dict[str, str], wanted: tuple[str, ...], what: str) -> dict[str, str]:
    """The wanted ones of the outputs, all where none is named.

    Raises:
        CannotConvert: if there is none of that name.
    """
    if not wanted:
        return known
    by_tensor = {tensor: name for name, tensor in known.items()}
    names = [name if name in known else by_tensor.get(name) for name in wanted]
    missing = [name for name, found in zip(wanted, names, strict=True) if found is None]
    if missing:
        raise CannotConvert(what, f"it has no output {missing[0]!r}; its outputs are {', '.join(known)}")
    return {name: known[name] for name in names if name is not None}


def set_size(frozen: FrozenGraph, size: tuple[int, int] | None, what: str) -> None:
    """Gives pictures the height and width that were asked for.

    Raises:
        WrongInputSize: if the graph takes another one.
    """
    if size is None:
        return
    pictures = {tensor.partition(":")[0] for tensor in frozen.inputs.values()}
    for node in frozen.graph.node:
        if node.name in pictures and len(node.attr["shape"].shape.dim) == 4:
            dims = node.attr["shape"].shape.dim
            space = dims[2:4] if dims[1].size in (1, 3, 4) and dims[3].size not in (1, 3, 4) else dims[1:3]
            for dim, wanted in zip(space, size, strict=True):
                if dim.size not in (-1, wanted):
                    raise WrongInputSize(what, size, f"it was made for {space[0].size} x {space[1].size}")
                dim.size = wanted


def _runner(function: Any, inputs: list[str], outputs: list[str]) -> Any:
    known = output_names(function)
    order = [list(known).index(name) for name in outputs]
    dtypes = [tensor.dtype for tensor in function.inputs[: len(inputs)]]

    def run(arrays: Arrays) -> Arrays:
        with quiet():
            tensors = [tf.constant(array, dtype) for array, dtype in zip(arrays, dtypes, strict=True)]
            found = tf.nest.flatten(_call(function, inputs, tensors))
        return [np.asarray(found[index]) for index in order]

    return run


def _call(function: Any, names: list[str], tensors: list[Any]) -> Any:
    return function(**dict(zip(names, tensors, strict=True))) if _is_keyword_only(function) else function(*tensors)


def _is_keyword_only(function: Any) -> bool:
    """Whether it is called as signatures are."""
    positional, keyword = function.structured_input_signature or ((), {})
    return bool(keyword) and not positional
