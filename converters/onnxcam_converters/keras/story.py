"""What is to be told of a conversion: which tensor is which layer's, what is inside the model, what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnxcam.graph import Value

if TYPE_CHECKING:
    from onnxcam_converters.keras.layer import Layer


@dataclass
class Story:
    """One for each conversion, shared by its layers.

    Attributes:
        source: the file, as errors call it.
        backend: of Keras when it wrote the file.
        names: from tensors of the graph to the layers that give them.
        aliases: from layers that give a tensor that has another layer's name, to that tensor.
        notes: sentences that a user should read.
        calls: how often each layer was called so far.
        layers: what was read already, by path: a model called twice has its layers only once.
        pixels: tensors that hold nothing but the picture, shifted and scaled at most.
        scalings: what was done to pixels inside the model, as layers: (path, kind, config).
    """

    source: str = ""
    backend: str = ""
    names: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    layers: dict[str, Layer] = field(default_factory=dict)
    pixels: set[str] = field(default_factory=set)
    scalings: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Notes it, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def call(self, path: str) -> str:
        """The name of the next call of a layer: its path, from the second call on with "@2" behind it."""
        self.calls[path] += 1
        return path if self.calls[path] == 1 else f"{path}@{self.calls[path]}"

    def name(self, value: Value, path: str, *, is_new: bool) -> Value:
        """The value as that layer's tensor. Where it is another's, and no mere passing on, it is told apart.

        Args:
            value: what the layer gives.
            path: the layer's.
            is_new: whether the layer computes; if not, the path is an alias.
        """
        if not is_new or value.producer is None:
            self.aliases[path] = value.name
            return value
        while value.name in self.names:
            # Two layers of equal arithmetic: one tensor would gather the gradients of both.
            value = value.tape.Identity(value)
        self.names[value.name] = path
        return value
