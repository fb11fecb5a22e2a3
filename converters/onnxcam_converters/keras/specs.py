"""The architecture of a model as its file tells it, the same for every era of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MODELS = frozenset(("Sequential", "Functional", "Model", "Container", "Network"))
# Classes that have another name within Keras than in the architecture.
GROUP_KINDS = {
    "Model": "Functional",
    "Network": "Functional",
    "Container": "Functional",
    "GroupQueryAttention": "GroupedQueryAttention",
}
# Layers without weights: they need none where the names in a file are not those of the layers any more.
WEIGHTLESS = (
    "InputLayer", "Activation", "Add", "Average", "Concatenate", "Cropping", "Dot", "Dropout", "ELU", "Flatten",
    "Gaussian", "Lambda", "LeakyReLU", "Maximum", "Merge", "Minimum", "Multiply", "Permute", "Pool", "ReLU", "Repeat",
    "Rescaling", "Reshape", "Resizing", "Slicing", "Softmax", "Spatial", "Subtract", "TFOp", "ThresholdedReLU",
    "UpSampling", "ZeroPadding", "Random", "Center", "Mask",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor as a file refers to it: what the `node`-th call of a layer gave, the `tensor`-th of it."""

    layer: str
    node: int
    tensor: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a layer: its arguments, nested as Keras nests them, with `Ref` for tensors."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spec:
    """A layer, an operation or a model as it stands in an architecture.

    Attributes:
        name: unique within the model.
        kind: the class.
        config: its options; of a model the architecture itself.
        calls: in order.
        first: the number of the first call: 1 for some models, which Keras 2 counts as called when they are made.
        module: where the class comes from, "" where the file does not say it.
        layers: those of a model.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    calls: tuple[Call, ...] = ()
    first: int = 0
    module: str = ""
    layers: tuple[Spec, ...] = ()

    @property
    def is_model(self) -> bool:
        """Whether it is a model with layers of its own."""
        return self.kind in MODELS

    @property
    def is_operation(self) -> bool:
        """Whether it is a function of Keras 3 (x * 2), which is no layer to Keras."""
        return ".ops." in self.module

    @property
    def is_foreign(self) -> bool:
        """Whether its class is not one of Keras's own."""
        return bool(self.module) and self.module.split(".")[0] not in ("keras", "tf_keras", "tensorflow", "builtins")

    @property
    def group_kind(self) -> str:
        """The class under which the weights are kept."""
        return GROUP_KINDS.get(self.kind, self.kind)

    @property
    def may_have_weights(self) -> bool:
        """Whether layers of this class have weights at all."""
        return not self.kind.startswith(WEIGHTLESS) and "Pool" not in self.kind


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model: its layers, and which tensors go in and come out.

    Attributes:
        layers: in the file's order.
        inputs: the tensors that stand for the arguments, in order.
        outputs: the results, nested as Keras nests them.
    """

    layers: tuple[Spec, ...]
    inputs: tuple[Ref, ...]
    outputs: Any
