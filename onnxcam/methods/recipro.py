"""Recipro-CAM and ViT-Recipro-CAM: the model's tail once more with all of the layer hidden but one place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from math import prod
from typing import Literal, TypeAlias

import numpy as np

from onnxcam.graph import Value, between
from onnxcam.layer import Layer
from onnxcam.layouts import Form, form_of
from onnxcam.methods.pooled import mean_of
from onnxcam.methods.reruns import Variants, beside, counted, merged, scores_of, size_at, spread
from onnxcam.methods.table import method_of_question
from onnxcam.places import as_tokens, frames_apart
from onnxcam.question import Question
from onnxcam.repetition import merge_rows

Mask: TypeAlias = Literal["auto", "one-hot", "gaussian"]
# What is left of a place at a distance d from the one that is shown, along each axis: peak − d · slope, 0 at least.
# Their products are 1 at the place alone; or 4, 2 and 1 sixteenths at the place, beside it and at the corners.
KERNELS = {"one-hot": (1.0, 1.0), "gaussian": (0.5, 0.25)}


@method_of_question(
    "reciprocam",
    source="Byun and Lee 2022, arXiv:2209.14074; for tokens 2023, arXiv:2310.02588",
    needs_gradient=False,
)
def reciprocam(question: Question, *, mask: Mask = "auto") -> list[Value]:
    """The score that each place of the layer gets by itself: all others hidden, the model's tail run again.

    `mask`: what of the layer is left: "one-hot", the place; "gaussian", the places around it too, by sixteenths;
    "auto", as in the papers: of a feature map the place, of tokens a Gaussian. Class tokens and registers stay; what
    goes around the layer to the score, as a residual sum does, is hidden with it.
    """
    return [_map(question, layer, _kernel(mask, layer)) for layer in question.layers]


def _kernel(mask: Mask, layer: Layer) -> tuple[float, float]:
    return KERNELS[("gaussian" if "T" in layer.layout else "one-hot") if mask == "auto" else mask]


def _map(question: Question, layer: Layer, kernel: tuple[float, float]) -> Value:
    """(M, h, w): the least is 0, so that scores below zero are not cut off."""
    op, places = question.tape, Places(question, layer, kernel)
    scores = scores_of(question, places.of_mean() or places.of_layer())
    raw = scores - op.ReduceMin(scores, op.ints(2), keepdims=1)
    return op.Reshape(raw, op.Concat(op.ints(-1), places.size, axis=0))


class Places:
    """The places of a layer, and masks that leave but one of them.

    Attributes:
        axes: what they are counted along, the letters of space.
        sides: how many rows and columns, each a number or an int64 scalar.
        size: the same as one int64 vector.
        count: how many places there are.
    """

    def __init__(self, question: Question, layer: Layer, kernel: tuple[float, float]) -> None:
        op, value = question.tape, question.tape.value(layer.tensor)
        self.question, self.layer, self.kernel, self.value = question, layer, kernel, value
        self.axes = "DHW"[-len(layer.grid) :]
        self.sides = [
            n if isinstance(n, int) else size_at(value, layer.layout.index(letter))
            for n, letter in zip(layer.grid, self.axes, strict=True)
        ]
        self.size = op.Concat(
            *(op.ints(n) if isinstance(n, int) else op.Reshape(n, op.ints(1)) for n in self.sides), axis=0
        )
        known = [n for n in self.sides if isinstance(n, int)]
        is_known = len(known) == len(self.sides)
        self.count = prod(known) if is_known else op.ReduceProd(self.size, keepdims=0)

    def of_mean(self) -> Variants | None:
        """The variants of the layer's mean, where only that reaches the score: smaller, and a product of matrices."""
        mean = mean_of(self.question, self.layer)
        if mean is None:
            return None
        op, a = self.question.tape, self.question.on_grid(self.value, self.layer)
        places = op.Transpose(op.Reshape(a, op.ints(0, 0, -1)), perm=[0, 2, 1])

        def make(numbers: Value) -> Mapping[Value, Value]:
            place, masks = numbers.tape, self.masks(numbers)
            share = place.Div(masks, op.Cast(op.ReduceProd(self.size, keepdims=0), to=1))
            means = place.MatMul(place.Reshape(share, place.ints(0, -1)), places)
            return {mean: merge_rows(_like(means, mean), mean)}

        return Variants([mean], self.count, make)

    def of_layer(self) -> Variants:
        """The variants of the layer, and of what goes around it."""
        layer = self.layer
        forms = {self.value: Form(layer.layout, layer.grid, layer.prefix, layer.order), **self._around()}

        def make(numbers: Value) -> Mapping[Value, Value]:
            masks = self.masks(numbers)
            return {value: _masked(value, form, masks) for value, form in forms.items()}

        return Variants(list(forms), self.count, make)

    def _around(self) -> dict[Value, Form]:
        """The tensors beside the layer, of the same places, that join what comes from it."""
        axes, scores = self.question.followed.axes, self.question.scores.values
        nodes = between(self.question.tape, {self.value}, scores)
        inside = {self.value, *(value for node in nodes for value in node.outputs)}
        beside = dict.fromkeys(x for node in nodes for x in node.inputs if x is not None and x in axes)
        forms = {x: form_of(x, axes[x]) for x in beside if x not in inside}
        return {x: form for x, form in forms.items() if form is not None and form.grid == self.layer.grid}

    def masks(self, numbers: Value) -> Value:
        """(R, h, w), what is left where one of the places is shown."""
        op, masks = numbers.tape, list[Value]()
        for axis, side in reversed(list(enumerate(self.sides))):
            length = op.number(side, numbers) if isinstance(side, int) else op.Cast(side, to=1)
            before = op.Floor((numbers + 0.5) / length)  # a GPU's quotients are only nearly exact
            others = [other + 1 for other in range(len(self.sides)) if other != axis]
            mask = self._left(numbers - before * length, side)
            masks.append(op.Unsqueeze(mask, op.ints(*others)) if others else mask)
            numbers = before
        return reduce(Value.__mul__, masks)

    def _left(self, place: Value, side: int | Value) -> Value:
        """(R, n): of each row or column, by its distance from the place."""
        op, (peak, slope) = place.tape, self.kernel
        distance = op.Abs(op.Unsqueeze(place, op.ints(1)) - counted(self.question.tape, side))
        return op.Relu(peak - distance * slope)


