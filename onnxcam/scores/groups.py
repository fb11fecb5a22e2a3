"""Groups of classes: their scores added up, as further columns behind the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from onnxcam.errors import InvalidGroup
from onnxcam.scores.table import Scores


def with_groups(scores: Scores, groups: Mapping[str, Sequence[int]]) -> Scores:
    """The scores with a column for each group: the sum over its classes.

    Raises:
        InvalidGroup: if a group is empty, has a class twice or one that there is not, or the scores are no classes.
    """
    if not groups:
        return scores
    op, values = scores.values.tape, scores.values
    if (values.shape or ())[1:] != (scores.classes,):
        raise InvalidGroup(next(iter(groups)), "the model's scores are not those of classes")
    belongs = np.zeros((scores.classes, len(groups)), values.dtype or np.float32)
    for column, (name, classes) in enumerate(groups.items()):
        _check(name, classes, scores.classes)
        belongs[list(classes), column] = 1
    with op.named("score"):
        both = op.Concat(values, op.MatMul(values, op.constant(belongs)), axis=1)
    return replace(scores, values=both, classes=scores.classes + len(groups), groups=tuple(groups))


def _check(name: str, classes: Sequence[int], count: int) -> None:
    if not classes:
        raise InvalidGroup(name, "it has no class")
    if len(set(classes)) < len(classes):
        raise InvalidGroup(name, "it has a class twice")
    for index in classes:
        if not 0 <= index < count:
            raise InvalidGroup(name, f"the model has no class {index}, only 0 to {count - 1}")
