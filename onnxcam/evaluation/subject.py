"""A model under test: its explain graph as the source of maps, and as what answers about altered pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam.engine import Explainer
from onnxcam.evaluation.annotations import Thing
from onnxcam.evaluation.case import Array, Case, Floats
from onnxcam.evaluation.results import PROBABILITY, SCORE
from onnxcam.explanation import INTERRUPTED, Explanation
from onnxcam.images import read
from onnxcam.overlay import drawable
from onnxcam.preprocessing import Preprocessing, normalised, prepare
from onnxcam.targets import Classes

BATCH_SIZE = 8
LOGIT = "logit"
RANKS = 5  # of the classes among which one is sought that means a thing


@dataclass(frozen=True, eq=False)
class Subject:
    """A model explained in one way.

    Attributes:
        explainer: gives the maps.
        scorer: gives the scores of altered pictures: an explain graph of the same model, best of a method that costs
            nothing; None: `explainer`.
        randomised: a kind of randomisation → explainers of the model after each of its stages; None where that cannot
            be had.
        inputs: the model's other inputs, for one picture.
        batch_size: altered pictures in one run.
    """

    explainer: Explainer
    scorer: Explainer | None = None
    randomised: Callable[[str], Sequence[Explainer]] | None = None
    inputs: Mapping[str, Array] = field(default_factory=dict)
    batch_size: int = BATCH_SIZE

    @property
    def method(self) -> str:
        """How it is explained."""
        return self.explainer.metadata.method

    @property
    def layer(self) -> str:
        """Where it is explained, several names joined by ", "."""
        return ", ".join(self.explainer.metadata.layers)

    def explain(self, image: Any, target: Any) -> Explanation:
        """The explanation of one picture."""
        found: Explanation = self.explainer(image, target, inputs=self.inputs, batch_size=self.batch_size)
        if found.status == INTERRUPTED:
            raise KeyboardInterrupt  # half a map is not measured
        return found

    def cases(
        self, image: Any, things: Sequence[Thing], target: Any, *, seed: int
    ) -> Iterator[tuple[Explanation, Case]]:
        """The picture explained for the target; without one, for each thing that is among the best five classes.

        The best class that means a thing stands for it; where there is none, the best class of all is explained.
        """
        photo = read(image)
        first = self.explain(photo, target)
        if target is not None:
            meant = [thing for thing in things if self.means(first.target_index, thing)]
            yield first, self.case(first, meant, seed=seed)
            return
        for index, meant in self.seen(first, things) or [(first.target_index, [])]:
            found = first if index == first.target_index else self.explain(photo, index)
            yield found, self.case(found, meant, seed=seed)

    def seen(self, explanation: Explanation, things: Sequence[Thing]) -> list[tuple[int, list[Thing]]]:
        """The things that are among the best classes: the best class that means each, and the thing."""
        best = [explanation.target_index]
        if explanation.scores.size == self.explainer.classes.count:
            best = [int(index) for index in np.argsort(-explanation.scores, kind="stable")[:RANKS]]
        pairs = ((next((index for index in best if self.means(index, thing)), None), thing) for thing in things)
        return [(index, [thing]) for index, thing in pairs if index is not None]

    def means(self, index: int, thing: Thing) -> bool:
        """Whether the class of that index means the thing."""
        classes = self.explainer.classes
        return thing.is_meant_by(index, classes.label(index), classes.count)

    def case(self, explanation: Explanation, things: Sequence[Thing], *, seed: int) -> Case:
        """What metrics are given about an explanation."""
        spec, target = self.explainer.preprocessing, explanation.target_index
        x, _ = prepare(explanation.image, spec)
        black, white = colours(spec)
        size = explanation.heatmap.shape
        regions = [thing.region((size[0], size[1])) for thing in things]
        return Case(
            x=x,
            map=drawable(explanation.map),
            scores=partial(self.probabilities, target=target),
            values=partial(self.values, target=target),
            layout="CHW" if spec.layout == "NCHW" else "HWC",
            explain=partial(self.maps, target=target),
            randomised=partial(self.faded, x, target) if self.randomised else None,
            heatmap=drawable(explanation.heatmap),
            region=np.logical_or.reduce(regions) if regions else None,
            black=black,
            white=white,
            seed=seed,
        )

    def probabilities(self, batch: Array, target: int) -> NDArray[np.float64]:
        """The probability of the target, (B,); its score where there is none."""
        return np.concatenate(
            [probability(found, self.scores_name, self.explainer.classes) for found in self._ask(batch, target)]
        )

    def measured(self, index: int) -> str:
        """What `probabilities` gives of a target: PROBABILITY or SCORE."""
        classes, kind = self.explainer.classes, self.explainer.metadata.score
        count = classes.count or 0
        is_class = 0 <= index < count - len(classes.groups) or count <= index < 2 * count - len(classes.groups)
        if kind == LOGIT and is_class and not (count == 1 and not classes.sides):
            return PROBABILITY
        return PROBABILITY if kind == PROBABILITY and 0 <= index < count else SCORE

    def values(self, batch: Array, target: int) -> NDArray[np.float64]:
        """The score that is explained, (B,)."""
        return np.concatenate([flat(found["target_score"]) for found in self._ask(batch, target)])

    def maps(self, batch: Array, target: int) -> Floats:
        """The maps of prepared pictures, (B, h, w)."""
        return maps_of(self.explainer, batch, target, inputs=self.inputs, batch_size=self.batch_size)

    def faded(self, x: Array, target: int, kind: str) -> Iterable[Floats]:
        """The maps of a prepared picture after each stage of a randomisation."""
        assert self.randomised is not None  # noqa: S101 - case() has seen to it
        return (maps_of(each, x[None], target, inputs=self.inputs, batch_size=1)[0] for each in self.randomised(kind))

    @property
    def scores_name(self) -> str | None:
        """The model's output with the scores of its classes, where these tell more than the score explained."""
        metadata = self.explainer.metadata
        return metadata.scores if metadata.score == LOGIT else None

    def _ask(self, batch: Array, target: int) -> Iterator[dict[str, Array]]:
        wanted = ["target_index", "target_score", *([self.scores_name] if self.scores_name else [])]
        return runs(
            self.scorer or self.explainer, batch, target, inputs=self.inputs, wanted=wanted, step=self.batch_size
        )


