"""A case of ONNX's backend tests as a score, Σ cotangent · output, and central differences of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from backend_cases import Case
from backend_float64 import as_array, as_double, with_bodies
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from reference_ops import LRN, REFERENCE_OPS, Erf, LpNormalization

Array = NDArray[Any]
FLOATS = ("float16", "bfloat16", "float32", "float64")
TOLERANCE = 1e-5  # relative to the largest derivative
STEP = 1e-5
JITTER = 0.01  # relative: how far a point is moved off its kinks and ties
FEW = 40  # elements that are differentiated one by one; of more, some at random and some directions
COORDINATES, DIRECTIONS = 16, 4
HUGE = 1e9
SLOW_S = 0.1  # a run that takes longer is repeated less often
# Ops that ONNX's own evaluator gets wrong, by ONNX Runtime's answers; all others are its own where it can.
WRONG: list[type[OpRun]] = [Erf, LRN, LpNormalization]
# Ops whose bodies have one of these, which ONNX's evaluator then takes from its own code.
WRONG_INSIDE = frozenset(("Gelu",))
# Float inputs that say where or how much, which no derivative is asked of: (op, position).
SETTINGS = {
    ("Dropout", 1), ("NonMaxSuppression", 2), ("NonMaxSuppression", 3), ("NonMaxSuppression", 4), ("OneHot", 1),
    ("Range", 0), ("Range", 1), ("Range", 2), ("Resize", 1), ("Resize", 2), ("Upsample", 1),
}  # fmt: skip


class NoDerivative(Exception):
    """The case has nothing to differentiate."""


class CannotEvaluate(NoDerivative):
    """The reference evaluator has not the means: it lacks an op, or rounds within one, so that differences drown."""


@dataclass(frozen=True)
class Slope:
    """A central difference of the score in one direction."""

    name: str
    direction: Array
    slope: float


def posed(case: Case) -> tuple[Problem, list[Slope]]:
    """The case's problem and its slopes, by the first evaluator that is up to it.

    That is ONNX's own; else the one with ops of ours; else ONNX's bodies of its ops instead of its code for them.

    Raises:
        NoDerivative: if there is none.
    """
    is_wrong_inside = any(node.op_type in WRONG_INSIDE for node in case.model.graph.node)
    try:
        return _solved(case, with_bodies(case.model) if is_wrong_inside else case.model, WRONG)
    except CannotEvaluate as first:
        for model, ops in ((case.model, REFERENCE_OPS), (with_bodies(case.model), REFERENCE_OPS)):
            try:
                return _solved(case, model, ops)
            except CannotEvaluate:
                continue
        raise first


def _solved(case: Case, model: ModelProto, ops: list[type[OpRun]]) -> tuple[Problem, list[Slope]]:
    problem = Problem(case, model, ops)
    return problem, problem.slopes()


class Problem:
    """One case as a score of its float inputs, in float64, evaluated by way of `model` with those ops replaced."""

    def __init__(self, case: Case, model: ModelProto, ops: list[type[OpRun]]) -> None:
        self.case = case
        settings = {name for name in case.feeds if _is_setting(case, name)}
        self.wide = as_double(case.model, settings)
        self.rng = np.random.default_rng(sum(map(ord, case.name)))
        self.names = [name for name, x in case.feeds.items() if _is_float(x) and name not in settings]
        self.outputs = [name for name, y in case.outputs.items() if _is_float(y) and y.size]
        if not self.names:
            raise NoDerivative("no input of floats")
        if not self.outputs:
            raise NoDerivative("no output of floats")
        try:
            self.evaluator = ReferenceEvaluator(as_double(model, settings), new_ops=ops)
        except RuntimeError as error:  # it lacks an op
            raise CannotEvaluate(str(error)[:300]) from error
        self.feeds = self._placed({name: x if name in settings else as_array(x) for name, x in case.feeds.items()})
        first = self.run(self.feeds)
        start = time.perf_counter()
        again = self.run(self.feeds)
        self.few = FEW if time.perf_counter() - start < SLOW_S else 2
        if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again, strict=True)):
            raise NoDerivative("its outputs are random")
        self.is_finite = all(bool(np.isfinite(y).all()) for y in first)
        self.cotangents = [np.where(np.isfinite(y), self.rng.normal(size=y.shape), 0.0) for y in first]
        self.height = float(
            sum(np.where(c == 0, 0.0, y * c).sum() for y, c in zip(first, self.cotangents, strict=True))
        )

    def _placed(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """The inputs within the op's domain and a little off their kinks; where they were, if that changes more."""
        feeds = feeds | {name: self._initialised(feeds[name]) for name in self.names}
        here = self.run(feeds)
        if any(np.isnan(y).any() for y in here) and all(np.isfinite(feeds[name]).all() for name in self.names):
            feeds = feeds | {name: np.abs(feeds[name]) for name in self.names}
            here = self.run(feeds)
        moved = feeds | {name: self._moved(feeds[name]) for name in self.names}
        try:
            there = self.run(moved)
        except CannotEvaluate:
            return feeds
        return moved if all(_alike(a, b) for a, b in zip(here, there, strict=True)) else feeds

    def _initialised(self, x: Array) -> Array:
        """Random numbers in place of what PyTorch had left in memory when it wrote some of its cases."""
        return np.where(np.isfinite(x) & (np.abs(x) > HUGE), self.rng.normal(size=x.shape), x)

    def _moved(self, x: Array) -> Array:
        distance = self.rng.uniform(0.3, 1.0, x.shape) * self.rng.choice([-1.0, 1.0], x.shape) * JITTER
        return np.where(np.isfinite(x), x + distance * np.maximum(np.abs(x), 0.1), x)

    def run(self, feeds: dict[str, Any]) -> list[Array]:
        """The float outputs of the original model."""
        try:
            return [np.asarray(y) for y in self.evaluator.run(self.outputs, dict(feeds))]
        except Exception as error:
            raise CannotEvaluate(f"the reference evaluator cannot run it: {error}"[:300]) from error

    def score(self, feeds: dict[str, Any]) -> float:
        """Σ cotangent · output."""
        pairs = list(zip(self.run(feeds), self.cotangents, strict=True))
        if any(y.shape != c.shape for y, c in pairs):
            raise NoDerivative("the shape of its outputs depends on the numbers in its inputs")
        return float(sum(np.where(c == 0, 0.0, y * c).sum() for y, c in pairs))

    def slopes(self) -> list[Slope]:
        """Central differences where the score is smooth.

        Raises:
            CannotEvaluate: if it is so nowhere.
            NoDerivative: if it is flat everywhere.
        """
        tried = [(name, direction) for name in self.names for direction in self._directions(name)]
        known = [Slope(name, d, slope) for name, d in tried if (slope := self._slope(name, d)) is not None]
        if tried and len(known) < len(tried) / 2:
            raise CannotEvaluate("it is not smooth at its inputs")
        if all(slope.slope == 0 for slope in known):
            raise NoDerivative("its derivative is zero")
        return known

    def _directions(self, name: str) -> Iterator[Array]:
        x = self.feeds[name]
        places = np.flatnonzero(np.isfinite(x))
        if places.size > self.few:
            for _ in range(min(DIRECTIONS, self.few)):
                yield np.where(np.isfinite(x), self.rng.normal(size=x.shape), 0.0)
            places = self.rng.choice(places, min(COORDINATES, self.few), replace=False)
        for place in places:
            direction = np.zeros(x.size)
            direction[place] = 1.0
            yield direction.reshape(x.shape)

    def _slope(self, name: str, direction: Array) -> float | None:
        """None where smaller steps give another slope."""
        first, second = (self._difference(name, direction, step) for step in (STEP, STEP / 4))
        size = max(abs(first), 1e-3 * abs(self.height), 1e-6)
        return first if math.isfinite(first) and abs(first - second) <= TOLERANCE * size else None

    def _difference(self, name: str, direction: Array, step: float) -> float:
        up, down = (self.feeds | {name: self.feeds[name] + sign * step * direction} for sign in (1, -1))
        return (self.score(up) - self.score(down)) / (2 * step)


def _alike(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool((np.isfinite(a) == np.isfinite(b)).all())


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.name in FLOATS


def _is_setting(case: Case, name: str) -> bool:
    """Whether the input is no more than a setting of every node that reads it, or of the op that was expanded."""
    if "_expanded" in case.name and (case.op, list(case.feeds).index(name)) in SETTINGS:
        return True
    readers = [(node.op_type, i) for node in case.model.graph.node for i, x in enumerate(node.input) if x == name]
    return bool(readers) and set(readers) <= SETTINGS
