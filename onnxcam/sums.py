"""Sums of classes among the targets: the "A+B" of "A+B", "not:A+B" and "A+B-C" becomes a group of the graph made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from onnxcam.engine import Explainer


def with_sums(
    make: Callable[[dict[str, Any]], Explainer], options: Mapping[str, Any], targets: Any
) -> tuple[Explainer, dict[str, Any]]:
    """What `make` gives for options of `convert`, and these; with groups for the sums among the targets, if any."""
    given = dict(options)
    explainer = make(given)
    groups = dict(given.get("groups") or {})
    sums = sums_of(explainer, targets, groups)
    if not sums:
        return explainer, given
    given["groups"] = {**groups, **sums}
    return make(given), given


def sums_of(explainer: Explainer, targets: Any, groups: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """The sums of classes among the targets, in differences and behind "not:" too, and the classes that each adds up.

    `groups`: those that the explainer has; a sum in which one stands is of its members.
    """
    classes = explainer.classes
    first = (classes.count or 0) - len(groups)
    members = dict(enumerate(groups.values(), start=first)) if groups else {}
    found = {text: added for target in texts_in(targets) for text, added in classes.sums_in(target).items()}
    return {text: [one for index in added for one in members.get(index, [index])] for text, added in found.items()}


def texts_in(targets: Any) -> Iterator[str]:
    """The texts in a target, or in lists of them."""
    if isinstance(targets, str):
        yield str(targets)
    elif isinstance(targets, list | tuple | np.ndarray):
        for entry in targets:
            yield from texts_in(entry)
