"""Which Keras layers are understood: one function for each class, entered under every name that class has had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

# From the layer and the arguments of one call of it, tensors and numbers nested as Keras nests them, to what it gives.
Rule: TypeAlias = Callable[..., Any]
RULES: dict[str, Rule] = {}


def reads(*kinds: str) -> Callable[[Rule], Rule]:
    """Enters a rule `rule(layer, *args, **kwargs) -> Tensor | list[Tensor]` for layers of these class names."""

    def enter(rule: Rule) -> Rule:
        for kind in kinds:
            if kind in RULES:
                raise ValueError(f"{kind} has a rule already")
            RULES[kind] = rule
        return rule

    return enter
