"""Scores of a segmentation net: for each class the sum of its logits over a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxcam.errors import UnknownChoice
from onnxcam.graph import Dim, Tape, Value
from onnxcam.layouts import Followed, find_picture, form_of
from onnxcam.scores.endings import ending_of
from onnxcam.scores.table import Scores, score_kind

REGION = "region"
WHOLE = -1.0  # in the region: wherever the model itself sees the class
# The mean of a gradient over space forgets where the region lies.
METHOD = "hirescam"
LOGITS = "logits"
LOWEST, SINGLE = float(np.finfo(np.float32).min), 4  # bytes of a float32


@score_kind("segmentation", automatic=True, more=True, peers=LOGITS)
def segmentation(tape: Tape, detail: str = "") -> Scores | None:
    """By how much the class wins wherever the net sees it, added up; over a given region (input `region`) its logits.

    Over its own region a class is judged as the net judges it, against the best other one: its logit alone rises
    beside the mask too, and what it has in common with all classes drowns the map of a small one. "segmentation:logits"
    adds up the logits there too, as Seg-Grad-CAM does (Vinogradova et al. 2020, arXiv:2002.11434).

    Raises:
        UnknownChoice: if the detail is another one.
    """
    if detail not in ("", LOGITS):
        raise UnknownChoice("score of a segmentation net", detail, [LOGITS])
    picture = find_picture(tape)
    if picture is None:
        return None
    axes = Followed(tape, picture).axes
    for output in tape.outputs:
        ending = ending_of(output)
        form = form_of(ending.logits, axes[ending.logits]) if ending.logits in axes else None
        if form is not None and set(form.layout) == set("NCHW"):
            logits = _summable(_channels_first(ending.logits, form.layout))
            count = (logits.shape or (None, None))[1]
            if isinstance(count, int):
                is_alone = count == 1 or ending.is_sigmoid
                places = Places(logits, is_alone=is_alone, is_plain=is_alone or detail == LOGITS)
                region = Region(places, picture)
                return Scores(
                    output,
                    region.scores(),
                    f"segmentation:{detail}" if detail else "segmentation",
                    count,
                    ranked=count,
                    method=METHOD,
                    layers=() if ending.layer is None else (ending.layer,),
                    normalize=ending.normalize,
                    grouped=region.scores_of_groups,
                )
    return None


def _channels_first(value: Value, layout: str) -> Value:
    order = [layout.index(axis) for axis in "NCHW"]
    return value if order == [0, 1, 2, 3] else value.tape.Transpose(value, perm=order)


def _summable(logits: Value) -> Value:
    """In float32 at least: sums over all places of a picture are beyond float16."""
    return logits.tape.Cast(logits, to=1) if logits.dtype is None or logits.dtype.itemsize < SINGLE else logits


@dataclass(frozen=True, slots=True)
class Places:
    """The logits of all places.

    Attributes:
        logits: (N, C, h, w), float32 or double.
        is_alone: whether each class is decided for itself, by a sigmoid.
        is_plain: whether the logit itself counts over the class's own region, not its lead.
    """

    logits: Value
    is_alone: bool
    is_plain: bool

    def seen(self) -> Value:
        """Where the net sees each class, bool (N, C, h, w): where it is the best, or, alone, above the half."""
        op = self.logits.tape
        if self.is_alone:
            return self.logits > 0.0
        classes = (self.logits.shape or (0, 0))[1]
        assert isinstance(classes, int)  # noqa: S101 - it was looked at before
        numbers = op.constant(np.arange(classes, dtype=np.int64).reshape(1, -1, 1, 1))
        return op.ArgMax(self.logits, axis=1, keepdims=1).equals(numbers)

    def second(self, seen: Value) -> Value:
        """The largest logit but that of the class that is seen, (N, 1, h, w)."""
        op = self.logits.tape
        others = op.Where(seen, op.number(LOWEST, self.logits), self.logits)
        return op.GatherElements(self.logits, op.ArgMax(others, axis=1, keepdims=1), axis=1)


class Region:
    """Where scores are added up: input `region` (N, H, W) of any resolution, which may be left out."""

    def __init__(self, places: Places, picture: Value) -> None:
        self.places, logits = places, places.logits
        op, shape = logits.tape, logits.shape or (None,) * 4
        dims = _region_dims((picture.shape or (None,))[0])
        given = op.add_input(REGION, np.float32, dims, default=np.full((1, 1, 1), WHOLE))
        one = op.Slice(logits, op.ints(0), op.ints(1), op.ints(1))
        self.given = _a_row_each(_fitted(given, shape, logits), picture, like=one)
        self.is_left_out = self.given < 0.0

    def scores(self) -> Value:
        """(N, C): Σ region · logits; where no region is given, over the class's own, of its lead over the others."""
        op, logits = self.given.tape, self.places.logits
        seen = self.places.seen()
        weights = op.Where(self.is_left_out, op.Cast(seen, to=1), self.given)
        weights = weights if logits.dtype == np.float32 else op.CastLike(weights, logits)
        if not self.places.is_plain:
            logits = logits - op.Where(self.is_left_out, self.places.second(seen), op.number(0.0, logits))
        return op.ReduceSum(logits * weights, op.ints(2, 3), keepdims=0)

    def scores_of_groups(self, groups: Sequence[Sequence[int]], scores: Value) -> Value | None:
        """(N, G): over a group's own region the lead of its best class over the best outside; None: the classes' sums.

        The classes' own leads are over one another as well, so that what they have in common would not count.
        """
        op, columns = self.given.tape, []
        if self.places.is_plain:
            return None
        for group in groups:
            added_up = op.ReduceSum(_columns(scores, group), op.ints(1), keepdims=1)
            columns.append(op.Where(self._is_left_out_of_all(), self._lead(group), added_up))
        return op.Concat(*columns, axis=1) if len(columns) > 1 else columns[0]

    def _is_left_out_of_all(self) -> Value:
        """(N, 1): a region is given for a whole picture, or not."""
        op = self.given.tape
        first = op.Slice(self.given, op.ints(0, 0), op.ints(1, 1), op.ints(2, 3))
        return op.Squeeze(first, op.ints(2, 3)) < 0.0

    def _lead(self, group: Sequence[int]) -> Value:
        """Σ max(best of the group − best of the others, 0), (N, 1)."""
        op, logits = self.given.tape, self.places.logits
        count = (logits.shape or (0, 0))[1]
        others = [index for index in range(count if isinstance(count, int) else 0) if index not in group]
        lead = op.ReduceMax(_columns(logits, group), op.ints(1), keepdims=0)
        lead = lead - op.ReduceMax(_columns(logits, others), op.ints(1), keepdims=0) if others else lead
        return op.Unsqueeze(op.ReduceSum(op.Relu(lead), op.ints(1, 2), keepdims=0), op.ints(1))