def runs(
    explainer: Explainer,
    batch: Array,
    target: int,
    *,
    inputs: Mapping[str, Array],
    wanted: Sequence[str],
    step: int,
) -> Iterator[dict[str, Array]]:
    """The graph's outputs for prepared pictures, so many at a time as the model takes."""
    step = 1 if explainer.metadata.batch else max(1, step)
    for at in range(0, len(batch), step):
        part = batch[at : at + step]
        others = {name: np.repeat(array, len(part), 0) if array.shape[:1] == (1,) else array
                  for name, array in inputs.items()}  # fmt: skip
        yield explainer.run(part, target, inputs=others, outputs=wanted)


def maps_of(explainer: Explainer, batch: Array, target: int, *, inputs: Mapping[str, Array], batch_size: int) -> Floats:
    """The heatmaps of prepared pictures, (B, h, w) in [0, 1]."""
    if explainer.metadata.driver is not None:
        return np.stack([driven(explainer, x, target, inputs=inputs, batch_size=batch_size) for x in batch])
    parts = runs(explainer, batch, target, inputs=inputs, wanted=["heatmap"], step=batch_size)
    found = [heatmap for part in parts for heatmap in part["heatmap"].reshape(-1, *part["heatmap"].shape[-2:])]
    return np.stack([drawable(heatmap.astype(np.float32)) for heatmap in found])


def driven(explainer: Explainer, x: Array, target: int, *, inputs: Mapping[str, Array], batch_size: int) -> Floats:
    """The heatmap of one prepared picture by a method of many passes."""
    found = explainer.drive(x, target, inputs=inputs, batch_size=batch_size)
    if found.interrupted:
        raise KeyboardInterrupt  # half a map is not measured
    return drawable(found.heatmap)


def probability(found: Mapping[str, Array], scores: str | None, classes: Classes) -> NDArray[np.float64]:
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


def colours(spec: Preprocessing) -> tuple[Floats, Floats]:
    """Black and white in the model's numbers, (C,) each."""
    channels = len(spec.mean)
    pixels = np.array([[0], [255]], np.uint8)[..., None].repeat(channels, axis=2)
    black, white = np.moveaxis(normalised(pixels, spec), 0 if spec.layout == "NCHW" else -1, -1).reshape(2, channels)
    return np.asarray(black, np.float64), np.asarray(white, np.float64)
