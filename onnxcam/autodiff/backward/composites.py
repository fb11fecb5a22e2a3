"""Tables for layer-wise relevance propagation: one rule for all linear layers, or one for each kind and place.

The composites are those of zennit (Anders et al. 2021), with its defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from onnxcam.autodiff.backward import relevance
from onnxcam.autodiff.backward.layers import CONVOLUTIONS, LINEAR, is_linear_layer, layer_of
from onnxcam.autodiff.backward.merging import with_merged_layers
from onnxcam.autodiff.backward.passing import passing_rules, refusing
from onnxcam.autodiff.backward.relevance import STABILIZER, Bound, Epsilon, LayerRule
from onnxcam.autodiff.backward.selfgated import with_activations
from onnxcam.autodiff.backward.shifting import shifting_rules
from onnxcam.autodiff.backward.table import BackwardTable
from onnxcam.autodiff.registry import Rule, RuleFunction
from onnxcam.graph import Node, Value

GAMMA = 0.25
ZENNIT = "composite of Montavon et al. 2019, as in zennit (Anders et al. 2021)"


def relevance_table(
    name: str,
    summary: str,
    *,
    source: str,
    dense: LayerRule,
    convolution: LayerRule | None = None,
    first_dense: LayerRule | None = None,
    first_convolution: LayerRule | None = None,
    stabilizer: float = STABILIZER,
) -> BackwardTable:
    """Layer-wise relevance propagation by rules for linear layers.

    Args:
        name: how errors call it.
        summary: one line.
        source: the paper.
        dense: for Gemm and MatMul.
        convolution: for Conv and ConvTranspose; None: as for the dense ones.
        first_dense: for dense layers with no linear layer between them and the model's inputs; None: no exception.
        first_convolution: likewise for convolutions.
        stabilizer: ε of sums and pools.
    """
    places = Places(dense, first_dense or dense, convolution or dense, first_convolution or convolution or dense)
    rules = {
        **passing_rules(name, stabilizer),
        **shifting_rules(places.divide_by, stabilizer),
        **dict.fromkeys(LINEAR, Rule(_by_place(name, places))),
    }
    return BackwardTable(name, summary, source, rules, _canonical, refusing(name))


def uniform(name: str, summary: str, source: str, *, rule: LayerRule) -> BackwardTable:
    """One rule for all linear layers."""
    return relevance_table(name, summary, source=source, dense=rule)


def epsilon_plus(epsilon: float = STABILIZER, stabilizer: float = STABILIZER) -> BackwardTable:
    """z-plus for convolutions, ε for dense layers."""
    return relevance_table(
        "lrp-epsilon-plus",
        "LRP, EpsilonPlus: z-plus for convolutions, epsilon for dense layers.",
        source=ZENNIT,
        dense=relevance.epsilon(epsilon),
        convolution=relevance.z_plus(stabilizer),
        stabilizer=stabilizer,
    )


def epsilon_plus_flat(epsilon: float = STABILIZER, stabilizer: float = STABILIZER) -> BackwardTable:
    """Flat for the first layer, z-plus for other convolutions, ε for other dense layers."""
    first = relevance.flat(stabilizer)
    return relevance_table(
        "lrp-epsilon-plus-flat",
        "LRP, EpsilonPlusFlat: as lrp-epsilon-plus, but the first layer shares equally among its inputs.",
        source=ZENNIT,
        dense=relevance.epsilon(epsilon),
        convolution=relevance.z_plus(stabilizer),
        first_dense=first,
        first_convolution=first,
        stabilizer=stabilizer,
    )


def epsilon_alpha2_beta1(epsilon: float = STABILIZER, stabilizer: float = STABILIZER) -> BackwardTable:
    """α2β1 for convolutions, ε for dense layers."""
    return relevance_table(
        "lrp-epsilon-alpha2beta1",
        "LRP, EpsilonAlpha2Beta1: alpha 2, beta 1 for convolutions, epsilon for dense layers.",
        source=ZENNIT,
        dense=relevance.epsilon(epsilon),
        convolution=relevance.alpha_beta(2.0, 1.0, stabilizer=stabilizer),
        stabilizer=stabilizer,
    )


def epsilon_alpha2_beta1_flat(epsilon: float = STABILIZER, stabilizer: float = STABILIZER) -> BackwardTable:
    """Flat for the first layer, α2β1 for other convolutions, ε for other dense layers."""
    first = relevance.flat(stabilizer)
    return relevance_table(
        "lrp-epsilon-alpha2beta1-flat",
        "LRP, EpsilonAlpha2Beta1Flat: as lrp-epsilon-alpha2beta1, but the first layer shares equally.",
        source=ZENNIT,
        dense=relevance.epsilon(epsilon),
        convolution=relevance.alpha_beta(2.0, 1.0, stabilizer=stabilizer),
        first_dense=first,
        first_convolution=first,
        stabilizer=stabilizer,
    )


def epsilon_gamma_box(
    low: Bound | None = None,
    high: Bound | None = None,
    *,
    epsilon: float = STABILIZER,
    gamma: float = GAMMA,
    stabilizer: float = STABILIZER,
) -> BackwardTable:
    """z-box for the first convolution, γ for the others, ε for dense layers.

    Args:
        low: the least that the first convolution's input can be, (0 − mean)/std for normalised pixels: a number or one
            for each channel; None: the least in each channel of the image at hand.
        high: likewise the most, (1 − mean)/std.
        epsilon: ε of the dense layers.
        gamma: γ of the convolutions.
        stabilizer: ε of all else.
    """
    return relevance_table(
        "lrp-epsilon-gamma-box",
        "LRP, EpsilonGammaBox: z-box first (between the image's own least and most), gamma for other convolutions, "
        "epsilon for dense layers.",
        source=ZENNIT,
        dense=relevance.epsilon(epsilon),
        convolution=relevance.gamma(gamma, stabilizer),
        first_convolution=relevance.z_box(low, high, stabilizer=stabilizer),
        stabilizer=stabilizer,
    )


def _canonical(nodes: Sequence[Node], kept: Collection[Value]) -> list[Node]:
    """Activations as one node, and linear layers with what scales and shifts their outputs."""
    return with_merged_layers(with_activations(nodes, kept), kept)


@dataclass(frozen=True, slots=True)
class Places:
    """Which rule each linear layer has."""

    dense: LayerRule
    first_dense: LayerRule
    convolution: LayerRule
    first_convolution: LayerRule

    def rule_at(self, node: Node) -> LayerRule:
        is_first = not any(layers_before(node.reads, is_linear_layer))
        if node.op_type in CONVOLUTIONS:
            return self.first_convolution if is_first else self.convolution
        return self.first_dense if is_first else self.dense

    def divide_by(self, x: Value) -> bool:
        """Whether a layer right before x shares relevance by quotients R/z; products of two tensors all do."""
        nodes = layers_before([x], lambda node: node.op_type in LINEAR)
        return any(not is_linear_layer(node) or isinstance(self.rule_at(node), Epsilon) for node in nodes)


def _by_place(table: str, places: Places) -> RuleFunction:
    def share(r: Value, node: Node) -> list[Value | None]:
        layer = layer_of(node, table)
        found = places.rule_at(node)(r, layer)
        return [found] if layer.place == 0 else [None, found]

    return share


def layers_before(values: Iterable[Value], is_layer: Callable[[Node], bool]) -> Iterator[Node]:
    """The last layers on all ways from the model's inputs to the values."""
    pending = list(values)
    seen = set(pending)
    while pending:
        node = pending.pop().producer
        if node is None or node.op_type == "Shape":  # how many rows there are may be counted at the net's other end
            continue
        if is_layer(node):
            yield node
            continue
        pending.extend(node.reads - seen)
        seen |= node.reads
