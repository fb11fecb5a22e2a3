"""The finished model: tensors under the names of their layers, outputs in Keras's order of axes."""

from __future__ import annotations

from collections.abc import Mapping

import onnx.helper
from onnx import ModelProto

from onnxcam.assembly import OWN_NAMES
from onnxcam.graph import Tape, drop_unused
from onnxcam_converters.keras.story import Story
from onnxcam_converters.keras.tensor import Tensor


def add_output(tape: Tape, x: Tensor, story: Story) -> None:
    """The tensor as an output of the model, under the name of its layer where it is in Keras's order of axes."""
    value = x.plain()
    taken = {info.name for info in tape.model.graph.output}
    if value.producer is None or value.name in taken:
        value = tape.emit("Identity", [value], {})[0]
    if value.name not in story.names:
        layer = story.names.get(x.value.name) or _alias(story.aliases, x.value.name) or "output"
        story.names[value.name] = f"{layer}/output"
    kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    tape.model.graph.output.append(onnx.helper.make_tensor_value_info(value.name, kind, value.shape))


def _alias(aliases: Mapping[str, str], tensor: str) -> str | None:
    return next((layer for layer, name in aliases.items() if name == tensor), None)


def finish(model: ModelProto, story: Story) -> dict[str, str]:
    """Gives the tensors their names; what is returned are the layers by the tensors that they share with others."""
    drop_unused(model)
    inputs = [info.name for info in model.graph.input]
    made = {name for node in model.graph.node for name in node.output}
    wanted = {name: name for name in inputs} | {name: path for name, path in story.names.items() if name in made}
    kept = {tensor.name for tensor in model.graph.initializer} | (made - wanted.keys()) | set(OWN_NAMES)
    renamed: dict[str, str] = {}
    for tensor, name in wanted.items():
        # Layers may be called "activation", as an output of explain graphs is.
        while name in kept:
            name += ":0"
        kept.add(name)
        renamed[tensor] = name
    _rename(model, renamed)
    layers = {path: renamed.get(tensor, tensor) for path, tensor in story.aliases.items()}
    layers |= {path: renamed[tensor] for tensor, path in wanted.items() if renamed[tensor] != path}
    return {path: tensor for path, tensor in layers.items() if tensor in kept and path != tensor}


def _rename(model: ModelProto, names: Mapping[str, str]) -> None:
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        # No slashes: they would be read as scopes, and the last layer of a model be called like the model.
        node.name = node.name.replace("/", ".")
    for info in (*model.graph.input, *model.graph.output):
        info.name = names.get(info.name, info.name)
