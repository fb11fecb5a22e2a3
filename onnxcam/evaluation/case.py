"""What a metric is given: one picture, its heatmap for one target, and the model to ask again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating[Any]]
Flags: TypeAlias = NDArray[np.bool_]
Scores: TypeAlias = Callable[[Array], NDArray[np.float64]]

CHUNK = 64  # altered pictures made before they are asked about: what is in memory at a time


@dataclass(frozen=True, eq=False)
class Case:
    """One picture, explained for one target.

    Attributes:
        x: the model's input without its batch axis, (C, h, w) or (h, w, C) as `layout` says.
        map: (h, w), as the graph gave it.
        scores: (B, …) inputs → (B,) what faithfulness is measured by: the probability of the target where there is one.
        values: likewise, the score that the map explains, mostly a logit; None: `scores`.
        explain: (B, …) inputs → (B, h, w) maps for the same target, where metrics may ask for further maps.
        randomised: a kind of randomisation → the maps of the same picture after each of its stages.
        heatmap: (H, W) on the photo's own pixels; None: `map`.
        region: bool (H, W): where the thing is that the target means, in the pixels of `heatmap`.
        black: (C,) a black pixel in the model's numbers.
        white: (C,) likewise.
        seed: of every random draw.
        memory: what one metric has worked out and another may need.
    """

    x: Array
    map: Floats
    scores: Scores
    values: Scores | None = None
    layout: str = "CHW"
    explain: Callable[[Array], Floats] | None = None
    randomised: Callable[[str], Iterable[Floats]] | None = None
    heatmap: Floats | None = None
    region: Flags | None = None
    black: Floats | None = None
    white: Floats | None = None
    seed: int = 0
    memory: dict[Any, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def score(self) -> float:
        """The target's score on the picture as it is."""
        return float(self.scores(self.x[None])[0])

    @property
    def value(self) -> Scores:
        """What the map explains."""
        return self.values or self.scores

    @property
    def photo_map(self) -> Floats:
        """The heatmap where things were marked."""
        return self.map if self.heatmap is None else self.heatmap

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The pixels by falling relevance; of equal ones the first in reading order."""
        return np.argsort(-self.map.reshape(-1).astype(np.float64), kind="stable")

    @property
    def span(self) -> Floats:
        """From black to white, (C, 1, 1) or (1, 1, C): the unit of noise; 1 where it is not known."""
        if self.black is None or self.white is None:
            return np.ones((1, 1, 1))
        return self.colour(np.abs(self.white - self.black))

    def colour(self, pixel: Floats) -> Floats:
        """(C,) shaped to be laid on the picture."""
        return pixel.reshape((-1, 1, 1) if self.layout == "CHW" else (1, 1, -1))

    def over(self, masks: Array) -> Array:
        """Masks (…, h, w) shaped to be laid on pictures (…, C, h, w) or (…, h, w, C)."""
        return masks[..., None, :, :] if self.layout == "CHW" else masks[..., None]

    def mixed(self, kept: Array, other: Array) -> Array:
        """The picture where `kept` (…, h, w), in [0, 1], is 1, and `other` where it is 0, in the input's type."""
        weight = self.over(kept).astype(np.float32)
        return self.typed(self.x * weight + other * (1 - weight))

    def typed(self, values: Array) -> Array:
        """The numbers in the input's type: whole ones, from 0 to 255, where that is uint8."""
        if self.x.dtype.kind == "u":
            values = np.rint(values).clip(0, np.iinfo(self.x.dtype).max)
        return np.asarray(values, self.x.dtype)

    def rng(self, purpose: int = 0) -> np.random.Generator:
        """Random draws that are the same at every call."""
        return np.random.default_rng([self.seed, purpose])


def asked(ask: Scores, pictures: Iterable[Array], size: int = CHUNK) -> NDArray[np.float64]:
    """The answers about pictures that are made as they are needed, (count,)."""
    return np.concatenate([np.asarray(ask(batch), np.float64) for batch in batched(pictures, size)])


def batched(pictures: Iterable[Array], size: int) -> Iterator[Array]:
    """The pictures stacked, `size` at a time."""
    waiting: list[Array] = []
    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == size:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """How a score goes while ever more is changed.

    Attributes:
        shares: what was changed, from 0 to 1, rising.
        scores: the score at each.
        value: what the metric makes of it.
    """

    shares: NDArray[np.float64]
    scores: NDArray[np.float64]
    value: float


def area(shares: Floats, scores: Floats) -> float:
    """Under the curve, by trapezoids."""
    return float(np.sum(np.diff(shares) * (scores[1:] + scores[:-1]) / 2))
