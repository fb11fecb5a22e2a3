"""What was asked for, checked as far as it can be without the model, and then found in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from onnxcam.assembly import FOR_DRIVERS, RAW_OUTPUTS, Plan
from onnxcam.conventions import CONVENTIONS, DEFAULT, LIKE
from onnxcam.drivers import DRIVERS
from onnxcam.errors import InvalidOption, NoSpatialLayer, NotWrappable, OnlyDetections, UnknownChoice
from onnxcam.graph import LoadedModel, Tape, Value
from onnxcam.layouts import find_picture
from onnxcam.methods import Method, check_had, find_method, suiting
from onnxcam.other_inputs import fillings_of
from onnxcam.other_names import hint_of_library
from onnxcam.preprocessing import Preprocessing
from onnxcam.scores import KINDS, LOGIT, OUTPUT, PROBABILITY, RESIDUAL, Score, Scores, find_scores, with_groups
from onnxcam.scores.detectors import DETECTOR, as_of_detections, habit


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for: the arguments of `onnxcam.convert` that concern the explanation."""

    method: str | None = None
    layers: Sequence[str] | None = None
    score: Score = None
    normalize: str | None = None
    like: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    wrap: str | None = None
    outputs: Sequence[str] = ()

    def check(self) -> None:
        """Refuses what there is not, before the model is opened.

        Raises:
            UnknownChoice: for a name that does not exist; near ones are told.
            UnknownOption, InvalidOption: for options that the method does not have.
            LibraryLacks: if the library to be like has no such method.
            NotWrappable: if a method of many passes is to go around another such.
        """
        if self.like is not None and self.like not in LIKE:
            raise UnknownChoice("library to be like", self.like, LIKE, hint=hint_of_library(self.like, LIKE))
        _check("normalisation", self.normalize, CONVENTIONS)
        _check("method around another", self.wrap, wrapping())
        if self.wrap is not None:
            check_had(self.wrap, self.like)
        for name in self.outputs:
            _check("output", name, RAW_OUTPUTS)
        if self.method is not None:
            method = find_method(self.method, self.like)
            if self.wrap is not None and method.driver is not None:
                raise NotWrappable(self.wrap, method.name)
            _check_no_arrays(self.method, self.settings(method)[0])

    def settings(self, method: Method) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The options of the method that was chosen, and what goes around it, {"name", "options"}, if anything does.

        Raises:
            UnknownOption, InvalidOption: for options that neither has.
        """
        if self.wrap is None:
            return method.settings(self.options), None
        around = DRIVERS[self.wrap]
        own, rest = around.taken_from(self.options, method.name, method.options)
        return method.settings(own), {"name": around.name, "options": around.settings(rest)}

    @property
    def convention(self) -> str:
        """How the raw map becomes a heatmap."""
        return self.normalize or (DEFAULT if self.like is None else LIKE[self.like])


def wrapping() -> list[str]:
    """The methods of many passes that go around another."""
    return [name for name, row in DRIVERS.items() if row.needs == "heatmap"]


def plan(loaded: LoadedModel, wish: Wish) -> Plan:
    """The parts that were asked for, found in the model: what is not said, the model's scores decide.

    Raises:
        NoClassScores, NoSuchScore, NoSpatialLayer, UnknownLayer, UnknownOption, OnlyDetections,
            LibraryLacks: if it cannot be had.
    """
    tape = Tape(loaded.proto)
    picture = find_picture(tape)
    fillings = fillings_of(tape, picture)
    named = None if wish.method is None else find_method(wish.method, wish.like)
    scores = _with_habit(tape, picture, with_groups(_suiting(tape, named, wish), wish.groups))
    method = named or suiting(scores.method, wish.like)
    if method.driver is not None and DRIVERS[method.driver].of_boxes and scores.kind != DETECTOR:
        raise OnlyDetections(method.name)
    names = None if wish.layers is None else list(dict.fromkeys(wish.layers))  # a name said twice is one layer
    chosen = method.find(tape, scores, names)
    if picture is None:
        raise NoSpatialLayer(None)
    own = method.normalize if method.like == wish.like else None
    suits = scores.normalize if wish.like is None else None
    convention = wish.normalize or own or suits or wish.convention
    options, around = wish.settings(method)
    return Plan(tape, picture, scores, chosen, method, convention, options, fillings, around, wish.like)


def _with_habit(tape: Tape, picture: Value | None, scores: Scores) -> Scores:
    """The scores, with what is usual with a detector, whichever of its numbers they are."""
    if picture is None or scores.kind == DETECTOR:
        return scores
    usual = habit(tape, picture)
    if usual is None:
        return scores
    is_expression = scores.kind.partition(":")[0] not in KINDS
    scores = as_of_detections(scores, tape, picture) if is_expression else scores
    if usual.preprocess is None:
        return scores
    return replace(scores, preprocess=usual.preprocess, notes=(*scores.notes, usual.note))


def _suiting(tape: Tape, method: Method | None, wish: Wish) -> Scores:
    """What was asked for; else the kind that the method prefers; one of classes only where the model shows classes."""
    as_peers = wish.like is not None
    if wish.score is not None or method is None or method.score is None:
        return find_scores(tape, wish.score, as_peers=as_peers)
    if method.score not in (LOGIT, PROBABILITY, OUTPUT, RESIDUAL):
        return find_scores(tape, method.score)
    shown = find_scores(tape, as_peers=as_peers)
    return find_scores(tape, method.score) if shown.kind == LOGIT != method.score else shown


def completed(plan: Plan, preprocessing: Preprocessing | None) -> Plan:
    """The plan with the options that depend on the model. `preprocessing`: what happens to pixels before, if known."""
    if plan.method.complete is None:
        return plan
    options = plan.method.complete(plan.tape, plan.scores, plan.options, preprocessing)
    return replace(plan, options=options)


def needed_outputs(method: Method, wished: Sequence[str]) -> list[str]:
    """The further outputs: those asked for, and those that a driver feeds on."""
    needed = FOR_DRIVERS[DRIVERS[method.driver].needs] if method.driver else ()
    return list(dict.fromkeys([*wished, *needed]))


def _check_no_arrays(method: str, settings: Mapping[str, Any]) -> None:
    """Refuses what the graph's metadata cannot hold."""
    for name, value in settings.items():
        if any(isinstance(entry, np.ndarray) for entry in (value if isinstance(value, tuple) else (value,))):
            way = "the file cannot hold one: give the path of a .npy file, or the array when the graph is run"
            raise InvalidOption(method, name, "an array", way)


def _check(kind: str, name: str | None, known: Iterable[str]) -> None:
    if name is not None and name not in known:
        raise UnknownChoice(kind, name, known)