def _masked(value: Value, form: Form, masks: Value) -> Value:
    """(N·R, …); tokens beside the grid stay."""
    parted, layout = frames_apart(value, form.layout, form.grid)
    if "T" in layout:
        mask = spread(_of_tokens(parted, form, masks), "RDT" if "D" in layout else "RT", layout)
    else:
        mask = spread(masks, "R" + "DHW"[-len(form.grid) :], layout)
    return merged(masks.tape.Mul(beside(parted, layout, masks.tape), _like(mask, value)), value, layout)


def _of_tokens(parted: Value, form: Form, masks: Value) -> Value:
    """(R, T), or (R, D, T) where frames are apart: 1 for the tokens beside the grid."""
    op, front = masks.tape, len(parted.shape or ()) - 2
    flat, total = as_tokens(masks, form.order, front=front), (parted.shape or ())[form.layout.index("T") + front - 1]
    places = prod(n for n in form.grid[front - 1 :] if isinstance(n, int))
    rest = total - form.prefix - places if isinstance(total, int) else 0
    if not form.prefix and not rest:
        return flat
    return op.Pad(flat, op.ints(*[0] * front, form.prefix, *[0] * front, rest), 1.0)


def _like(masks: Value, value: Value) -> Value:
    return masks if value.dtype == np.float32 else masks.tape.CastLike(masks, value)
