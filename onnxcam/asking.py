"""An explain graph asked about many altered pictures, always for the same target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxcam.drivers import Floats
from onnxcam.errors import InvalidBatchSize
from onnxcam.metadata import Metadata
from onnxcam.preprocessing import Preprocessing
from onnxcam.signature import TARGET, TARGET_BOX, TARGET_CONFIDENCE, Signature
from onnxcam.targets import BEST, Classes

SCORE, PROBABILITY, BOX, REGION, CANDIDATES = "score", "probability", "box", "region", "candidates"
OUTPUTS = {SCORE: "target_score", BOX: TARGET_BOX}  # others are called alike
CLASS_SCORES = ("logit", "probability", "output")


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """An explain graph in ONNX Runtime, with what is known of it.

    Attributes:
        signature: its inputs and outputs, and how to run it.
        metadata: what it says about itself.
        spec: how pictures become its input.
        classes: how targets are named.
    """

    signature: Signature
    metadata: Metadata
    spec: Preprocessing
    classes: Classes

    def run(
        self,
        batch: NDArray[Any],
        target: ArrayLike | None,
        inputs: Mapping[str, ArrayLike],
        outputs: Sequence[str] | None,
    ) -> dict[str, NDArray[Any]]:
        """The outputs by name, all or those asked for, on arrays that are prepared already."""
        picture = self.signature.picture(batch)
        numbers = self.signature.numbers(BEST if target is None else target, len(picture), self.classes)
        others = self.signature.with_rows(self.signature.others(inputs), len(picture))
        feed = {self.metadata.input: picture, TARGET: numbers, **others}
        return self.signature.run(self.signature.completed(feed), outputs)

    def portion(self, batch_size: int) -> int:
        """How many pictures go into one run: `batch_size`, or fewer where the graph takes no more.

        Raises:
            InvalidBatchSize: if that is none.
        """
        if batch_size < 1:
            raise InvalidBatchSize(batch_size)
        return min(batch_size, self.signature.batch or batch_size)


@dataclass(frozen=True, slots=True, eq=False)
class Aim:
    """What is explained of every altered picture.

    Attributes:
        target: the graph's number: a class, no rank.
        inputs: the model's other inputs, with one row each.
        is_empty: there is no such thing in the picture.
        is_finite: whether the score of the whole picture is a number.
    """

    target: int
    inputs: Mapping[str, NDArray[Any]]
    is_empty: bool = False
    is_finite: bool = True

    @property
    def guides(self) -> dict[str, Floats]:
        """The box (4,) and the region (h, w) among the inputs, as far as there are such."""
        found = {name: self.inputs[name] for name in (BOX, REGION) if name in self.inputs}
        return {name: array.reshape(4) if name == BOX else array[0] for name, array in found.items()}


def asker(graph: Graph, aim: Aim) -> Callable[..., dict[str, NDArray[Any]]]:
    """What a probe asks: from a batch, names, and guides that moved, to what the graph says of the batch."""
    metadata, signature = graph.metadata, graph.signature

    def ask(
        batch: Floats, wanted: Sequence[str], guides: Mapping[str, Floats] | None = None
    ) -> dict[str, NDArray[Any]]:
        count = len(batch)
        shape = (count, 1) if metadata.multi_target else (count,)
        feed = {metadata.input: signature.pixels(batch), TARGET: np.full(shape, aim.target)}
        feed |= {name: repeated(array, count) for name, array in aim.inputs.items()}
        for name, rows in (guides or {}).items():
            feed[name] = rows[:, None] if name == BOX and metadata.multi_target else rows
        outputs = {output for name in wanted for output in outputs_of(name, graph, aim)}
        found = signature.run(signature.completed(feed), sorted(outputs))
        return {name: answer(name, found, graph, aim) for name in wanted}

    return ask


def outputs_of(name: str, graph: Graph, aim: Aim) -> tuple[str, ...]:
    """The outputs that an answer is made of."""
    if name != PROBABILITY:
        return (OUTPUTS.get(name, name),)
    if is_of_class(graph.metadata, aim.target) and graph.metadata.scores is not None:
        return (graph.metadata.scores,)
    return (TARGET_CONFIDENCE,) if graph.signature.gives(TARGET_CONFIDENCE) else (OUTPUTS[SCORE],)


def is_of_class(metadata: Metadata, target: int) -> bool:
    """Whether the model's own scores say how sure it is of the target."""
    return metadata.score in CLASS_SCORES and 0 <= target < (metadata.classes or 0) - len(metadata.groups)


def answer(name: str, found: Mapping[str, NDArray[Any]], graph: Graph, aim: Aim) -> NDArray[Any]:
    """What a probe asked for by that name, (B, …), out of the graph's outputs."""
    if name == CANDIDATES:
        return found[name]
    if name != PROBABILITY:
        return _rows(found, OUTPUTS.get(name, name), graph.metadata)
    (output,) = outputs_of(name, graph, aim)
    if output == graph.metadata.scores:
        return probability(found[output], aim.target)
    return np.asarray(np.maximum(_rows(found, output, graph.metadata), 0))


def probability(scores: ArrayLike, target: int) -> NDArray[np.float64]:
    """(B,): the probability of a class by the model's own scores (B, C, …): these, or their softmax or sigmoid."""
    rows = np.asarray(scores, np.float64)
    rows = rows.reshape(len(rows), -1)
    if rows.min() >= 0 and rows.max() <= 1:
        return np.asarray(rows[:, target])
    if rows.shape[1] == 1:
        return sigmoid(rows[:, 0])
    shares = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(shares[:, target] / shares.sum(axis=1))


def sigmoid(logits: ArrayLike) -> NDArray[np.float64]:
    """1 / (1 + exp(−logit)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64))))


def repeated(array: NDArray[Any], count: int) -> NDArray[Any]:
    """A row for each of `count` inputs, of an array that has one for the picture."""
    return np.repeat(array, count, axis=0) if array.shape[:1] == (1,) else array


def _rows(found: Mapping[str, NDArray[Any]], output: str, metadata: Metadata) -> NDArray[Any]:
    """An output without its axis for targets, of which there is one."""
    array = found[output]
    return array[:, 0] if metadata.multi_target else array
