"""What can be explained: the scores of a model, and the table of the kinds of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from onnxcam.errors import UnknownScore
from onnxcam.graph import Dim, Value
from onnxcam.registry import entering
from onnxcam.scores.selection import Ask, Selection, select_class


@dataclass(frozen=True, slots=True)
class Scores:
    """The things of a model whose score can be explained.

    Attributes:
        output: the model's own output that holds them for people to read; None where there is none.
        values: what is differentiated, (N, S): a column for each thing.
        kind: a name in `KINDS`, or the expression.
        classes: C, what a target of `target >= 0` may name. Classes have columns of their own, or several each.
        has_sides: one sigmoid output, whose class 0 is "yes" and whose other side, "not:0", is as good an answer.
        ranked: how many of the classes a rank puts in order: all but the groups, which lie behind them.
        groups: names of the groups of classes, whose scores are sums.
        select: which columns a target asks for.
        method: the method that suits them, when none is named.
        layers: the tensors to explain when none is named, where that is not for the end of space to say.
        normalize: the convention that suits them, when none is named.
        label_list: the known list that the classes are taken to be, where nobody names them.
        preprocess: how pixels become such a model's input as a rule, where nobody says; None: nothing is known.
        maps: the logits of each class where they were computed, (N, C, h, w), of a detector for each scale.
        grouped: from lists of classes and the classes' columns to those of the groups, (N, G); to None where these are
            plain sums.
        candidates: of a detector, adds the table of all that its head offers, (N, B, 5 + C), to the model.
        notes: what a user should know of how they were found.
    """

    output: Value | None
    values: Value
    kind: str
    classes: int
    has_sides: bool = False
    ranked: int = 0
    groups: tuple[str, ...] = ()
    select: Callable[[Scores, Ask], Selection] = field(default=lambda scores, ask: select_class(scores, ask))
    method: str = "gradcam"
    layers: tuple[Value, ...] = ()
    normalize: str | None = None
    label_list: str | None = None
    preprocess: Mapping[str, Any] | None = None
    maps: tuple[Value, ...] = ()
    grouped: Callable[[Sequence[Sequence[int]], Value], Value | None] | None = None
    candidates: Callable[[], Value] | None = None
    notes: tuple[str, ...] = ()


Finder: TypeAlias = Callable[..., "Scores | None"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of score.

    Attributes:
        name: as on the command line.
        summary: one line.
        find: from the tape, and what stands behind "NAME:" in the wish, to the scores; None where the model has none.
        is_automatic: whether it is looked for when nobody says what is to be explained.
        takes_more: whether anything may stand behind "NAME:".
        peers: what stands there where another library's numbers are asked for.
    """

    name: str
    summary: str
    find: Finder
    is_automatic: bool
    takes_more: bool = False
    peers: str = ""


KINDS: dict[str, Kind] = {}


def score_kind(
    name: str, *, automatic: bool = False, more: bool = False, peers: str = ""
) -> Callable[[Finder], Finder]:
    """A decorator: the function (tape, detail) → Scores finds the scores of that kind; its docstring is the summary."""

    def kind(find: Finder) -> Kind:
        return Kind(name, (find.__doc__ or "").strip().partition("\n")[0], find, automatic, more, peers)

    return entering(KINDS, name, what="kind of score", row=kind)


def kind_named(name: str, outputs: Sequence[Value]) -> Kind:
    """The kind of that name. `outputs`: the model's, for the message.

    Raises:
        UnknownScore: if there is none.
    """
    if name not in KINDS:
        raise UnknownScore(name, KINDS, [output.name for output in outputs])
    return KINDS[name]


def batch_of(picture: Value) -> Dim:
    """The batch dimension of the pictures: a number, a symbol or None."""
    return (picture.shape or (None,))[0]
