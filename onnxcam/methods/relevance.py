"""Layer-wise relevance propagation: the score shared out, layer by layer, down to the pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from onnxcam.autodiff.backward import BackwardTable, composites, relevance, rules_named, transformers, uniform
from onnxcam.autodiff.backward.relevance import STABILIZER
from onnxcam.errors import InvalidOption
from onnxcam.graph import Tape, Value, between
from onnxcam.layouts import find_picture, picture_layout
from onnxcam.methods.pixels import as_float32, method_of_pixels
from onnxcam.preprocessing import Preprocessing
from onnxcam.question import Question
from onnxcam.ranges import NotNegative, Positive
from onnxcam.scores import Scores

BACH = "Bach et al. 2015, doi:10.1371/journal.pone.0130140"
MONTAVON = "Montavon et al. 2019, doi:10.1007/978-3-030-28954-6_10"
KOHLBRENNER = "Kohlbrenner et al. 2020, arXiv:1910.09840"
ATTNLRP = "Achtibat et al. 2024, arXiv:2402.05602"
STABILIZER_OF_CAPTUM = 1e-9
BOX = "lrp-epsilon-gamma-box"
# What only the table for transformers has rules for.
OF_TRANSFORMERS = frozenset(("Softmax", "LayerNormalization"))
CONVOLUTIONS = frozenset(("Conv", "ConvInteger", "QLinearConv", "DeformConv"))
# What may stand between the picture and the first linear layer if bounds of the one are to hold for the other.
CARRYING = frozenset("Cast Identity Transpose Reshape Squeeze Unsqueeze Pad".split())
Composite = Literal[
    "epsilon", "gamma", "epsilon-plus", "epsilon-plus-flat", "epsilon-alpha2beta1", "epsilon-alpha2beta1-flat",
    "epsilon-gamma-box", "attention",
]  # fmt: skip


def shared(question: Question, table: BackwardTable) -> Value:
    """The relevance of the picture, float32 (M, …): its sum is the score, but for what biases and ε absorb."""
    (found,) = question.relevance(question.tensors[-1:], table)
    return as_float32(found)


def suiting(tape: Tape, scores: Scores, given: Mapping[str, Any], _: Preprocessing | None) -> dict[str, Any]:
    """The options, with the composite that suits the net."""
    picture = find_picture(tape)
    nodes = [] if picture is None else between(tape, {picture}, scores.values)
    found = {node.op_type for node in nodes}
    # A dense first layer sees all pixels: shared out equally, the score would be the same everywhere.
    of_pixels = "epsilon-plus-flat" if found & CONVOLUTIONS else "epsilon"
    return {"composite": of_pixels if found.isdisjoint(OF_TRANSFORMERS) else "attention", **given}


@method_of_pixels("lrp", source=f"{KOHLBRENNER}; {ATTNLRP}", channels="sum", complete=suiting)
def lrp(question: Question, *, composite: Composite = "epsilon-plus-flat") -> Value:
    """The score shared out to the pixels by the rules that suit the net: of transformers, or of convolutional ones."""
    return shared(question, rules_named(f"lrp-{composite}"))


@method_of_pixels("lrp-epsilon", source=BACH, channels="sum")
def lrp_epsilon(question: Question, *, epsilon: Positive = STABILIZER) -> Value:
    """The score shared out by each input's part in what it was added to."""
    table = uniform("lrp-epsilon", "", BACH, rule=relevance.epsilon(epsilon))
    return shared(question, table)


@method_of_pixels("lrp-epsilon", source=BACH, channels="sum", like="captum")
def lrp_epsilon_of_captum(question: Question, *, epsilon: Positive = STABILIZER_OF_CAPTUM) -> Value:
    """The score shared out by each input's part in what it was added to, with Captum's smaller ε."""
    return lrp_epsilon(question, epsilon=epsilon)


@method_of_pixels("lrp-gamma", source=MONTAVON, channels="sum")
def lrp_gamma(question: Question, *, gamma: NotNegative = composites.GAMMA) -> Value:
    """The score shared out as by lrp-epsilon, but what pushes a number its own way counts 1 + γ."""
    return shared(question, uniform("lrp-gamma", "", MONTAVON, rule=relevance.gamma(gamma)))


@method_of_pixels("lrp-epsilon-plus", source=KOHLBRENNER, channels="sum")
def lrp_epsilon_plus(question: Question, *, epsilon: Positive = STABILIZER) -> Value:
    """LRP with z-plus for convolutions, ε for dense layers."""
    return shared(question, composites.epsilon_plus(epsilon))


