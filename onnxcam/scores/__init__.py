"""What is explained: which tensor holds the scores, and how a target picks of them for each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from onnxcam.errors import NoClassScores, NoSuchScore, NotATensor, NothingBehind, UnknownChoice
from onnxcam.graph import Tape, Value

from onnxcam.scores import detectors as detectors  # isort: skip - the kinds are tried in this order
from onnxcam.scores import classes as classes  # isort: skip - a detector's finished scores look like classes
from onnxcam.scores import segmentation as segmentation
from onnxcam.scores import similarity as similarity
from onnxcam.scores.classes import LOGIT, OUTPUT, PLUMBING, PROBABILITY, RESIDUAL
from onnxcam.scores.expression import as_scores, from_expression
from onnxcam.scores.groups import check_names, with_groups
from onnxcam.scores.selection import Ask, Selection, Term, chosen
from onnxcam.scores.table import KINDS, Kind, Scores, kind_named, score_kind

__all__ = [
    "KINDS", "LOGIT", "OUTPUT", "PLUMBING", "PROBABILITY", "RESIDUAL", "Ask", "Kind", "Score", "Scores", "Selection",
    "Term", "check_names", "chosen", "find_scores", "score_kind", "with_groups",
]  # fmt: skip

Score: TypeAlias = "str | Callable[[Mapping[str, Value]], Value] | None"


class Outputs(dict[str, Value]):
    """The model's outputs by name, as a function that makes a score of them gets them."""

    def __missing__(self, name: str) -> Value:
        raise UnknownChoice("output of the model", name, self)


def find_scores(tape: Tape, score: Score = None, *, as_peers: bool = False) -> Scores:
    """What can be explained of the model.

    Args:
        tape: the model.
        score: a name in `KINDS`, with more behind a colon where the kind takes it; or an expression over the outputs;
            or a function from the outputs by name to a tensor (N,) or (N, S). None: what the outputs show.
        as_peers: of what they show, the form whose gradients other libraries take.

    Raises:
        NoClassScores: if nothing in the outputs looks like scores.
        NoSuchScore: if the model has none of the kind that is asked for.
        UnknownScore: if there is no such kind.
        NothingBehind: if something stands behind the colon of a kind that takes nothing.
        InvalidExpression: if an expression cannot be read, or gives no row of numbers.
    """
    if score is not None:
        return _wished(tape, score)
    with tape.named("score"):
        shown = (row.find(tape, row.peers if as_peers else "") for row in KINDS.values() if row.is_automatic)
        found = next(filter(None, shown), None)
    if found is None:
        raise NoClassScores({value.name: value.shape for value in tape.outputs})
    return found


def _wished(tape: Tape, score: str | Callable[[Mapping[str, Value]], Value]) -> Scores:
    if not isinstance(score, str):
        with tape.named("score"):
            value = score(Outputs((output.name, output) for output in tape.outputs))
        name = getattr(score, "__name__", "expression")
        if not isinstance(value, Value):
            raise NotATensor(name, value)
        return as_scores(value, name)
    name, _, detail = score.partition(":")
    name = name.strip()
    if name not in KINDS and (name in tape or not name.isidentifier()):
        return from_expression(tape, score)
    kind = kind_named(name, tape.outputs)
    if detail and not kind.takes_more:
        raise NothingBehind(name, detail, [row.name for row in KINDS.values() if row.takes_more])
    with tape.named("score"):
        found = kind.find(tape, detail.strip())
    if found is None:
        raise NoSuchScore(name, {value.name: value.shape for value in tape.outputs})
    return found
