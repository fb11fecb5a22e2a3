"""One layer of a Keras file as its rule sees it: options that are checked off as they are read, weights in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from onnxcam.errors import MissingWeights, UnsupportedLayer
from onnxcam.graph import Tape, Value
from onnxcam_converters.keras.story import Story

Array = NDArray[Any]
# Options that say how a layer is trained or made, never what it computes; of no layer they need to be read.
HARMLESS = frozenset(
    "name trainable dtype batch_input_shape batch_shape input_shape input_dtype input_dim input_length build_config "
    "kernel_initializer bias_initializer depthwise_initializer pointwise_initializer recurrent_initializer "
    "beta_initializer gamma_initializer moving_mean_initializer moving_variance_initializer alpha_initializer "
    "embeddings_initializer kernel_regularizer bias_regularizer depthwise_regularizer pointwise_regularizer "
    "recurrent_regularizer beta_regularizer gamma_regularizer activity_regularizer alpha_regularizer "
    "embeddings_regularizer kernel_constraint bias_constraint depthwise_constraint pointwise_constraint "
    "recurrent_constraint beta_constraint gamma_constraint alpha_constraint embeddings_constraint init "
    "W_regularizer b_regularizer W_constraint b_constraint U_regularizer W_learning_rate_multiplier "
    "b_learning_rate_multiplier seed autocast lora_rank lora_alpha quantization_config registered_name module".split()
)
NO_DEFAULT = object()
REMEDY = "Convert the live model instead: onnxcam.convert(keras_model)."


@dataclass
class Layer:
    """A layer, shared by all of its calls.

    Attributes:
        kind: the class name, as in the registry.
        name: the layer's own name.
        path: with the names of the models around it: "base/top_conv".
        config: its options, as the file has them.
        tape: where nodes go.
        arrays: the layer's weights by "part/name" in their order; the reader of the file fills it. See `weights`.
        inner: reads a layer within this one (of TimeDistributed, Bidirectional): (config, part) -> Layer.
        keras: the version of Keras that wrote the file, (2, 2, 4).
        story: what is to be told of the conversion; of all layers together.
    """

    kind: str
    name: str
    path: str
    config: Mapping[str, Any]
    tape: Tape
    arrays: Callable[[Sequence[str]], list[Array]]
    inner: Callable[[Mapping[str, Any], str], Layer]
    keras: tuple[int, ...] = (3,)
    story: Story = field(default_factory=Story)
    read: set[str] = field(default_factory=set)
    _constants: dict[str, Value] = field(default_factory=dict)

    def option(self, *names: str, default: Any = NO_DEFAULT) -> Any:
        """The option under the first of its names, through the ages, that the file has.

        Raises:
            UnsupportedLayer: if it has none and there is no default.
        """
        self.read.update(names)
        for name in names:
            if name in self.config:
                return self.config[name]
        if default is NO_DEFAULT:
            raise self.refuse(f"the file does not say its {names[0]!r}")
        return default

    def expect(self, name: str, *allowed: Any) -> None:
        """Refuses the layer if the option is given and is none of the values that the rule covers."""
        if self.option(name, default=allowed[0]) not in allowed:
            raise self.refuse(f"{name}={self.config[name]!r} is not covered")

    def ignore(self, *names: str) -> None:
        """Checks off options that say nothing about inference."""
        self.read.update(names)

    def finish(self) -> None:
        """Refuses the layer if the file has an option that its rule has not looked at: nothing is guessed."""
        unread = sorted(self.config.keys() - self.read - HARMLESS)
        if unread:
            raise self.refuse(f"its option {unread[0]}={self.config[unread[0]]!r} is not understood")

    def weights(self, *names: str) -> list[Array]:
        """The layer's weights, all of them, in the order in which Keras keeps them.

        Args:
            names: as Keras 3 calls them, with the part of the layer before them: "kernel", "query/kernel",
                "forward_layer/cell/kernel". The order counts; the file's own names are compared where it has them.

        Raises:
            MissingWeights: if the file has more or fewer.
        """
        found = self.arrays(names)
        if len(found) != len(names):
            raise MissingWeights(f"layer {self.path!r}", f"{len(names)} arrays are needed, {len(found)} are there")
        return found

    def constant(self, name: str, array: Array) -> Value:
        """A weight as a constant of the graph, "path/name", float32; the same for every call of the layer."""
        if name not in self._constants:
            with self.tape.named(self.path):
                own = self.tape.fresh_name(name)
            self._constants[name] = self.tape.add_weight(own, array)
        return self._constants[name]

    def refuse(self, why: str, remedy: str = REMEDY) -> UnsupportedLayer:
        """The error that names this layer."""
        return UnsupportedLayer(self.path, self.kind, why, remedy)
