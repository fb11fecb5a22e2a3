"""Ablation-CAM: the model's tail once more without each of the layer's channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from onnxcam.graph import Value
from onnxcam.layer import Layer
from onnxcam.methods.reruns import counted, scores_of, size_at
from onnxcam.methods.table import method_of_question
from onnxcam.methods.without import without_channels, without_channels_of_frames
from onnxcam.places import frames_apart
from onnxcam.question import Question

SOURCE = "Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360"
# Of pytorch-grad-cam: how far below all others a channel is put, and how many are ablated at once by default.
STEP, BATCH = 1e7, 32
# A score below it is no more divided by: all weights would be infinite.
LEAST_SCORE = 1e-12

# From a tensor and its layout to what its channels become, to be stretched to its shape.
Fill: TypeAlias = Callable[[Value, str], Value]


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
    op, value = question.tape, question.tape.value(layer.tensor)
    parted, layout = frames_apart(value, layer.layout, layer.grid)
    filled = op.Expand(fill(parted, layout), op.Shape(parted))
    if layout == layer.layout:
        variants = without_channels(question, value, layout=layout, filled=filled)
    else:
        variants = without_channels_of_frames(value, parted, layout=layout, filled=filled)
    left = scores_of(question, variants)
    w = (op.Unsqueeze(_score(question), op.ints(2)) - left) / op.Unsqueeze(divisor, op.ints(2))
    a = question.on_grid(value, layer)
    rows = op.MatMul(w, op.Reshape(a, op.ints(0, 0, -1)))
    return op.Reshape(rows, op.Concat(op.ints(-1), op.Shape(a, start=2), axis=0))


def _zero(value: Value, _: str) -> Value:
    """As in the paper."""
    return value.tape.number(0.0, value)


def _sunk(value: Value, layout: str) -> Value:
    """As in pytorch-grad-cam: nought where nothing is below it."""
    op, others = value.tape, [[i for i, letter in enumerate(layout) if letter != axis] for axis in "NC"]
    least = op.ReduceMin(value, op.ints(*others[0]), keepdims=1)
    turn = op.Mod(counted(op, size_at(value, layout.index("C"))), op.number(BATCH, None), fmod=1)
    steps = op.Unsqueeze((turn + 1.0) * STEP, op.ints(*others[1]))
    depth = steps if value.dtype == np.float32 else op.CastLike(steps, value)
    return op.Where(least.equals(0.0), least, least - depth)