def _columns(table: Value, indices: Sequence[int]) -> Value:
    """Some of axis 1."""
    return table.tape.Gather(table, table.tape.ints(*indices), axis=1)


def _fitted(given: Value, shape: Sequence[Dim], logits: Value) -> Value:
    """The region at the logits' resolution, (·, 1, h, w), bilinear."""
    op, sides = given.tape, [n for n in shape[2:] if isinstance(n, int)]
    size = op.ints(*sides) if len(sides) == 2 else op.Shape(logits, start=2)
    sizes = op.Concat(op.Shape(given, start=0, end=1), op.ints(1), size, axis=0)
    return op.Resize(op.Unsqueeze(given, op.ints(1)), None, None, sizes, mode="linear")


def _a_row_each(given: Value, picture: Value, *, like: Value) -> Value:
    """What may be there once for all images, for each of them."""
    op = given.tape
    rows = op.Expand(given, op.Concat(op.Shape(picture, start=0, end=1), op.ints(1, 1, 1), axis=0))
    op.note_shape(rows, like)
    return rows


def _region_dims(batch: Dim) -> list[Dim]:
    """Symbols, so that the default of a single place is a valid one; the pictures' own, for there is a row for each."""
    return [batch if isinstance(batch, str) else None, "region_height", "region_width"]
