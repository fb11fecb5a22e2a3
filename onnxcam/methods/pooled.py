"""Layers of which nothing but the mean over their places goes on to the score, as in most convolutional nets."""

from __future__ import annotations

from math import prod

from onnxcam.graph import Node, Value, between
from onnxcam.layer import Layer
from onnxcam.question import Question


def mean_of(question: Question, layer: Layer) -> Value | None:
    """The mean over all places of the layer, if the score hangs on nothing else of it; None elsewhere."""
    value = question.tape.value(layer.tensor)
    uses = [node for node in between(question.tape, {value}, question.scores.values) if value in node.reads]
    if len(uses) != 1 or not _is_mean(uses[0], layer) or not _is_grid_alone(value, layer):
        return None
    return uses[0].output


def _is_mean(node: Node, layer: Layer) -> bool:
    if node.op_type == "ReduceMean":
        axes = node.optional(1)
        found = None if axes is None else axes.constant
        space = {i for i, letter in enumerate(layer.layout) if letter in "BDHWT"}  # B, images too: of those no mean
        return found is not None and {int(n) % len(layer.layout) for n in found} == space
    if layer.layout != "NCHW":
        return False
    kernel, pads = node.attributes.get("kernel_shape"), node.attributes.get("pads", [])
    is_whole_pool = node.op_type == "AveragePool" and list(kernel or []) == list(layer.grid) and not any(pads)
    return node.op_type == "GlobalAveragePool" or is_whole_pool


def _is_grid_alone(value: Value, layer: Layer) -> bool:
    """Whether there are no tokens beside those of the grid."""
    tokens = [n for n, letter in zip(value.shape or (), layer.layout, strict=False) if letter == "T"]
    return tokens in ([], [prod(n for n in layer.grid if isinstance(n, int))])
