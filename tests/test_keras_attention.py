"""Attention, embeddings and Einstein sums of Keras files against Keras itself, and a vision transformer of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_models import (
    FORMATS,
    Net,
    check,
    converted,
    each,
    fill,
    keras_of,
    predictions,
    relative_error,
    run,
)
from keras_models import saved as save

import onnxcam
from onnxcam.errors import UnsupportedLayer

KERAS_3, KERAS_2 = ("keras",), ("tf_keras",)
TOKENS, PAIR, PICTURE = ((5, 6),), ((5, 6), (4, 7)), ((4, 5, 6),)
TRIANGLE = np.tril(np.ones((1, 5, 5), bool))


def both(result: Any) -> list[Any]:
    """The output and the scores."""
    return list(result)


NETS = [
    Net("heads", lambda L, x: L.MultiHeadAttention(2, 3)(x, x), TOKENS),
    Net("heads, no bias", lambda L, x: L.MultiHeadAttention(2, 3, use_bias=False, dropout=0.2)(x, x), TOKENS),
    Net("heads, values of another size", lambda L, x: L.MultiHeadAttention(2, 3, value_dim=5)(x, x), TOKENS),
    Net("heads, another output", lambda L, x: L.MultiHeadAttention(2, 3, output_shape=4)(x, x), TOKENS),
    Net("heads, output of two axes", lambda L, x: L.MultiHeadAttention(2, 3, output_shape=(4, 2))(x, x), TOKENS),
    Net("heads, two inputs", lambda L, q, v: L.MultiHeadAttention(2, 3)(q, v), PAIR),
    Net("heads, three inputs", lambda L, q, v, k: L.MultiHeadAttention(2, 3)(q, v, key=k), (*PAIR, (4, 3))),
    Net(
        "heads, scores",
        lambda L, q, v: both(L.MultiHeadAttention(2, 3)(q, v, return_attention_scores=True)),
        PAIR,
    ),
    Net("heads, open length", lambda L, x: L.MultiHeadAttention(2, 3)(x, x), ((None, 6),)),
    Net("heads, causal", lambda L, x: L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True), TOKENS),
    Net(
        "heads, a constant mask",
        lambda L, x: L.MultiHeadAttention(2, 3)(x, x, attention_mask=TRIANGLE),
        TOKENS,
        KERAS_3,
    ),
    Net(
        "heads, a given mask",
        lambda L, x, m: L.MultiHeadAttention(2, 3)(x, x, attention_mask=m),
        (*TOKENS, (5, 5)),
        KERAS_3,
    ),
    Net("heads, over both axes of a picture", lambda L, x: L.MultiHeadAttention(2, 3)(x, x), PICTURE),
    Net("heads, over its columns", lambda L, x: L.MultiHeadAttention(2, 3, attention_axes=1)(x, x), PICTURE),
    Net(
        "heads, over its rows, scores",
        lambda L, x: both(L.MultiHeadAttention(2, 3, attention_axes=2)(x, x, return_attention_scores=True)),
        PICTURE,
    ),
    Net("heads, gated", lambda L, x: L.MultiHeadAttention(2, 3, use_gate=True)(x, x), TOKENS, KERAS_3),
    Net("heads, a window", lambda L, x: L.MultiHeadAttention(2, 3, sliding_window=2)(x, x), TOKENS, KERAS_3),
    Net("groups of heads", lambda L, x: L.GroupQueryAttention(3, 4, 2)(x, x), TOKENS, KERAS_3),
    Net(
        "groups of heads, causal, scores",
        lambda L, x: both(L.GroupQueryAttention(3, 4, 2)(x, x, use_causal_mask=True, return_attention_scores=True)),
        TOKENS,
        KERAS_3,
    ),
    Net("groups of heads, open length", lambda L, x: L.GroupQueryAttention(3, 4, 1)(x, x), ((None, 6),), KERAS_3),
    Net("Attention", lambda L, q, v: L.Attention()([q, v]), ((5, 6), (4, 6))),
    Net("Attention, scaled, its own key", lambda L, q, v, k: L.Attention(use_scale=True)([q, v, k]), (*PAIR, (4, 6))),
    Net("Attention, concat", lambda L, x: L.Attention(score_mode="concat", use_scale=True)([x, x]), TOKENS),
    Net("Attention, causal", lambda L, x: L.Attention()([x, x], use_causal_mask=True), TOKENS),
    Net("Attention, scores", lambda L, x: both(L.Attention()([x, x], return_attention_scores=True)), TOKENS),
    Net("AdditiveAttention", lambda L, q, v: L.AdditiveAttention()([q, v]), ((5, 6), (4, 6))),
    Net("AdditiveAttention, no scale", lambda L, x: L.AdditiveAttention(use_scale=False)([x, x]), TOKENS),
    Net("EinsumDense", lambda L, x: L.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")(x), TOKENS),
    Net("EinsumDense, dots", lambda L, x: L.EinsumDense("...x,xy->...y", 4, activation="relu")(x), PICTURE),
    Net("EinsumDense, two axes", lambda L, x: L.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de")(x), TOKENS),
    Net("EinsumDense, another axis", lambda L, x: L.EinsumDense("abc,bd->acd", (6, 4), bias_axes="d")(x), TOKENS),
    Net("EinsumDense, bias in front", lambda L, x: L.EinsumDense("abc,bd->adc", (4, 6), bias_axes="d")(x), TOKENS),
]


@each(NETS)
def test_a_keras_file_gives_what_keras_predicts(net: Net, era: str, tmp_path: Path):
    check(net, era, tmp_path)


@each(
    [net for net in NETS if net.name in ("heads, three inputs", "heads, gated", "groups of heads", "Attention, concat")]
)
def test_so_does_an_h5_file(net: Net, era: str, tmp_path: Path):
    check(net, era, tmp_path, suffix=".h5")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("era", ["keras", "tf_keras"])
def test_rows_of_an_embedding_are_looked_up(era: str, suffix: str, tmp_path: Path):
    keras = keras_of(era)
    inputs = keras.layers.Input((7,), dtype="int32")
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 4)(inputs)))
    fill(model)
    numbers = np.random.default_rng(0).integers(0, 9, (3, 7)).astype(np.int32)
    found = run(converted(save(model, tmp_path / f"net{suffix}")), [numbers])
    assert relative_error(found[0], predictions(model, [numbers])[0]) <= 1e-6


def test_a_causal_mask_over_an_open_length_is_refused(tmp_path: Path):
    net = Net("causal", lambda L, x: L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True), ((None, 6),))
    with pytest.raises(UnsupportedLayer, match="leaves open"):
        check(net, "tf_keras", tmp_path)


def test_an_embedding_that_masks_is_refused(tmp_path: Path):
    net = Net("masked", lambda L, x: L.LSTM(3)(L.Embedding(9, 4, mask_zero=True)(x)), ((7,),))
    with pytest.raises(UnsupportedLayer, match=r"mask_zero|not_equal"):
        check(net, "tf_keras", tmp_path)


def transformer(keras: Any, classes: int = 4) -> Any:
    """A vision transformer of nothing but Keras's layers: 4 x 4 patches of pictures of 24 pixels, two blocks."""
    L = keras.layers
    inputs = L.Input((24, 24, 3))
    x = L.Conv2D(16, 6, strides=6, name="patches")(L.Rescaling(1 / 127.5, offset=-1)(inputs))
    x = L.Reshape((16, 16))(x)
    places = L.Permute((2, 1))(L.Dense(16, name="places")(L.Permute((2, 1))(x)))
    x = L.Add()([x, places])
    for _ in range(2):
        y = L.LayerNormalization(epsilon=1e-6)(x)
        x = L.Add()([x, L.MultiHeadAttention(2, 8, dropout=0.1)(y, y)])
        y = L.Dense(32, activation="gelu")(L.LayerNormalization(epsilon=1e-6)(x))
        x = L.Add()([x, L.Dropout(0.1)(L.Dense(16)(y))])
    x = L.GlobalAveragePooling1D()(L.LayerNormalization(epsilon=1e-6, name="last_norm")(x))
    return keras.Model(inputs, L.Dense(classes, activation="softmax")(x))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("era", ["keras", "tf_keras"])
