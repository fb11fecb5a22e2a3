"""Groups of classes: their scores added up, as further columns behind the classes."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import SupportsIndex

import numpy as np

from onnxcam.errors import InvalidGroup
from onnxcam.graph import Value
from onnxcam.phrases import NOT
from onnxcam.scores.table import Scores


def with_groups(scores: Scores, groups: Mapping[str, Sequence[int]]) -> Scores:
    """The scores with a column for each group: the sum over its classes, or what the scores themselves make of them.

    Raises:
        InvalidGroup: if a group is empty, has a class twice or one that there is not, or the scores are no classes.
    """
    if not groups:
        return scores
    op, values = scores.values.tape, scores.values
    if (values.shape or ())[1:] != (scores.classes,):
        raise InvalidGroup(next(iter(groups)), "the model's scores are not those of classes")
    for name, classes in groups.items():
        _check(name, classes, scores.classes)
    rows = [list(map(operator.index, classes)) for classes in groups.values()]
    with op.named("score"):
        own = scores.grouped(rows, values) if scores.grouped is not None else None
        both = op.Concat(values, _sums(values, rows, scores.classes) if own is None else own, axis=1)
    return replace(scores, values=both, classes=scores.classes + len(groups), groups=tuple(groups))


def _sums(values: Value, groups: Sequence[Sequence[int]], count: int) -> Value:
    """(N, C) → (N, G)."""
    belongs = np.zeros((count, len(groups)), values.dtype or np.float32)
    for column, classes in enumerate(groups):
        belongs[classes, column] = 1
    return values.tape.MatMul(values, values.tape.constant(belongs))


def _check(name: str, classes: Sequence[int], count: int) -> None:
    _check_name(name)
    if not all(isinstance(entry, SupportsIndex) for entry in classes):
        raise InvalidGroup(name, f"{classes!r} is no list of class indices, which alone are taken, no labels")
    if not len(classes):
        raise InvalidGroup(name, "it has no class")
    if len(set(classes)) < len(classes):
        raise InvalidGroup(name, "it has a class twice")
    for index in map(operator.index, classes):
        if not 0 <= index < count:
            raise InvalidGroup(name, f"the model has no class {index}, only 0 to {count - 1}")


def _check_name(name: str) -> None:
    """Refuses a name by which no target could reach the group."""
    if not name.strip() or name.strip().startswith(NOT):
        raise InvalidGroup(name, f"it needs a name, which must not begin with {NOT!r}, as that asks for the opposite")
    if name.strip().lstrip("+-").isdecimal():
        raise InvalidGroup(name, "a number as a target is always a class or a rank, so give it a name of letters")


def check_names(groups: Sequence[str], labels: Sequence[str]) -> None:
    """Refuses a group with the name of a class, which one could no longer ask for.

    Raises:
        InvalidGroup: if there is one.
    """
    indices = {label.strip().casefold(): index for index, label in enumerate(labels)}
    for name in groups:
        index = indices.get(name.strip().casefold())
        if index is not None:
            raise InvalidGroup(name, f"class {index} is called so; give the group a name of its own")
