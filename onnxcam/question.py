"""What one explanation asks, while its graph is built: which score, at which layers, of which rows.

The model runs once for N images. Its explanation has M rows: an image for each of its targets. What lies above the
tensors that a method starts from is run again for the rows; with one target an image there is nothing to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from onnxcam.autodiff import RULES, Rule, differentiate, obstacle
from onnxcam.columns import Columns, columns_of
from onnxcam.graph import Tape, Value, descendants, replay
from onnxcam.layer import Layer
from onnxcam.layouts import Followed
from onnxcam.places import channels_first, heads_apart, looks
from onnxcam.repetition import Repeats, repeat_rows, rerun_on_repeats
from onnxcam.scores import Scores, Selection, Term
from onnxcam.seeds import at_scores, cotangents

# A map does not change with the scale of its gradients, but float16 gradients below 6e-8 are lost.
FLOAT16_SEED_SCALE = 256.0


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked, and the ways to an answer.

    Attributes:
        tape: the model, which grows.
        picture: its input.
        scores: what can be explained.
        layers: where.
        selection: what the target picks, (N, K).
        starts: the tensors that the method starts from: what lies above them is there for each row.
        count: K, int64 [1]; None where each image has one target.
    """

    tape: Tape
    picture: Value
    scores: Scores
    layers: tuple[Layer, ...]
    selection: Selection
    starts: tuple[Value, ...]
    count: Value | None = None

    # the N images

    @cached_property
    def once(self) -> list[Value]:
        """The layers' tensors of the N images, as the model lays them out."""
        return [self.tape.value(layer.tensor) for layer in self.layers]

    @cached_property
    def activations_once(self) -> list[Value]:
        """The same as float32 (N, C, h, w)."""
        return [self.on_grid(value, layer) for value, layer in zip(self.once, self.layers, strict=True)]

    def for_rows(self, value: Value) -> Value:
        """(N, …) → (M, …): what is the same for all targets of an image."""
        return value if self.count is None else repeat_rows(value, self.count)

    # the M rows

    @cached_property
    def _repeated(self) -> dict[Value, Value]:
        """From tensors of the model to those for the rows."""
        if self.count is None:
            return {}
        with self.tape.named("repeated"):
            return rerun_on_repeats(self.tape, list(self.starts), self.scores.values, self.picture, count=self.count)

    def rows_of(self, value: Value) -> Value:
        """A tensor of the model that lies above the starts, or is one, for the rows: (M, …)."""
        return self._repeated.get(value, value)

    @property
    def values(self) -> Value:
        """The scores of each row, (M, S)."""
        return self.rows_of(self.scores.values)

    @cached_property
    def terms(self) -> list[Term]:
        """Columns and signs of what is explained, (M, 1) each."""
        op = self.tape
        if self.count is None:
            return list(self.selection.terms)
        return [
            Term(op.Reshape(term.column, op.ints(-1, 1)), op.Reshape(term.sign, op.ints(-1, 1)))
            for term in self.selection.terms
        ]

    @cached_property
    def score(self) -> Value:
        """What is explained, (M,)."""
        return self.score_of(self.values)

    def score_of(self, values: Value) -> Value:
        """What the targets pick of other scores: (M, S) → (M,)."""
        op = self.tape
        parts = [op.GatherElements(values, term.column, axis=1) * term.sign for term in self.terms]
        return op.Squeeze(sum(parts[1:], parts[0]), op.ints(1))

    def values_with(self, replaced: Mapping[Value, Value]) -> Value:
        """The scores, (M, S), if tensors of the model were others for the rows: (M, …).

        Raises:
            NotRepeatable: if control flow goes into what is run again.
        """
        return replay(self.tape, replaced, self.scores.values, self._beside)[self.scores.values]

    def _beside(self, value: Value) -> Value:
        """What comes in from beside what is replaced, for the rows."""
        if self.count is None or value in self._repeated:
            return self.rows_of(value)
        return Repeats(self.followed, self._of_picture, self.count).of(value)

    @cached_property
    def tensors(self) -> list[Value]:
        """The layers' tensors for the rows, as the model lays them out."""
        return [self.rows_of(value) for value in self.once]

    @cached_property
    def activations(self) -> list[Value]:
        """The layers' activations, float32 (M, C, h, w)."""
        return [self.on_grid(value, layer) for value, layer in zip(self.tensors, self.layers, strict=True)]

    @cached_property
    def gradients(self) -> list[Value]:
        """The gradients of the score at the layers, float32 (M, C, h, w)."""
        found = self.differentiate(None, self.tensors)
        return [self.on_grid(value, layer) for value, layer in zip(found, self.layers, strict=True)]

    def differentiate(self, of: Value | None, wrt: Sequence[Value], rules: Mapping[str, Rule] = RULES) -> list[Value]:
        """The gradient with respect to each of `wrt`, tensors for the rows, in their shapes.

        Args:
            of: (M,), one number a row; None: the score.
            wrt: tensors above the starts, as `rows_of` gives them.
            rules: how to walk back.

        Raises:
            NoPathToScore, NoGradientRule: if one of them has no gradient.
        """
        scale = self._seed_scale(of)
        seeds = self._seeds(of, scale, is_plain=rules is RULES)
        found = self._walk(seeds, wrt, rules, end=self.values if of is None else of)
        return found if scale == 1.0 else [self._unscaled(gradient, scale) for gradient in found]

    def relevance(self, wrt: Sequence[Value], rules: Mapping[str, Rule]) -> list[Value]:
        """The relevance of each of `wrt` in its shape: what is shared out is the score itself, each of its terms.

        Args:
            wrt: tensors above the starts, as `rows_of` gives them.
            rules: a table of layer-wise relevance propagation.

        Raises:
            NoPathToScore, NoRelevanceRule: if one of them has none.
        """
        op, values = self.tape, self.values
        parts = [Term(t.column, op.GatherElements(values, t.column, axis=1) * t.sign) for t in self.terms]
        return self._walk(at_scores(values, parts), wrt, rules, end=values)

    def _walk(
        self, seeds: Mapping[Value, Value], wrt: Sequence[Value], rules: Mapping[str, Rule], *, end: Value
    ) -> list[Value]:
        found = differentiate(seeds, wrt, rules)
        for value, gradient in zip(wrt, found, strict=True):
            if gradient is None:
                raise obstacle(value, [end])
        return [gradient for gradient in found if gradient is not None]

    def _seeds(self, of: Value | None, scale: float, *, is_plain: bool) -> dict[Value, Value]:
        values = self.values if of is None else of
        with self.tape.named("seed"):
            if of is not None:
                return {of: self.tape.Expand(self.tape.number(scale, of), self.tape.Shape(of))}
            # The way in over the rows of a dense last layer would pass over the rule that another table has for it.
            return cotangents(values, self.terms, scale) if is_plain else at_scores(values, self.terms, scale)

    def _seed_scale(self, of: Value | None) -> float:
        dtype = (self.values if of is None else of).dtype
        return FLOAT16_SEED_SCALE if dtype is not None and dtype.itemsize == 2 else 1.0

    def _unscaled(self, gradient: Value, scale: float) -> Value:
        """As float32, in which small gradients have room."""
        wide = gradient if gradient.dtype == np.float32 else self.tape.Cast(gradient, to=1)
        return wide / scale

    # the model's tail, run again

    def rerun(
        self, replaced: Mapping[Value, Value], count: Value, *, place: Tape | None = None, end: Value | None = None
    ) -> Value:
        """The scores, (N·R, S), if tensors of the model were others: all that lies above them runs again.

        Args:
            replaced: from tensors of the model to (N·R, …): the R variants of an image lie side by side.
            count: R, int64 [1].
            place: where it runs, as the body of a Scan on the model; None: in the model itself.
            end: what is asked for in place of the scores.

        Raises:
            NotRepeatable: if control flow goes into what is run again.
        """
        repeats, end = Repeats(self.followed, self._of_picture, count), end or self.scores.values
        return replay(self.tape, replaced, end, repeats.of, place=place)[end]

    def pick(self, values: Value, count: Value) -> Value:
        """The score of each target in each of R runs: (N·R, S) → (N, K, R)."""
        op = values.tape
        parted = op.Reshape(values, op.Concat(op.ints(-1), count, op.Shape(values, start=1, end=2), axis=0))
        parts = []
        for term in self.selection.terms:
            sizes = op.Concat(op.ints(1), count, op.ints(1), axis=0)
            column = op.Expand(op.Unsqueeze(term.column, op.ints(1)), sizes)
            parts.append(op.GatherElements(parted, column, axis=2) * op.Unsqueeze(term.sign, op.ints(1)))
        return op.Transpose(sum(parts[1:], parts[0]), perm=[0, 2, 1])

    @cached_property
    def columns(self) -> Columns | None:
        """What the targets read of the last linear layer; None where the scores are not of its outputs one by one."""
        return columns_of(self.tape, self.scores.values, self.selection.terms)

    @cached_property
    def followed(self) -> Followed:
        """What the axes of the model's tensors are."""
        return Followed(self.tape, self.picture)

    @cached_property
    def _of_picture(self) -> set[Value]:
        return descendants(self.tape, self.picture)

    def on_grid(self, value: Value, layer: Layer) -> Value:
        """A tensor laid out as the layer's, as float32 (·, C, h, w); of attention what each head looks at."""
        layout = layer.layout
        if "Q" in layout:
            value, layout = looks(heads_apart(value, layer.heads), layer.prefix), "NCT"
        return channels_first(value, layout, grid=layer.grid, prefix=layer.prefix, order=layer.order)
