"""Which Keras a model is of: version 3 on one of its backends, or tf_keras, which is version 2."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Framework:
    """The Keras that a model is of.

    Attributes:
        module: `keras` or `tf_keras`.
        backend: "tensorflow", "torch" or "jax".
    """

    module: Any
    backend: str

    @property
    def is_keras_3(self) -> bool:
        """Whether it is not tf_keras."""
        return bool(self.module.__name__ == "keras")

    @property
    def name(self) -> str:
        """With version and backend: Keras 3.15.1 (tensorflow)."""
        kind = f"Keras {self.module.__version__} ({self.backend})"
        return kind if self.is_keras_3 else f"tf_keras {self.module.__version__}"

    @property
    def suffix(self) -> str:
        """Of the files that it saves, in the format that both it and the direct reader know best."""
        return ".keras" if self.is_keras_3 else ".h5"


def framework_of(model: Any) -> Framework:
    """The Keras whose class the model's is a child of."""
    packages = [kind.__module__.partition(".")[0] for kind in type(model).__mro__]
    module = importlib.import_module("tf_keras" if "tf_keras" in packages else "keras")
    is_keras_3 = module.__name__ == "keras" and not module.__version__.startswith("2.")
    return Framework(module, module.backend.backend() if is_keras_3 else "tensorflow")


def layers_of(model: Any) -> list[Any]:
    """The model, its layers and theirs."""
    return list(model._flatten_layers())  # noqa: SLF001 - there is no public way that knows nested layers
