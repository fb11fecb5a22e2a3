"""Rows for LSTM, GRU and RNN; ONNX Runtime has none of them in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from conformance import Fixed, Row

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
TIME, BATCH, FEATURES, HIDDEN = 3, 2, 2, 2
LENGTHS, EMPTY = Fixed(np.array([3, 1], np.int32)), Fixed(np.array([2, 0], np.int32))
RNG = np.random.default_rng(5)
KERNELS = "its kernels do not compute in float64"


def case(
    kind: str, what: str, options: str = "", *, inputs: str = "x, w, r, b", outputs: str = "y", **others: Any
) -> Row:
    """One use of the op: `inputs` as they are given to it, with the shapes that they must have then.

    Of an op that goes both ways the weights are not differentiated by: test_recurrent.py has those, by PyTorch.
    """
    ways, gates = 1 + ("bidirectional" in options), GATES[kind]
    sizes = {
        "x": (TIME, BATCH, FEATURES),
        "w": (ways, gates * HIDDEN, FEATURES),
        "r": (ways, gates * HIDDEN, HIDDEN),
        "b": (ways, 2 * gates * HIDDEN),
        "h": (ways, BATCH, HIDDEN),
        "c": (ways, BATCH, HIDDEN),
        "p": (ways, 3 * HIDDEN),
    }
    if "layout" in options:
        sizes |= {"x": (BATCH, TIME, FEATURES), "h": (BATCH, ways, HIDDEN), "c": (BATCH, ways, HIDDEN)}
    names = [name.strip() for name in inputs.split(",")]
    tensors: dict[str, Any] = {name: sizes[name] for name in names if name in sizes} | others
    if ways == 2:
        tensors |= {name: Fixed(RNG.normal(size=sizes[name])) for name in ("w", "r", "b") if name in names}
    attributes = f"<hidden_size = {HIDDEN}{', ' if options else ''}{options}>"
    used = tuple(name.strip() for name in outputs.split(",") if name.strip())
    return Row(
        f"{kind}, {what}",
        f"{outputs} = {kind} {attributes} ({inputs})",
        outputs=used,
        skip_onnxruntime=KERNELS,
        **tensors,
    )


FULL, LIMITED = "x, w, r, b, , h, c", "clip = 0.4"
ROWS = [
    case("LSTM", "without anything", inputs="x, w, r"),
    case("LSTM", "everything it takes and gives", inputs="x, w, r, b, , h, c, p", outputs="y, last, cell"),
    case("LSTM", "only the last state", inputs=FULL, outputs=", y"),
    case("LSTM", "only the last cell", inputs=FULL, outputs=", , y"),
    case("LSTM", "backwards", 'direction = "reverse"', inputs=FULL, outputs="y, last"),
    case("LSTM", "both ways", 'direction = "bidirectional"', inputs=FULL, outputs="y, last"),
    case("LSTM", "sequences of their own lengths", inputs="x, w, r, b, n, h, c", outputs="y, last, cell", n=LENGTHS),
    case(
        "LSTM",
        "both ways, own lengths",
        'direction = "bidirectional"',
        inputs="x, w, r, b, n",
        outputs="y, last",
        n=LENGTHS,
    ),
    case("LSTM", "an empty sequence", inputs="x, w, r, b, n, h, c", outputs="y, last, cell", n=EMPTY),
    case("LSTM", "batch first", "layout = 1", inputs=FULL, outputs="y, last, cell"),
    case("LSTM", "batch first, both ways", 'layout = 1, direction = "bidirectional"', inputs=FULL, outputs="y, last"),
    case("LSTM", "coupled gates", "input_forget = 1", inputs="x, w, r, b, , h, c, p"),
    case("LSTM", "limited gates", LIMITED, inputs="x, w, r, b, , h, c, p"),
    case(
        "LSTM",
        "other activations",
        'activations = ["HardSigmoid", "ScaledTanh", "Softsign"], '
        "activation_alpha = [0.3, 0.5], activation_beta = [0.45, 0.9]",
    ),
    case("GRU", "without anything", inputs="x, w, r"),
    case("GRU", "everything it takes and gives", inputs="x, w, r, b, , h", outputs="y, last"),
    case("GRU", "reset behind the weights", "linear_before_reset = 1", inputs="x, w, r, b, , h", outputs="y, last"),
    case("GRU", "reset behind the weights, no bias", "linear_before_reset = 1", inputs="x, w, r, , , h"),
    case("GRU", "backwards", 'direction = "reverse"', outputs="y, last"),
    case(
        "GRU",
        "both ways, own lengths",
        'direction = "bidirectional"',
        inputs="x, w, r, b, n, h",
        outputs="y, last",
        n=LENGTHS,
    ),
    case("GRU", "batch first", "layout = 1", inputs="x, w, r, b, , h", outputs="y, last"),
    case("GRU", "limited gates", LIMITED),
    case(
        "GRU",
        "other activations",
        'activations = ["Softsign", "Affine"], activation_alpha = [0.7], activation_beta = [0.1]',
    ),
    case("RNN", "without anything", inputs="x, w, r"),
    case("RNN", "everything it takes and gives", inputs="x, w, r, b, , h", outputs="y, last"),
    case("RNN", "only the last state", outputs=", y"),
    case(
        "RNN", "backwards, own lengths", 'direction = "reverse"', inputs="x, w, r, b, n", outputs="y, last", n=LENGTHS
    ),
    case("RNN", "both ways", 'direction = "bidirectional", activations = ["Tanh", "Softplus"]', outputs="y, last"),
    case("RNN", "batch first", "layout = 1", inputs="x, w, r, b, , h", outputs="y, last"),
    case("RNN", "limited gates", LIMITED),
]
