"""Recurrent layers of Keras files against Keras itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_models import FORMATS, Net, check, converted, each, keras_of, model_of, pictures, relative_error, run, saved

from onnxcam.errors import UnsupportedLayer

KERAS_3, KERAS_2 = ("keras",), ("tf_keras",)
TOKENS = ((6, 5),)
NETS = [
    Net("LSTM", lambda L, x: L.LSTM(4)(x), TOKENS),
    Net("LSTM, sequences", lambda L, x: L.LSTM(4, return_sequences=True)(x), TOKENS),
    Net("LSTM, open length", lambda L, x: L.LSTM(4, return_sequences=True)(x), ((None, 5),)),
    Net("LSTM, states", lambda L, x: L.LSTM(4, return_state=True, return_sequences=True)(x), TOKENS),
    Net("LSTM, no bias", lambda L, x: L.LSTM(4, use_bias=False)(x), TOKENS),
    Net("LSTM, backwards", lambda L, x: L.LSTM(4, go_backwards=True)(x), TOKENS),
    Net("LSTM, backwards, sequences", lambda L, x: L.LSTM(4, go_backwards=True, return_sequences=True)(x), TOKENS),
    Net("LSTM, hard sigmoid", lambda L, x: L.LSTM(4, recurrent_activation="hard_sigmoid")(x), TOKENS),
    Net("LSTM, relu", lambda L, x: L.LSTM(4, activation="relu")(x), TOKENS),
    Net(
        "LSTM, linear and softsign", lambda L, x: L.LSTM(4, activation=None, recurrent_activation="softsign")(x), TOKENS
    ),
    Net("LSTM, swish", lambda L, x: L.LSTM(4, activation="swish", return_state=True)(x), TOKENS),
    Net(
        "LSTM, swish, backwards",
        lambda L, x: L.LSTM(4, activation="swish", go_backwards=True, return_sequences=True)(x),
        TOKENS,
    ),
    Net("LSTM, states given", lambda L, x, h, c: L.LSTM(4)(x, initial_state=[h, c]), (*TOKENS, (4,), (4,))),
    Net(
        "LSTM, swish, states given",
        lambda L, x, h, c: L.LSTM(4, activation="swish")(x, initial_state=[h, c]),
        (*TOKENS, (4,), (4,)),
    ),
    Net(
        "LSTM, from encoder to decoder",
        lambda L, x: L.LSTM(4)(x, initial_state=L.LSTM(4, return_state=True)(x)[1:]),
        TOKENS,
    ),
    Net("LSTM of a convolution", lambda L, x: L.LSTM(4)(L.Conv1D(3, 2, activation="relu")(x)), TOKENS),
    Net("GRU", lambda L, x: L.GRU(4)(x), TOKENS),
    Net("GRU, reset before", lambda L, x: L.GRU(4, reset_after=False, return_sequences=True)(x), TOKENS),
    Net("GRU, no bias", lambda L, x: L.GRU(4, use_bias=False, return_state=True)(x), TOKENS),
    Net("GRU, hard sigmoid", lambda L, x: L.GRU(4, recurrent_activation="hard_sigmoid")(x), TOKENS),
    Net("GRU, gelu", lambda L, x: L.GRU(4, activation="gelu", return_sequences=True)(x), TOKENS),
    Net("GRU, gelu, reset before", lambda L, x: L.GRU(4, activation="gelu", reset_after=False)(x), TOKENS),
    Net("GRU, state given", lambda L, x, h: L.GRU(4)(x, initial_state=h), (*TOKENS, (4,))),
    Net("SimpleRNN", lambda L, x: L.SimpleRNN(4)(x), TOKENS),
    Net("SimpleRNN, relu, sequences", lambda L, x: L.SimpleRNN(4, activation="relu", return_sequences=True)(x), TOKENS),
    Net("SimpleRNN, elu", lambda L, x: L.SimpleRNN(4, activation="elu", use_bias=False)(x), TOKENS),
    Net("SimpleRNN, selu", lambda L, x: L.SimpleRNN(4, activation="selu", return_state=True)(x), TOKENS),
    Net("RNN of an LSTMCell", lambda L, x: L.RNN(L.LSTMCell(4), return_sequences=True, go_backwards=True)(x), TOKENS),
    Net("RNN of a SimpleRNNCell", lambda L, x: L.RNN(L.SimpleRNNCell(4))(x), TOKENS),
    Net(
        "RNN of stacked cells",
        lambda L, x: L.RNN([L.LSTMCell(4), L.GRUCell(3), L.LSTMCell(5)], return_state=True)(x),
        TOKENS,
    ),
    *(
        Net(f"Bidirectional, {mode}", lambda L, x, mode=mode: L.Bidirectional(L.LSTM(4), merge_mode=mode)(x), TOKENS)
        for mode in ("concat", "sum", "mul", "ave", None)
    ),
    Net("Bidirectional GRU, sequences", lambda L, x: L.Bidirectional(L.GRU(4, return_sequences=True))(x), TOKENS),
    Net(
        "Bidirectional, states",
        lambda L, x: L.Bidirectional(L.LSTM(4, return_sequences=True, return_state=True))(x),
        TOKENS,
    ),
    Net("Bidirectional RNN", lambda L, x: L.Bidirectional(L.RNN(L.GRUCell(4)))(x), TOKENS),
    Net(
        "Bidirectional, its own backward layer",
        lambda L, x: L.Bidirectional(L.LSTM(4), backward_layer=L.LSTM(3, go_backwards=True, name="mine"))(x),
        TOKENS,
    ),
    Net(
        "Bidirectional, states given",
        lambda L, x, *states: L.Bidirectional(L.LSTM(4))(x, initial_state=list(states)),
        (*TOKENS, (4,), (4,), (4,), (4,)),
    ),
]

FILM = ((4, 6, 7, 3),)
FILMS = [
    Net("ConvLSTM2D", lambda L, x: L.ConvLSTM2D(4, 3)(x), FILM),
    Net("ConvLSTM2D, stride 2", lambda L, x: L.ConvLSTM2D(2, 3, strides=2, padding="same", return_state=True)(x), FILM),
    Net(
        "ConvLSTM2D, twice",
        lambda L, x: L.ConvLSTM2D(2, (1, 3), go_backwards=True)(L.ConvLSTM2D(2, 3, return_sequences=True)(x)),
        FILM,
    ),
    Net("ConvLSTM1D", lambda L, x: L.ConvLSTM1D(2, 3, padding="same", use_bias=False)(x), ((4, 7, 3),)),
    Net("ConvLSTM2D, flattened", lambda L, x: L.Flatten()(L.ConvLSTM2D(2, 3, return_sequences=True)(x)), FILM),
]


@each(FILMS)
def test_convolutional_lstms_are_unrolled(net: Net, era: str, tmp_path: Path):
    check(net, era, tmp_path)


@each(NETS)
def test_a_keras_file_gives_what_keras_predicts(net: Net, era: str, tmp_path: Path):
    check(net, era, tmp_path)


@each([net for net in NETS if net.name in ("LSTM, states", "GRU, reset before", "RNN of stacked cells")])
def test_so_does_an_h5_file(net: Net, era: str, tmp_path: Path):
    check(net, era, tmp_path, suffix=".h5")


@each([net for net in NETS if net.name.startswith("Bidirectional")])
def test_so_does_an_h5_file_of_both_directions(net: Net, era: str, tmp_path: Path):
    check(net, era, tmp_path, suffix=".h5")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("era", ["keras", "tf_keras"])
def test_a_frozen_direction_keeps_its_weights(era: str, suffix: str, tmp_path: Path):
    def build(L, x):
        layer = L.Bidirectional(L.LSTM(4))
        y = layer(x)
        layer.forward_layer.trainable = False
        return y

    check(Net("frozen", build, TOKENS), era, tmp_path, suffix=suffix)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_files_of_cudnn_layers_give_what_plain_ones_with_their_weights_do(kind: str, tmp_path: Path):
    keras = keras_of("tf_keras")
    module = pytest.importorskip(f"tf_keras.src.layers.rnn.cudnn_{kind.lower()}")
    cudnn = getattr(module, f"CuDNN{kind}")
    net = Net(kind, lambda L, x: cudnn(4, return_sequences=True, name="r")(x), TOKENS)
    session = converted(saved(model_of(net, "tf_keras"), tmp_path / "net.h5"))
    # It runs on GPUs only; Keras turns its weights into those of the layer that runs anywhere.
    options = {"reset_after": True} if kind == "GRU" else {}
    plain = getattr(keras.layers, kind)(4, return_sequences=True, name="r", recurrent_activation="sigmoid", **options)
    inputs = keras.layers.Input(TOKENS[0])
    model = keras.Model(inputs, plain(inputs))
    model.load_weights(tmp_path / "net.h5", by_name=True)
    (x,) = pictures(TOKENS)
    assert relative_error(run(session, [x])[0], np.asarray(model(x))) <= 1e-5


def test_a_cell_of_the_authors_own_is_refused_whatever_it_is_called(tmp_path: Path):
    keras = keras_of("keras")
    cell = keras.saving.register_keras_serializable("mine")(type("LSTMCell", (keras.layers.LSTMCell,), {}))
    with pytest.raises(UnsupportedLayer, match="author"):
        check(Net("mine", lambda L, x: L.RNN(cell(4))(x), TOKENS), "keras", tmp_path)


def test_a_plain_lstm_takes_the_weights_of_cudnns(tmp_path: Path):
    keras = keras_of("tf_keras")
    cudnn = pytest.importorskip("tf_keras.src.layers.rnn.cudnn_lstm").CuDNNLSTM
    saved(model_of(Net("net", lambda L, x: cudnn(4, name="r")(x), TOKENS), "tf_keras"), tmp_path / "net.h5")
    inputs = keras.layers.Input(TOKENS[0])
    model = keras.Model(inputs, keras.layers.LSTM(4, name="r")(inputs))
    model.load_weights(tmp_path / "net.h5", by_name=True)
    (tmp_path / "net.json").write_text(model.to_json())
    (x,) = pictures(TOKENS)
    found = run(converted(tmp_path / "net.json", weights=tmp_path / "net.h5"), [x])[0]
    assert relative_error(found, np.asarray(model(x))) <= 1e-5


def keras_1_file(path: Path, kind: str, gates: str, options: dict[str, Any]) -> Path:
    """A file as Keras 1 wrote it: one recurrent layer, with an array for each gate."""
    h5py = pytest.importorskip("h5py")
    config = {
        "name": "r", "output_dim": 4, "batch_input_shape": [None, 6, 5], "input_dim": 5, "input_length": 6,
        "init": "glorot_uniform", "inner_init": "orthogonal", "activation": "tanh", "inner_activation": "hard_sigmoid",
        "W_regularizer": None, "U_regularizer": None, "b_regularizer": None, "dropout_W": 0.0, "dropout_U": 0.0,
        "return_sequences": True, "go_backwards": False, "stateful": False, "unroll": False, "consume_less": "cpu",
        "trainable": True, **options,
    }  # fmt: skip
    model = {"class_name": "Sequential", "config": [{"class_name": kind, "config": config}]}
    rng, shapes = np.random.default_rng(0), {"W": (5, 4), "U": (4, 4), "b": (4,)}
    arrays = {f"r_{name}_{gate}": rng.normal(0, 0.5, shapes[name]) for gate in gates for name in "WUb"}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        file.attrs["keras_version"] = "1.2.2"
        group = file.create_group("model_weights").create_group("r")
        file["model_weights"].attrs["layer_names"] = [b"r"]
        group.attrs["weight_names"] = [name.encode() for name in arrays]
        for name, array in arrays.items():
            group[name] = array.astype(np.float32)
    return path


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", "icfo"), ("GRU", "zrh")])
def test_files_of_keras_1_have_an_array_for_each_gate(kind: str, gates: str, tmp_path: Path):
    keras = keras_of("tf_keras")
    path = keras_1_file(tmp_path / "net.h5", kind, gates, {"forget_bias_init": "one"} if kind == "LSTM" else {})
    session = converted(path)
    # Keras 2 turns such weights into its own.
    options = {"reset_after": False} if kind == "GRU" else {}
    layer = getattr(keras.layers, kind)(4, return_sequences=True, recurrent_activation="hard_sigmoid", **options)
    model = keras.Sequential([keras.layers.Input(TOKENS[0]), layer])
    model.load_weights(path)
    (x,) = pictures(TOKENS)
    assert relative_error(run(session, [x])[0], np.asarray(model(x))) <= 1e-5


def test_an_activation_without_an_op_needs_a_fixed_length(tmp_path: Path):
    net = Net("swish", lambda L, x: L.LSTM(4, activation="swish")(x), ((None, 5),))
    with pytest.raises(UnsupportedLayer, match="open length"):
        check(net, "keras", tmp_path)


def test_a_masked_sequence_is_refused(tmp_path: Path):
    net = Net("masked", lambda L, x: L.LSTM(4)(L.Masking()(x)), TOKENS)
    with pytest.raises(UnsupportedLayer, match=r"Masking.*masks are not covered"):
        check(net, "keras", tmp_path)


def test_dropout_that_stays_at_inference_is_refused(tmp_path: Path):
    net = Net("always dropping", lambda L, x: L.LSTM(4, dropout=0.5)(x, training=True), TOKENS)
    with pytest.raises(UnsupportedLayer, match="training=True, so that its results are random"):
        check(net, "tf_keras", tmp_path)