def test_a_vision_transformer_predicts_the_same(era: str, suffix: str, tmp_path: Path):
    model = transformer(keras_of(era))
    fill(model)
    x = [np.random.default_rng(0).uniform(0, 255, (2, 24, 24, 3)).astype(np.float32)]
    found = run(converted(save(model, tmp_path / f"vit{suffix}")), x)
    assert relative_error(found[0], predictions(model, x)[0]) <= 1e-5


def test_a_vision_transformer_is_explained_by_its_tokens(tmp_path: Path):
    keras = keras_of("keras")
    model = transformer(keras)
    fill(model)
    path = save(model, tmp_path / "vit.keras")
    graph = onnxcam.convert(str(path), layer="last_norm", outputs=["raw_map"], check=False)
    graph.save(tmp_path / "vit.explain.onnx")
    x = np.random.default_rng(0).uniform(0, 255, (2, 24, 24, 3)).astype(np.float32)
    found = onnxcam.Explainer(tmp_path / "vit.explain.onnx").run(x)
    tokens = np.asarray(keras.Model(model.input, model.get_layer("last_norm").output)(x))
    # The mean of all tokens goes through one matrix: the gradient is that matrix's column for the class.
    column = np.asarray(model.layers[-1].kernel)[:, found["target_index"]] / tokens.shape[1]
    wanted = np.einsum("ntc,cn->nt", tokens, column).reshape(2, 4, 4)
    assert relative_error(found["raw_map"], wanted) <= 1e-4
