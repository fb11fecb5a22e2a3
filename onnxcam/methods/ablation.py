"""Ablation-CAM: the model's tail once more without each of the layer's channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from onnxcam.graph import Value
from onnxcam.layer import Layer
from onnxcam.methods.pooled import layout_of_mean, mean_of
from onnxcam.methods.reruns import Variants, beside, counted, merged, scores_of, size_at, spread
from onnxcam.methods.table import method_of_question
from onnxcam.question import Question

SOURCE = "Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360"
# Of pytorch-grad-cam: how far below all others a channel is put, and how many are ablated at once by default.
STEP, BATCH = 1e7, 32
# A score below it is no more divided by: all weights would be infinite.
LEAST_SCORE = 1e-12

# From the numbers of channels, (R,), and the layout of what they are taken from to what they become there.
Filling: TypeAlias = Callable[[Value, str], Value]
# From the layer's tensor and its layout to that.
Fill: TypeAlias = Callable[[Value, str], Filling]


@method_of_question("ablationcam", source=SOURCE, needs_gradient=False)
def ablationcam(question: Question) -> list[Value]:
    """Channels weighted by the share of the score that is lost when they are set to zero: w = (y − y_c) / |y|.

    The paper divides by y: of a score below zero that turns the map around, and the channels that speak against a class
    would be shown.
    """
    op = question.tape
    size = op.Max(op.Abs(_score(question)), LEAST_SCORE)
    return [_map(question, layer, _zero, size) for layer in question.layers]


@method_of_question("ablationcam", source=SOURCE, needs_gradient=False, like="pytorch-grad-cam")
def ablationcam_pytorch_grad_cam(question: Question) -> list[Value]:
    """Ablation-CAM where a layer with values below zero has its channels sunk far below them, ever deeper in a batch.

    What is 1e7 below the least value is part of the tensor that the next channel's least value is taken of: the k-th
    channel of a batch of 32 becomes min − k · 1e7.
    """
    return [_map(question, layer, _sunk, _score(question)) for layer in question.layers]


def _score(question: Question) -> Value:
    score = question.selection.score
    return score if score.dtype == np.float32 else question.tape.Cast(score, to=1)


def _map(question: Question, layer: Layer, fill: Fill, divisor: Value) -> Value:
    """(M, h, w)."""
    op, a = question.tape, question.on_grid(question.tape.value(layer.tensor), layer)
    left = scores_of(question, _without_channels(question, layer, fill))
    w = (op.Unsqueeze(_score(question), op.ints(2)) - left) / op.Unsqueeze(divisor, op.ints(2))
    rows = op.MatMul(w, op.Reshape(a, op.ints(0, 0, -1)))
    return op.Reshape(rows, op.Concat(op.ints(-1), op.Shape(a, start=2), axis=0))


def _without_channels(question: Question, layer: Layer, fill: Fill) -> Variants:
    """A variant for each channel. The mean without a channel is that of the layer without it, and much smaller."""
    op, whole = question.tape, question.tape.value(layer.tensor)
    mean = mean_of(question, layer)
    value, layout = (whole, layer.layout) if mean is None else (mean, layout_of_mean(mean, layer))
    count = size_at(value, layout.index("C"))
    filling, channels = fill(whole, layer.layout), counted(op, count)

    def make(numbers: Value) -> Mapping[Value, Value]:
        place = numbers.tape
        is_gone = spread(place.Equal(channels, place.Unsqueeze(numbers, place.ints(1))), "RC", layout)
        variants = place.Where(is_gone, filling(numbers, layout), beside(value, layout, place))
        return {value: merged(variants, value, layout)}

    return Variants([value], count, make)


def _zero(value: Value, _: str) -> Filling:
    """As in the paper."""
    return lambda numbers, _: numbers.tape.number(0.0, value)


def _sunk(value: Value, layout: str) -> Filling:
    """As in pytorch-grad-cam: nought where nothing is below it."""
    op = value.tape
    least = op.ReduceMin(value, op.ints(*(i for i, letter in enumerate(layout) if letter != "N")), keepdims=0)

    def filling(numbers: Value, layout: str) -> Value:
        place = numbers.tape
        turn = place.Mod(numbers, place.number(BATCH, numbers), fmod=1) + 1.0
        depth = turn if value.dtype == np.float32 else place.CastLike(turn, value)
        low = spread(least, "N", layout)
        return place.Where(place.Equal(low, 0.0), low, place.Sub(low, spread(depth * STEP, "R", layout)))

    return filling
