"""The table of methods, and how a function becomes a row of it.

A method is a function; its parameters after `*` are its options, with their defaults. Three decorators, by what the
function looks at:

    @method("gradcam", source="…")                    # f(a, g, *, …): activation and gradient, (M, C, h, w) each
    @method_without_gradient("eigencam", source="…")  # f(a, *, …): the activation alone, (N, C, h, w)
    @method_of_question("rollout", source="…")        # f(question, *, …): whatever else can be asked of the graph

The first two give the raw map (·, h, w) of one layer, before ReLU and normalisation; the third a list of raw maps,
(M, h, w) each, that are joined as those of several layers are.

With `like="torchcam"` the function is what that library computes under the name, where it differs from the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from onnxcam.errors import LibraryLacks, UnknownChoice
from onnxcam.graph import Tape, Value
from onnxcam.methods.finding import Find, explainable
from onnxcam.methods.likes import HAVE
from onnxcam.other_names import hint, spelled
from onnxcam.parameters import Parameter, parameters_of, settings
from onnxcam.preprocessing import Preprocessing
from onnxcam.question import Question
from onnxcam.scores import Scores

Build: TypeAlias = Callable[..., Sequence[Value]]
# From the model, its scores, the options given and what happens to pixels before (None: unknown) to all options.
Complete: TypeAlias = Callable[[Tape, Scores, Mapping[str, Any], Preprocessing | None], Mapping[str, Any]]
# From the model, its scores and the options to what a user should know of the method on this model.
Tell: TypeAlias = Callable[[Tape, Scores, Mapping[str, Any]], Sequence[str]]
NO_OPTIONS: Mapping[str, Parameter] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Method:
    """How a question becomes maps.

    Attributes:
        name: as on the command line.
        source: the paper.
        summary: one line.
        build: from a `Question`, and the options, to raw maps (M, h, w): one a layer, or fewer.
        options: what can be set, by name.
        find: the layers that it looks at; by default those that can be explained.
        needs_gradient: whether the score is differentiated.
        needs_linear_head: whether only sums and products with constants may lie between layer and score.
        score: the kind of score that it explains when nobody says which; None: what the model's outputs show.
        like: the library whose formula it is, where that is not the paper's.
        driver: the name of what runs it in many passes; None where one pass is enough.
        formula: from (a, g) of one layer to its map, where that is all there is to the method; None elsewhere.
        attribute: from a `Question`, and the options, to a number for each element of the last layer's tensor, (M, …)
            in its layout, of which `build` makes the map; None where the method has none.
        normalize: the convention by which its maps become heatmaps when nobody says which; None: the usual one.
        complete: fills in the options that depend on the model; None where none does.
        tell: what a user should know of it on a model; None where there is never anything.
    """

    name: str
    source: str
    summary: str
    build: Build
    options: Mapping[str, Parameter] = field(default_factory=lambda: NO_OPTIONS)
    find: Find = explainable
    needs_gradient: bool = True
    needs_linear_head: bool = False
    score: str | None = None
    like: str | None = None
    driver: str | None = None
    formula: Callable[..., Value] | None = None
    attribute: Callable[..., Value] | None = None
    normalize: str | None = None
    complete: Complete | None = None
    tell: Tell | None = None

    def notes(self, tape: Tape, scores: Scores, options: Mapping[str, Any]) -> Sequence[str]:
        """What a user should know of the method on this model."""
        return () if self.tell is None else self.tell(tape, scores, options)

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options given, each in its type.

        Raises:
            UnknownOption: for one that the method does not have.
            InvalidOption: for a value that it cannot take.
        """
        return settings(self.name, self.options, given)


METHODS: dict[str, Method] = {}
VARIANTS: dict[tuple[str, str], Method] = {}


def find_method(name: str, like: str | None = None) -> Method:
    """The method of that name, in the form of the library `like` where it has one of its own.

    Capitals and separators do not matter: "GradCAM" and "grad-cam" are "gradcam".

    Raises:
        UnknownChoice: if there is none; what is called so elsewhere is named, or what is near.
        LibraryLacks: if the library has no such method.
    """
    own = spelled(name, METHODS)
    if own not in METHODS:
        raise UnknownChoice("method", name, METHODS, hint=hint(name, METHODS))
    check_had(own, like)
    return VARIANTS.get((like or "", own), METHODS[own])


