"""How probable a model takes a target to be: what faithfulness is measured by, where the model tells it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from onnxcam.evaluation.case import Array
from onnxcam.metadata import Metadata
from onnxcam.signature import TARGET_CONFIDENCE
from onnxcam.targets import Classes

LOGIT, PROBABILITY, DETECTOR = "logit", "probability", "detector"  # kinds of scores


def outputs_for(metadata: Metadata) -> list[str]:
    """The outputs that tell more of it than the score which is explained: of all classes, or of a detection."""
    if metadata.score == DETECTOR:
        return [TARGET_CONFIDENCE]
    return [metadata.scores] if metadata.score == LOGIT and metadata.scores else []


def is_probable(target: int, metadata: Metadata, classes: Classes) -> bool:
    """Whether there is a probability of the target: of a class or the other side of one, and no group of them."""
    count = classes.count or 0
    own = count - len(classes.groups)
    is_class = 0 <= target < own or count <= target < count + own
    if metadata.score in (LOGIT, DETECTOR):
        return is_class and (metadata.score == DETECTOR or count > 1 or classes.sides)
    return metadata.score == PROBABILITY and 0 <= target < count


def probability(found: Mapping[str, Array], target: int, metadata: Metadata, classes: Classes) -> NDArray[np.float64]:
    """The probability of the target by a run's outputs, (B,); the score that is explained where there is none."""
    if not is_probable(target, metadata, classes):
        return flat(found["target_score"])
    if metadata.score != DETECTOR:
        return of_class(found, metadata.scores if metadata.score == LOGIT else None, classes)
    # Where there is nothing the graph's own index is −1, and the confidence 0.
    sure = flat(found[TARGET_CONFIDENCE])
    return 1 - sure if target >= (classes.count or 0) else sure


def of_class(found: Mapping[str, Array], scores: str | None, classes: Classes) -> NDArray[np.float64]:
    """How probable the model takes the target to be, (B,); the score explained where it has no class for that.

    Of "not class" it is the rest; differences and groups of classes have none. A score that is a probability already
    is taken as it is.
    """
    value, index = flat(found["target_score"]), found["target_index"].reshape(-1)
    count = classes.count or 0
    if scores is None or not count or (index >= 2 * count).any() or (count == 1 and not classes.sides):
        return value
    rows, column = found[scores].reshape(len(value), -1).astype(np.float64), index % count
    if (column >= rows.shape[1]).any():
        return value
    each, is_other = np.arange(len(rows)), index >= count
    # Where the score that is explained is the model's own output, no softmax or sigmoid has been stepped over.
    own = np.where(is_other, -rows[each, column], rows[each, column])
    if np.allclose(own, value, rtol=1e-3, atol=1e-6) and not is_shares(rows):
        rows = 1 / (1 + np.exp(-rows)) if classes.sides else softmax(rows)
    return np.asarray(np.where(is_other, 1 - rows[each, column], rows[each, column]))


def is_shares(rows: NDArray[np.float64]) -> bool:
    """Whether the rows are probabilities already, as when the score explained is one."""
    return bool(
        (rows >= 0).all() and (rows <= 1).all() and (rows.shape[1] == 1 or np.allclose(rows.sum(1), 1, atol=0.01))
    )


def softmax(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row as shares of 1."""
    grown = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def flat(values: Array) -> NDArray[np.float64]:
    """(B,), also of (B, 1) as graphs of several targets give it."""
    return values.reshape(-1).astype(np.float64)
