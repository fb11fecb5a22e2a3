"""Keras's two attention layers of a single head: Luong's and Bahdanau's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxcam.graph import Value
from onnxcam_converters.keras.layer import Layer
from onnxcam_converters.keras.layers.masks import Call, call_of, masked
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor

REST = ("mask", "training", "return_attention_scores", "use_causal_mask")


@reads("Attention")
def attention(layer: Layer, inputs: Sequence[Tensor], *rest: Any, **named: Any) -> Tensor | list[Tensor]:
    """softmax(q kᵀ · scale) v, or with the scores w · Σ tanh(scale · (q + k)) of mode "concat"."""
    mode, has_scale = layer.option("score_mode", default="dot"), layer.option("use_scale", default=False)
    names = ["scale"] * has_scale + ["concat_score_weight"] * (mode == "concat")
    numbers = {name: layer.constant(name, array) for name, array in zip(names, layer.weights(*names), strict=True)}
    query, key = _query_and_key(inputs)
    if mode == "concat":
        summed = _every_sum(query, key)
        scaled = summed * numbers["scale"] if has_scale else summed
        scores = layer.tape.ReduceSum(layer.tape.Tanh(scaled), layer.tape.ints(-1), keepdims=0)
        scores = scores * numbers["concat_score_weight"]
    else:
        turned = layer.tape.Transpose(key, perm=[*range(inputs[0].rank - 2), inputs[0].rank - 1, inputs[0].rank - 2])
        scores = layer.tape.MatMul(query, turned)
        scores = scores * numbers["scale"] if has_scale else scores
    return _apply(layer, inputs, scores, call_of(layer, REST, rest, _checked(layer, named)))


@reads("AdditiveAttention")
def additive_attention(layer: Layer, inputs: Sequence[Tensor], *rest: Any, **named: Any) -> Tensor | list[Tensor]:
    """softmax(Σ scale · tanh(q + k)) v."""
    names = ["scale"] * layer.option("use_scale", default=True)
    powers = layer.tape.Tanh(_every_sum(*_query_and_key(inputs)))
    for scale in layer.weights(*names):
        powers = powers * layer.constant("scale", scale)
    scores = layer.tape.ReduceSum(powers, layer.tape.ints(-1), keepdims=0)
    return _apply(layer, inputs, scores, call_of(layer, REST, rest, _checked(layer, named)))


def _query_and_key(inputs: Sequence[Tensor]) -> tuple[Value, Value]:
    """Of [query, value] or [query, value, key]."""
    return inputs[0].plain(), inputs[-1].plain()


def _every_sum(query: Value, key: Value) -> Value:
    """Each query plus each key: (N, query, key, channels)."""
    return query.tape.Unsqueeze(query, query.tape.ints(-2)) + key.tape.Unsqueeze(key, key.tape.ints(-3))


def _checked(layer: Layer, named: dict[str, Any]) -> dict[str, Any]:
    """The named arguments, without masks that are none: Keras 2 gives a list of them."""
    mask = named.pop("mask", None)
    if mask is not None and any(each is not None for each in mask):
        raise layer.refuse("its argument 'mask' is not covered")
    layer.ignore("dropout")
    return named


def _apply(layer: Layer, inputs: Sequence[Tensor], scores: Value, call: Call) -> Tensor | list[Tensor]:
    query, value = inputs[0], inputs[1]
    is_causal = call.is_causal or bool(layer.option("causal", default=False))
    mask = Call(layer, is_causal=is_causal).mask(query, value, axes=(query.rank - 2,), rank=query.rank)
    weights = layer.tape.Softmax(masked(scores, mask), axis=-1)
    y = Tensor(layer.tape.MatMul(weights, value.plain()), (*query.shape[:-1], value.shape[-1]))
    return [y, Tensor(weights, (*query.shape[:-1], inputs[-1].shape[-2]))] if call.with_scores else y
