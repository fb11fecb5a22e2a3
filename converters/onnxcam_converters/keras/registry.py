"""Which Keras layers are understood: one function for each class, entered under every name that class has had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from onnxcam.registry import entering

# From the layer and the arguments of one call of it, tensors and numbers nested as Keras nests them, to what it gives.
Rule: TypeAlias = Callable[..., Any]
RULES: dict[str, Rule] = {}


def reads(*kinds: str) -> Callable[[Rule], Rule]:
    """Enters a rule `rule(layer, *args, **kwargs) -> Tensor | list[Tensor]` for layers of these class names."""
    return entering(RULES, *kinds, what="rule for")
