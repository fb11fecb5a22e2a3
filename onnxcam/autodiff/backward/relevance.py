"""How layer-wise relevance propagation shares a linear layer's relevance among its inputs.

Each rule is a function from R, the relevance of z = w·x + b, to that of x. With s = R/z, ⊘ for division with a
stabilised denominator (z + ε where z ≥ 0, else z − ε), and superscripts + and − for positive and negative parts:

    epsilon     x · wᵀ(R ⊘ z)
    z-plus      x⁺·w⁺ᵀs + x⁻·w⁻ᵀs,  s = R ⊘ (w⁺x⁺ + b⁺ + w⁻x⁻)
    alpha-beta  α (as z-plus) − β (x⁺·w⁻ᵀs + x⁻·w⁺ᵀs),  s = R ⊘ (w⁻x⁺ + b⁻ + w⁺x⁻)
    gamma       with w + γw⁺ for w⁺ and w + γw⁻ for w⁻, where z > 0; the other way round where z < 0
    z-box       (x·wᵀ − l·w⁺ᵀ − h·w⁻ᵀ) s,  s = R ⊘ (w x − w⁺l − w⁻h), for x between l and h
    w²          w²ᵀ(R ⊘ (w²·1 + b²))
    flat        1ᵀ(R ⊘ 1·1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.autodiff.backward.constants import is_nonnegative
from onnxcam.autodiff.backward.layers import CONVOLUTIONS, Layer
from onnxcam.autodiff.extents import rank_of, shape_of
from onnxcam.autodiff.sizes import joined, sizes_of
from onnxcam.graph import Value

LayerRule: TypeAlias = Callable[[Value, Layer], Value]
# One way of looking at a layer: an input, weights, a bias.
Term: TypeAlias = tuple[Value, Value, Value | None]
Bound: TypeAlias = float | Sequence[float] | NDArray[Any]

STABILIZER = 1e-6
# Smaller denominators make quotients that float16 cannot hold.
STABILIZER_FLOAT16 = 1e-3


@dataclass(frozen=True, slots=True)
class Epsilon:
    """LRP-ε (Bach et al. 2015): by the share in z; what ε and the bias have in it is absorbed. ε = 0 is LRP-0."""

    stabilizer: float

    def __call__(self, relevance: Value, layer: Layer) -> Value:
        own = layer.own
        return layer.x * own.pulled_back(divided(relevance, own.z, self.stabilizer))


def epsilon(stabilizer: float = STABILIZER) -> LayerRule:
    """LRP-ε."""
    return Epsilon(stabilizer)


def z_plus(stabilizer: float = STABILIZER) -> LayerRule:
    """z⁺ (Montavon et al. 2017), the same as α1β0: only what raises z has a share."""

    def rule(relevance: Value, layer: Layer) -> Value:
        return _shared(relevance, layer, terms=_raising(layer), stabilizer=stabilizer)

    return rule


def alpha_beta(alpha: float, beta: float, *, stabilizer: float = STABILIZER) -> LayerRule:
    """αβ (Bach et al. 2015): α times the share in what raises z, less β times that in what lowers it; α − β = 1."""
    if beta < 0.0 or abs(alpha - beta - 1.0) > 1e-9:
        raise ValueError(f"alpha - beta must be 1 and beta not negative, not {alpha} and {beta}")

    def rule(relevance: Value, layer: Layer) -> Value:
        raising = _shared(relevance, layer, terms=_raising(layer), stabilizer=stabilizer) * alpha
        return (
            raising - _shared(relevance, layer, terms=_lowering(layer), stabilizer=stabilizer) * beta
            if beta
            else raising
        )

    return rule


def gamma(strength: float = 0.25, stabilizer: float = STABILIZER) -> LayerRule:
    """γ (Montavon et al. 2019; for inputs of any sign Andéol et al. 2021): what pushes z its own way counts 1 + γ."""

    def rule(relevance: Value, layer: Layer) -> Value:
        op, z = relevance.tape, layer.node.output
        up, down = _favoured(layer.w, _positive, strength), _favoured(layer.w, _negative, strength)
        bias_up = None if layer.bias is None else _favoured(layer.bias, _positive, strength)
        bias_down = None if layer.bias is None else _favoured(layer.bias, _negative, strength)
        above, below = op.Where(z > 0.0, relevance, 0.0), op.Where(z < 0.0, relevance, 0.0)
        raising = _by_sign(layer, up, of_negative=down, bias=bias_up)
        lowering = _by_sign(layer, down, of_negative=up, bias=bias_down)
        raised = _shared(above, layer, terms=raising, stabilizer=stabilizer)
        return raised + _shared(below, layer, terms=lowering, stabilizer=stabilizer)

    return rule


def z_box(low: Bound | None = None, high: Bound | None = None, *, stabilizer: float = STABILIZER) -> LayerRule:
    """zB (Montavon et al. 2017), for inputs within bounds.

    Args:
        low: the least that an element can be: a number, one for each channel, or an array that stretches over
            (N, C, space); None: the least in each channel of the image at hand.
        high: likewise the most.
        stabilizer: ε.
    """

    def rule(relevance: Value, layer: Layer) -> Value:
        own = layer.own
        least, most = _bound(low, layer, "ReduceMin"), _bound(high, layer, "ReduceMax")
        # The bias stands on both sides of the difference, so that none is left.
        lower = layer.respond(_stretched(least, layer), _positive(layer.w), layer.bias)
        upper = layer.respond(_stretched(most, layer), _negative(layer.w), None)
        s = divided(relevance, own.z - lower.z - upper.z, stabilizer)
        return layer.x * own.pulled_back(s) - least * lower.pulled_back(s) - most * upper.pulled_back(s)

    return rule


def w_square(stabilizer: float = STABILIZER) -> LayerRule:
    """w² (Montavon et al. 2017): by the squares of the weights, whatever the input."""

    def rule(relevance: Value, layer: Layer) -> Value:
        squares = layer.w * layer.w
        bias = None if layer.bias is None else layer.bias * layer.bias
        return _whatever_the_input(relevance, layer, w=squares, bias=bias, stabilizer=stabilizer)

    return rule


def flat(stabilizer: float = STABILIZER) -> LayerRule:
    """Flat (Lapuschkin et al. 2019): equal shares to all that z is computed from."""

    def rule(relevance: Value, layer: Layer) -> Value:
        op = relevance.tape
        ones = op.Expand(op.number(1.0, layer.w), shape_of(layer.w))
        return _whatever_the_input(relevance, layer, w=ones, bias=None, stabilizer=stabilizer)

    return rule


def without_bias(rule: LayerRule) -> LayerRule:
    """The rule for a layer taken to have no bias, so that the bias absorbs nothing (zennit: zero_params="bias")."""
    return lambda relevance, layer: rule(relevance, layer.without_bias)


def divided(relevance: Value, z: Value, stabilizer: float) -> Value:
    """R/z, the denominator moved away from zero by ε; with ε = 0, 0 where z is 0."""
    op = z.tape
    if stabilizer == 0.0:
        return op.Where(z.equals(0.0), 0.0, relevance / z)
    least = STABILIZER_FLOAT16 if z.dtype is not None and z.dtype.name == "float16" else 0.0
    step = max(stabilizer, least)
    return relevance / (z + op.Where(z >= 0.0, op.number(step, z), op.number(-step, z)))


def _shared(relevance: Value, layer: Layer, *, terms: Sequence[Term], stabilizer: float) -> Value:
    """Σ x·wᵀ(R ⊘ z) over the terms, z the sum of what they give."""
    responses = [layer.respond(*term) for term in terms]
    s = divided(relevance, _total([response.z for response in responses]), stabilizer)
    return _total([x * response.pulled_back(s) for (x, _, _), response in zip(terms, responses, strict=True)])


def _raising(layer: Layer) -> list[Term]:
    """What raises z: positive inputs by positive weights, negative ones by negative."""
    bias = None if layer.bias is None else _positive(layer.bias)
    return _by_sign(layer, _positive(layer.w), of_negative=_negative(layer.w), bias=bias)


def _lowering(layer: Layer) -> list[Term]:
    """What lowers z."""
    bias = None if layer.bias is None else _negative(layer.bias)
    return _by_sign(layer, _negative(layer.w), of_negative=_positive(layer.w), bias=bias)


def _by_sign(layer: Layer, of_positive: Value, *, of_negative: Value, bias: Value | None) -> list[Term]:
    """Positive inputs with some weights and the bias, negative ones with others."""
    if is_nonnegative(layer.x):
        return [(layer.x, of_positive, bias)]
    return [(_positive(layer.x), of_positive, bias), (_negative(layer.x), of_negative, None)]


def _whatever_the_input(relevance: Value, layer: Layer, *, w: Value, bias: Value | None, stabilizer: float) -> Value:
    """wᵀ(R ⊘ (w·1 + bias))."""
    op = relevance.tape
    response = layer.respond(_stretched(op.number(1.0, layer.x), layer), w, bias)
    return response.pulled_back(divided(relevance, response.z, stabilizer))


def _stretched(value: Value, layer: Layer) -> Value:
    """The value in the shape of the layer's input; for a convolution of one image only, where all have the same."""
    op, x = value.tape, layer.x
    is_the_same = not value.shape or value.shape[0] == 1
    if layer.node.op_type in CONVOLUTIONS and is_the_same:
        return op.Expand(value, joined(op, 1, sizes_of(x, 1)))
    return op.Expand(value, shape_of(x))


def _bound(bound: Bound | None, layer: Layer, extremum: str) -> Value:
    """The bound so that it stretches over (N, C, space)."""
    op, x = layer.x.tape, layer.x
    axes = range(2, rank_of(x, layer.node))
    if bound is None:
        return op.emit(extremum, [x, op.ints(*axes)], {"keepdims": 1})[0]
    numbers = np.asarray(bound, x.dtype or np.float32)
    return op.constant(numbers.reshape(1, -1, *[1] * len(axes)) if numbers.ndim == 1 else numbers)


def _favoured(w: Value, part: Callable[[Value], Value], strength: float) -> Value:
    """w + γ w⁺, or w + γ w⁻."""
    return w + part(w) * strength


def _positive(x: Value) -> Value:
    return x.tape.Max(x, 0.0)


def _negative(x: Value) -> Value:
    return x.tape.Min(x, 0.0)


def _total(values: Sequence[Value]) -> Value:
    return reduce(Value.__add__, values)