def check_had(name: str, like: str | None) -> None:
    """Refuses to give the numbers of a library that has no such method.

    Raises:
        LibraryLacks: if it has not; the near ones among those that it has are named.
    """
    if like is not None and not is_had(name, like):
        own = [row for library, row in VARIANTS if library == like]
        raise LibraryLacks(like, name, dict.fromkeys([*HAVE.get(like, ()), *own]))


def is_had(name: str, like: str | None) -> bool:
    """Whether the library has the method; None, ours, has them all."""
    return like is None or name in HAVE.get(like, ()) or (like, name) in VARIANTS


def suiting(name: str, like: str | None = None) -> Method:
    """The method that suits the scores; Grad-CAM, which every library has, where the one that is asked for lacks it."""
    return find_method(name if is_had(name, like) else "gradcam", like)


def method(
    name: str,
    *,
    source: str,
    needs_linear_head: bool = False,
    like: str | None = None,
    normalize: str | None = None,
) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """A decorator: the function (a, g) → map is the method of that name; its docstring is the summary."""

    def register(function: Callable[..., Value]) -> Callable[..., Value]:
        def build(question: Question, **options: Any) -> list[Value]:
            pairs = zip(question.activations, question.gradients, strict=True)
            with question.tape.named(name):
                return [function(a, g, **options) for a, g in pairs]

        facts: dict[str, Any] = {"needs_linear_head": needs_linear_head, "like": like, "normalize": normalize}
        add(row_of(name, source, function, build, formula=function, **facts))
        return function

    return register


def method_without_gradient(
    name: str, *, source: str, like: str | None = None
) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """A decorator: likewise for a function a → map, so that nothing is differentiated."""

    def register(function: Callable[..., Value]) -> Callable[..., Value]:
        def build(question: Question, **options: Any) -> list[Value]:
            with question.tape.named(name):
                return [question.for_rows(function(a, **options)) for a in question.activations_once]

        def formula(a: Value, _: Value, **options: Any) -> Value:
            return function(a, **options)

        add(row_of(name, source, function, build, needs_gradient=False, like=like, formula=formula))
        return function

    return register


def method_of_question(
    name: str,
    *,
    source: str,
    find: Find = explainable,
    needs_gradient: bool = True,
    score: str | None = None,
    like: str | None = None,
    tell: Tell | None = None,
) -> Callable[[Build], Build]:
    """A decorator: likewise for a function of the question, which gives a list of maps.

    `find` gives the layers that it looks at: `explainable`, `of_picture`, or a function of your own. With
    `needs_gradient` the layers are there for each of several targets, else only for each image. `score` is the kind of
    score that it explains by default, `tell` gives notes on it.
    """

    def register(function: Build) -> Build:
        def build(question: Question, **options: Any) -> Sequence[Value]:
            with question.tape.named(name):
                return function(question, **options)

        facts: dict[str, Any] = {"needs_gradient": needs_gradient, "score": score, "like": like, "tell": tell}
        add(row_of(name, source, function, build, find=find, **facts))
        return function

    return register


def add(row: Method) -> None:
    """The row, in the table; what a library computes otherwise among the variants.

    Raises:
        ValueError: if there is such a row already.
    """
    table: dict[Any, Method] = VARIANTS if row.like else METHODS
    key: Any = (row.like, row.name) if row.like else row.name
    if key in table:
        raise ValueError(f"there is a method {key!r} already")
    table[key] = row


def row_of(name: str, source: str, function: Callable[..., Any], build: Build, **facts: Any) -> Method:
    """The row of a function: its docstring's first line is the summary, what it takes behind `*` are the options."""
    summary = (function.__doc__ or "").strip().partition("\n")[0]
    return Method(name, source, summary, build, MappingProxyType(parameters_of(function)), **facts)
