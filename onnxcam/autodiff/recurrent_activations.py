"""The activations of LSTM, GRU and RNN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from onnxcam.errors import NoGradientForm
from onnxcam.graph import Node, Value

Activation: TypeAlias = Callable[[Value], Value]
# The parameters of those that have them; None where ONNX Runtime takes 0 for what ONNX says nothing of, or says 1.
ALPHA = {"affine": None, "elu": 1.0, "hardsigmoid": 0.2, "leakyrelu": 0.01, "scaledtanh": None, "thresholdedrelu": None}
BETA = {"affine": None, "hardsigmoid": 0.5, "scaledtanh": None}
OPS = {
    "elu": "Elu",
    "hardsigmoid": "HardSigmoid",
    "leakyrelu": "LeakyRelu",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
    "thresholdedrelu": "ThresholdedRelu",
}


def activations(node: Node, defaults: Sequence[str], *, directions: int) -> list[Activation]:
    """The functions of all directions, one after the other; each that has parameters takes the next ones given.

    Raises:
        NoGradientForm: where one is not known.
    """
    names = [name.lower() for name in _texts(node)] or [name.lower() for name in defaults] * directions
    alphas, betas = (iter(node.attributes.get(f"activation_{which}", [])) for which in ("alpha", "beta"))
    return [_activation(name, alphas, betas, node) for name in names]


def _texts(node: Node) -> list[str]:
    return [name.decode() for name in node.attributes.get("activations", [])]


def _activation(name: str, alphas: Iterator[float], betas: Iterator[float], node: Node) -> Activation:
    given = [next(queue, defaults[name]) for queue, defaults in ((alphas, ALPHA), (betas, BETA)) if name in defaults]
    if name not in ("affine", "scaledtanh", *OPS):
        raise NoGradientForm(node.op_type, node.title, f"the activation {name!r}")
    if None in given:
        raise NoGradientForm(node.op_type, node.title, f"the activation {name!r} without its parameters")
    alpha, beta = [*given, None, None][:2]
    return partial(_apply, name=name, alpha=alpha, beta=beta)


def _apply(x: Value, *, name: str, alpha: float | None, beta: float | None) -> Value:
    if name == "affine" and alpha is not None and beta is not None:
        return x * alpha + beta
    if name == "scaledtanh" and alpha is not None and beta is not None:
        return x.tape.Tanh(x * beta) * alpha
    (y,) = x.tape.emit(OPS[name], [x], {"alpha": alpha, "beta": beta})
    return y
