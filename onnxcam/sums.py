"""Sums of classes among the targets: "A+B" becomes a group of the graph that is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from onnxcam.engine import Explainer


def with_sums(
    make: Callable[[dict[str, Any]], Explainer], options: Mapping[str, Any], targets: Any
) -> tuple[Explainer, dict[str, Any]]:
    """What `make` gives for options of `convert`, and these; with groups for the sums among the targets, if any."""
    given = dict(options)
    explainer = make(given)
    sums = sums_of(explainer, targets)
    if not sums:
        return explainer, given
    given["groups"] = {**(given.get("groups") or {}), **sums}
    return make(given), given


def sums_of(explainer: Explainer, targets: Any) -> dict[str, list[int]]:
    """The sums of classes among the targets: "A+B", and the classes that it adds up."""
    found = {text: explainer.classes.sum_of(text) for text in texts_in(targets)}
    return {text: classes for text, classes in found.items() if classes is not None}


def texts_in(targets: Any) -> Iterator[str]:
    """The texts in a target, or in lists of them."""
    if isinstance(targets, str):
        yield str(targets)
    elif isinstance(targets, list | tuple | np.ndarray):
        for entry in targets:
            yield from texts_in(entry)
