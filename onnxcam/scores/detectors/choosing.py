"""Which candidate a target means: the best of a class, the k-th detection, or the one at a box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxcam.errors import NameTaken
from onnxcam.graph import Value
from onnxcam.scores.detectors.boxes import overlaps
from onnxcam.scores.detectors.detections import Detections
from onnxcam.scores.detectors.settings import Settings
from onnxcam.scores.detectors.suppression import Ranking, first, ranked, taken
from onnxcam.scores.selection import Ask, Selection, Term, chosen
from onnxcam.scores.table import Scores

BOX, TARGET_BOX, TARGET_CONFIDENCE = "box", "target_box", "target_confidence"
NO_BOX = -1.0
NOTHING = -1  # the index that is reported where there is no such detection


@dataclass(frozen=True, slots=True)
class Wish:
    """What a target asks, read off its number, int64 or truth values (N, K).

    Attributes:
        index: the class, its other side or the difference of two; 0 for a rank.
        plain: the class that the candidate is looked for by.
        is_rank: whether it is a rank.
        rank: 0 the best, 1 the second; 0 for what is no rank.
        is_other: whether the other side of the class is asked.
        is_pair: whether a difference is.
        minus: the class that is subtracted.
    """

    index: Value
    plain: Value
    is_rank: Value
    rank: Value
    is_other: Value
    is_pair: Value
    minus: Value


def wish_of(target: Value, classes: int) -> Wish:
    """The numbers as `scores.selection` has them: t class, C + t "not t", 2C + a·C + b the difference, −k a rank."""
    op = target.tape
    zero, count = op.constant(np.array(0, np.int64)), op.constant(np.array(classes, np.int64))
    is_rank = target < 0
    index = op.Where(is_rank, zero, target)
    is_pair = index >= 2 * classes
    is_other = op.And(index >= classes, op.Not(is_pair))
    pair = op.Where(is_pair, index - 2 * classes, zero)
    single = op.Where(is_other, index - classes, op.Where(is_pair, zero, index))
    plain = op.Where(is_pair, pair / count, single)
    rank = op.Where(is_rank, -1 - target, zero)
    return Wish(index, plain, is_rank, rank, is_other, is_pair, op.Mod(pair, count))


@dataclass(frozen=True, slots=True)
class Pick:
    """The candidate that a target means, int64 (N, K), and whether there is one, truth values (N, K)."""

    candidate: Value
    is_there: Value


def select(found: Detections, settings: Settings, scores: Scores, *, ask: Ask) -> Selection:
    """The candidate and class of each target, (N, K); where there is none such, nothing, with the index −1."""
    op, wish, box = ask.target.tape, wish_of(ask.target, found.count), box_input(ask)
    best, best_class = _best(found)
    likeliest = _likeliest(found, wish, best, box=box, settings=settings)
    ranked_one = _of_rank(found, wish, ranking(found, best, best_class, settings=settings), settings=settings)
    by_rank = op.And(wish.is_rank, op.Not(_has_box(box)))
    candidate = op.Where(by_rank, ranked_one.candidate, likeliest.candidate)
    is_there = op.Or(
        op.And(by_rank, ranked_one.is_there),
        op.And(op.Not(by_rank), likeliest.is_there),
    )
    own_class = op.Where(wish.is_rank, taken(best_class, candidate), wish.plain)
    return _selection(found, scores, wish, pick=Pick(candidate, is_there), own_class=own_class)


def ranking(found: Detections, best: Value, classes: Value, *, settings: Settings) -> Ranking:
    """The detections of each image: of a finished list as they are, else what suppression leaves."""
    if found.is_final:
        return first(best)
    return ranked(found.boxes, best, classes, iou=settings.iou, threshold=settings.threshold)


def _likeliest(found: Detections, wish: Wish, best: Value, *, box: Value, settings: Settings) -> Pick:
    """The candidate of the largest confidence in the class, or in any for a rank; times overlap if there is a box.

    What overlaps the box too little is not at it; and where no class is named, what is below the threshold is nothing.
    """
    op = best.tape
    none = op.number(0.0, best)
    of_any = op.Unsqueeze(op.Where(best > settings.threshold, best, none), op.ints(1))
    weights = op.Where(op.Unsqueeze(wish.is_rank, op.ints(2)), of_any, _of_class(found, wish))
    overlap = overlaps(box, found.boxes)
    near = op.Where(overlap < settings.overlap, op.number(0.0, overlap), overlap)
    matched = op.Where(op.Unsqueeze(_has_box(box), op.ints(2)), near, op.number(1.0, weights)) * weights
    return Pick(op.ArgMax(matched, axis=2, keepdims=0), op.ReduceMax(matched, op.ints(2), keepdims=0) > 0.0)


def _of_rank(found: Detections, wish: Wish, order: Ranking, *, settings: Settings) -> Pick:
    """The k-th detection, if there are so many; of a finished list, if it is above the threshold."""
    op = order.order.tape
    place = op.Min(wish.rank, order.last)
    least = settings.threshold if found.is_final else 0.0
    is_there = op.And(op.Equal(place, wish.rank), taken(order.confidence, place) > least)
    return Pick(taken(order.order, place), is_there)


def box_input(ask: Ask) -> Value:
    """Input `box`, float32 (N, 4) or (N, K, 4) in pixels of the input, as (N, K, 4); all −1 for none."""
    op, lead = ask.target.tape, list(ask.lead)
    if BOX in op:
        raise NameTaken(BOX)
    default = np.full((*[1] * len(lead), 4), NO_BOX, np.float32)
    box = op.add_input(BOX, np.float32, [*lead, 4], default=default)
    rows = box if len(lead) == 2 else op.Unsqueeze(box, op.ints(1))
    return op.Expand(rows, op.Concat(op.Shape(ask.target), op.ints(4), axis=0))


def _has_box(box: Value) -> Value:
    """Whether the box has any extent, (N, K)."""
    op = box.tape
    x0, y0, x1, y1 = (op.Squeeze(op.Slice(box, op.ints(n), op.ints(n + 1), op.ints(2)), op.ints(2)) for n in range(4))
    return op.And(x1 > x0, y1 > y0)


def _best(found: Detections) -> tuple[Value, Value]:
    """Confidence and class, (N, B), of each candidate's best class."""
    op = found.confidence.tape
    if found.labels is not None:
        return op.Squeeze(found.confidence, op.ints(2)), found.labels
    return op.ReduceMax(found.confidence, op.ints(2), keepdims=0), op.ArgMax(found.confidence, axis=2, keepdims=0)