@method_of_pixels("lrp-epsilon-plus-flat", source=KOHLBRENNER, channels="sum")
def lrp_epsilon_plus_flat(question: Question, *, epsilon: Positive = STABILIZER) -> Value:
    """LRP with z-plus for convolutions, ε for dense layers; the first layer shares equally among its inputs."""
    return shared(question, composites.epsilon_plus_flat(epsilon))


@method_of_pixels("lrp-epsilon-alpha2beta1", source=KOHLBRENNER, channels="sum")
def lrp_epsilon_alpha2beta1(question: Question, *, epsilon: Positive = STABILIZER) -> Value:
    """LRP with α2β1 for convolutions, which shows what argues against the class too, ε for dense layers."""
    return shared(question, composites.epsilon_alpha2_beta1(epsilon))


@method_of_pixels("lrp-epsilon-alpha2beta1-flat", source=KOHLBRENNER, channels="sum")
def lrp_epsilon_alpha2beta1_flat(question: Question, *, epsilon: Positive = STABILIZER) -> Value:
    """LRP with α2β1 for convolutions, ε for dense layers; the first layer shares equally among its inputs."""
    return shared(question, composites.epsilon_alpha2_beta1_flat(epsilon))


def bounded(tape: Tape, _: Scores, given: Mapping[str, Any], spec: Preprocessing | None) -> dict[str, Any]:
    """The options, with the least and the most that a prepared pixel can be where that is known.

    Raises:
        InvalidOption: for bounds that no pixel lies between, or more of them than the picture has channels.
    """
    found = dict(given)
    if spec is not None and _goes_straight_in(tape):
        ends = [[(level * spec.scale - m) / s for m, s in zip(spec.mean, spec.std, strict=True)] for level in (0, 255)]
        low, high = (tuple(f(pair) for pair in zip(*ends, strict=True)) for f in (min, max))
        found = {"low": low, "high": high, **given}
    channels = _channels(tape)
    for name in ("low", "high"):
        bound = found.get(name)
        if bound is not None and channels is not None and len(bound) not in (1, channels):
            raise InvalidOption(BOX, name, bound, f"must be a number, or one for each of the {channels} channels")
    _check_order(found.get("low"), found.get("high"))
    return found


def _channels(tape: Tape) -> int | None:
    """How many the picture has, where that is known."""
    picture = find_picture(tape)
    layout = None if picture is None else picture_layout(picture)
    count = None if picture is None or layout is None else (picture.shape or ())[layout.index("C")]
    return count if isinstance(count, int) else None


def _check_order(low: tuple[float, ...] | None, high: tuple[float, ...] | None) -> None:
    """Refuses a least that is above the most."""
    if low is None or high is None:
        return
    count = max(len(low), len(high))
    pairs = zip(low * (count // len(low)), high * (count // len(high)), strict=False)
    if any(a > b for a, b in pairs):
        raise InvalidOption(BOX, "low", low, f"must be at most high, {high}")


def _goes_straight_in(tape: Tape) -> bool:
    """Whether nothing changes the pixels before the first linear layer, as preprocessing within the model would."""
    picture = find_picture(tape)
    carried = {picture}
    for node in tape.nodes:
        if carried.isdisjoint(node.inputs) or node.op_type in ("Shape", "Size"):
            continue
        if node.op_type in CARRYING:
            carried.update(node.outputs)
        elif node.op_type != "Conv":
            return False
    return True


@method_of_pixels(BOX, source=MONTAVON, channels="sum", complete=bounded)
def lrp_epsilon_gamma_box(
    question: Question,
    *,
    epsilon: Positive = STABILIZER,
    gamma: NotNegative = composites.GAMMA,
    low: tuple[float, ...] | None = None,
    high: tuple[float, ...] | None = None,
) -> Value:
    """LRP with z-box for the first convolution, γ for the others, ε for dense layers.

    `low` and `high`: the least and the most that a prepared pixel can be, a number or one for each channel; where
    nobody says and the preprocessing is unknown, those of the picture at hand.
    """
    return shared(question, composites.epsilon_gamma_box(_bound(low), _bound(high), epsilon=epsilon, gamma=gamma))


def _bound(numbers: tuple[float, ...] | None) -> float | tuple[float, ...] | None:
    return numbers[0] if numbers is not None and len(numbers) == 1 else numbers


@method_of_pixels("lrp-attention", source=ATTNLRP, channels="sum")
def lrp_attention(question: Question, *, epsilon: Positive = STABILIZER, gamma: NotNegative = 0.0) -> Value:
    """AttnLRP, for transformers; linear layers by ε, or by γ where `gamma` is more than 0."""
    rule = relevance.gamma(gamma, epsilon) if gamma > 0.0 else relevance.epsilon(epsilon)
    return shared(question, transformers(rule, stabilizer=epsilon))
