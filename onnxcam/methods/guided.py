"""Guided backpropagation, DeconvNet and guided Grad-CAM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from onnxcam.autodiff import RULES
from onnxcam.autodiff.backward import BackwardTable, rules_named
from onnxcam.autodiff.backward.guided import is_relu, is_smooth_activation
from onnxcam.autodiff.backward.selfgated import with_activations
from onnxcam.enlarging import in_blocks, resize
from onnxcam.errors import OneLayerOnly
from onnxcam.graph import Tape, Value, between
from onnxcam.layer import Layer
from onnxcam.layouts import find_picture, space_size
from onnxcam.methods.finding import explainable, of_picture
from onnxcam.methods.gradient import gradcam
from onnxcam.methods.pixels import as_float32, method_of_pixels
from onnxcam.question import Question
from onnxcam.scores import Scores

GUIDED = "Springenberg et al. 2015, arXiv:1412.6806"
DECONVNET = "Zeiler and Fergus 2014, arXiv:1311.2901"
GRADCAM = "Selvaraju et al. 2017, arXiv:1610.02391"
NESTING = ("If", "Loop", "Scan")
SMOOTH_WAY = "of its smooth activations --method guided-backprop --option smooth=true lets only the positive part go on"
Interpolation = Literal["bilinear", "nearest"]
# What PyTorch's libraries leave alone, for it is no module of the class nn.ReLU.
OTHER_RELUS = ("LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Clip")


def without_relus(tape: Tape, scores: Scores, options: Mapping[str, Any]) -> list[str]:
    """That the method does nothing on a net without ReLUs."""
    return _told(tape, scores, options, others=())


def without_plain_relus(tape: Tape, scores: Scores, options: Mapping[str, Any]) -> list[str]:
    """Likewise where ReLU6, LeakyReLU and so on are none."""
    return _told(tape, scores, options, others=OTHER_RELUS)


def _told(tape: Tape, scores: Scores, options: Mapping[str, Any], *, others: Sequence[str]) -> list[str]:
    picture = find_picture(tape)
    nodes = [] if picture is None else between(tape, {picture}, scores.values)
    if any(node.op_type in NESTING for node in nodes):
        return []  # what lies within is not looked at
    found = with_activations(nodes, ())
    smooth = [node for node in found if is_smooth_activation(node)]
    is_smooth = bool(options.get("smooth"))
    if any(is_relu(node) and node.op_type not in others for node in found) or (smooth and is_smooth):
        return []
    why = "no ReLU or smooth activation" if is_smooth else "no plain ReLU" if others else "no ReLU"
    way = f"; {SMOOTH_WAY}" if smooth and not is_smooth else ""
    return [f"{why} lies between picture and score: what is guided here is the plain gradient, as of saliency{way}"]


@method_of_pixels("guided-backprop", source=GUIDED, channels="maximum", tell=without_relus)
def guided_backprop(question: Question, *, smooth: bool = False) -> Value:
    """The gradient, of which each ReLU lets only the positive part go on; with `smooth` GELU, SiLU and so on too."""
    return walked(question, rules_named("guided-smooth" if smooth else "guided"))


@method_of_pixels("deconvnet", source=DECONVNET, channels="maximum", tell=without_relus)
def deconvnet(question: Question) -> Value:
    """The gradient with ReLUs that let what is positive go on, whatever they had been given."""
    return walked(question, rules_named("deconvnet"))


def walked(question: Question, table: BackwardTable) -> Value:
    """What the table makes of the score at the picture, float32 (M, …)."""
    (found,) = question.differentiate(None, question.tensors[-1:], table)
    return as_float32(found)


def layer_and_picture(tape: Tape, scores: Scores, wanted: Sequence[str] | None) -> tuple[Layer, ...]:
    """The layer of that name, or the default one, and the picture.

    Raises:
        OneLayerOnly: if several are asked for.
    """
    found = explainable(tape, scores, wanted)
    if wanted and len(found) > 1:
        raise OneLayerOnly("guided-gradcam", wanted)
    return (*found[:1], *of_picture(tape, scores, None))


@method_of_pixels("guided-gradcam", source=GRADCAM, channels="maximum", find=layer_and_picture, tell=without_relus)
def guided_gradcam(question: Question, *, interpolation: Interpolation = "bilinear", smooth: bool = False) -> Value:
    """Guided backpropagation times the layer's Grad-CAM: fine as the one, of one class as the other."""
    return guided_backprop(question, smooth=smooth) * _gradcam_of_picture(question, interpolation)


def _gradcam_of_picture(question: Question, interpolation: str) -> Value:
    """The positive part of Grad-CAM, enlarged, with the axes of the picture's tensor."""
    tensor, op = question.tensors[0], question.tape
    (g,) = question.differentiate(None, [tensor])
    layer, picture = question.layers[0], question.layers[-1]
    raw = op.Relu(gradcam(question.on_grid(tensor, layer), question.on_grid(g, layer)))
    size = space_size(question.once[-1], picture.layout)
    enlarged = resize(raw, size) if interpolation == "bilinear" else in_blocks(raw, size)
    return op.Unsqueeze(enlarged, op.ints(picture.layout.index("C")))


# What PyTorch's libraries give under these names.


def _of_modules(table: str) -> BackwardTable:
    """The table, but that other ReLUs than Relu itself keep their derivative."""
    return rules_named(table).with_rules({op_type: RULES[op_type] for op_type in OTHER_RELUS})


@method_of_pixels("guided-backprop", source=GUIDED, channels="maximum", like="captum", tell=without_plain_relus)
@method_of_pixels(
    "guided-backprop", source=GUIDED, channels="maximum", like="pytorch-grad-cam", tell=without_plain_relus
)
def guided_backprop_of_modules(question: Question) -> Value:
    """The gradient, of which each plain ReLU lets only the positive part go on: ReLU6, LeakyReLU and so on do not."""
    return walked(question, _of_modules("guided"))


@method_of_pixels("deconvnet", source=DECONVNET, channels="maximum", like="captum", tell=without_plain_relus)
def deconvnet_of_modules(question: Question) -> Value:
    """The gradient with plain ReLUs that let what is positive go on; ReLU6, LeakyReLU and so on as in the gradient."""
    return walked(question, _of_modules("deconvnet"))


@method_of_pixels(
    "guided-gradcam",
    source=GRADCAM,
    channels="maximum",
    find=layer_and_picture,
    like="captum",
    tell=without_plain_relus,
)
def guided_gradcam_of_modules(question: Question, *, interpolation: Interpolation = "nearest") -> Value:
    """Captum's guided backpropagation times the layer's Grad-CAM, enlarged in blocks."""
    return guided_backprop_of_modules(question) * _gradcam_of_picture(question, interpolation)