def _of_class(found: Detections, wish: Wish) -> Value:
    """Confidence of each candidate in the class that is asked, (N, K, B); 0 for those of a list that are of another."""
    op, one = found.confidence.tape, found.confidence.tape.ints(1)
    if found.labels is not None:
        is_it = op.Equal(op.Unsqueeze(found.labels, one), op.Unsqueeze(wish.plain, op.ints(2)))
        confidence = op.Transpose(found.confidence, perm=[0, 2, 1])
        return op.Where(is_it, confidence, op.number(0.0, confidence))
    by_class = op.Transpose(found.confidence, perm=[0, 2, 1])
    rows = op.Concat(op.Shape(wish.plain), op.Shape(by_class, start=2, end=3), axis=0)
    return op.GatherElements(by_class, op.Expand(op.Unsqueeze(wish.plain, op.ints(2)), rows), axis=1)


def _selection(found: Detections, scores: Scores, wish: Wish, *, pick: Pick, own_class: Value) -> Selection:
    op, values, candidate, is_there = own_class.tape, scores.values, pick.candidate, pick.is_there
    nought, plus, minus = (op.number(n, values) for n in (0.0, 1.0, -1.0))
    width = 1 if found.labels is not None else found.count
    sign = op.Where(is_there, op.Where(wish.is_other, minus, plus), nought)
    column = candidate if width == 1 else candidate * width + own_class
    terms = [Term(column, sign)]
    if width > 1:
        second = op.Where(op.And(is_there, wish.is_pair), minus, nought)
        terms.append(Term(candidate * width + wish.minus, second))
    index = op.Where(wish.is_rank, own_class, wish.index)
    reported = op.Where(is_there, index, op.constant(np.array(NOTHING, np.int64)))
    box = op.Where(op.Unsqueeze(is_there, op.ints(2)), taken(found.boxes, candidate), op.number(NO_BOX, found.boxes))
    score = op.Where(is_there, chosen(values, terms), nought)
    confidence = op.GatherElements(op.Flatten(found.confidence, axis=1), column, axis=1)
    extras = {
        TARGET_BOX: box,
        TARGET_CONFIDENCE: op.Where(is_there, confidence, op.number(0.0, confidence)),
    }
    return Selection(reported, score, tuple(terms), extras, is_there)
