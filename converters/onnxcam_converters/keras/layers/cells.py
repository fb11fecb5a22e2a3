"""Recurrent cells: as an ONNX op where it has their activations, else step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxcam.graph import Dim, Value
from onnxcam_converters.keras.activations import activate
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.tensor import Tensor

# Keras's order of the gates, and where ONNX wants each of them: LSTM has i, f, c, o against i, o, f, c.
GATES = {"LSTM": (0, 3, 1, 2), "GRU": (0, 1, 2), "RNN": (0,)}
# What ONNX calls an activation within a recurrent op, with its α and β.
NATIVE: Mapping[str, tuple[str, tuple[float, ...], tuple[float, ...]]] = {
    "tanh": ("Tanh", (), ()),
    "sigmoid": ("Sigmoid", (), ()),
    "relu": ("Relu", (), ()),
    "softsign": ("Softsign", (), ()),
    "softplus": ("Softplus", (), ()),
    "linear": ("Affine", (1.0,), (0.0,)),
    "elu": ("Elu", (1.0,), ()),
}
# An unrolled cell has a dozen nodes a step.
MOST_STEPS = 256


@dataclass(frozen=True)
class Run:
    """A sequence gone through.

    Attributes:
        sequence: the outputs in the order of time, whichever way it was gone through: (T, N, units).
        states: the last ones of all cells, (N, units) each.
        last: the output of the last step.
    """

    sequence: Value
    states: list[Value]
    last: Value


@dataclass(frozen=True)
class Cell:
    """One cell with its weights.

    Attributes:
        kind: the op of ONNX: "LSTM", "GRU" or "RNN".
        owner: the layer that it is of.
        part: what its constants are called by, within the owner.
        options: its own options.
        kernel: (inputs, gates · units), in Keras's order of gates.
        recurrent: (units, gates · units).
        biases: of the inputs and of the state, (2, gates · units).
        resets_after: a GRU's state is reset behind its matrix.
    """

    kind: str
    owner: Layer
    part: str
    options: Layer
    kernel: Array
    recurrent: Array
    biases: Array
    resets_after: bool = False

    @property
    def units(self) -> int:
        """How many numbers a state has."""
        return int(self.recurrent.shape[0])

    @property
    def activations(self) -> list[Any]:
        """As the file has them: of the gates, of the candidate, and an LSTM's of what comes out."""
        inner = self.options.option("activation", default="tanh")
        if self.kind == "RNN":
            return [inner]
        # cuDNN knows but one.
        default = {"default": "sigmoid"} if self.options.kind.startswith("CuDNN") else {}
        outer = self.options.option("recurrent_activation", "inner_activation", **default)
        return [outer, inner, inner][: 3 if self.kind == "LSTM" else 2]

    def run(self, x: Value, states: Sequence[Value], *, steps: Dim, is_reversed: bool) -> Run:
        """Goes through a sequence (T, N, inputs) from these states, none for zeros.

        Raises:
            UnsupportedLayer: if ONNX lacks the activation and the length is open.
        """
        native = [self._native(activation) for activation in self.activations]
        if all(native):
            return self._at_once(x, states, native, is_reversed=is_reversed)
        if not isinstance(steps, int) or steps > MOST_STEPS:
            names = ", ".join(sorted({str(activation) for activation in self.activations}))
            length = f"{steps} steps" if isinstance(steps, int) else "open length"
            raise self.owner.refuse(f"ONNX has no recurrent op for {names}, and a sequence of {length} is not unrolled")
        return self._step_by_step(x, states, steps=steps, is_reversed=is_reversed)

    def _native(self, activation: Any) -> Any:
        if activation == "hard_sigmoid":
            return "HardSigmoid", (1 / 6 if self.owner.keras >= (3,) else 0.2,), (0.5,)
        return NATIVE.get("linear" if activation is None else activation) if not isinstance(activation, dict) else None

    def _at_once(self, x: Value, states: Sequence[Value], native: Sequence[Any], *, is_reversed: bool) -> Run:
        tape = x.tape
        names, alphas, betas = zip(*native, strict=True)
        weights = [
            self.owner.constant(f"{self.part}{name}", array)
            for name, array in (
                ("kernel", self._turned(self.kernel.T)),
                ("recurrent_kernel", self._turned(self.recurrent.T)),
                ("bias", np.concatenate([self._turned(bias) for bias in self.biases], axis=-1)),
            )
        ]
        given = [tape.Unsqueeze(state, tape.ints(0)) for state in states]
        options = {
            "hidden_size": self.units,
            "direction": "reverse" if is_reversed else "forward",
            "activations": list(names),
            "activation_alpha": [number for group in alphas for number in group] or None,
            "activation_beta": [number for group in betas for number in group] or None,
            "linear_before_reset": 1 if self.resets_after else None,
        }
        count = 3 if self.kind == "LSTM" else 2
        sequence, *last = tape.emit(self.kind, [x, *weights, None, *given], options, outputs=count)
        states = [tape.Squeeze(state, tape.ints(0)) for state in last]
        return Run(tape.Squeeze(sequence, tape.ints(1)), states, states[0])

    def _turned(self, array: Array) -> Array:
        """The gates, along the first axis, in ONNX's order, under an axis for the direction."""
        pieces = np.split(array, len(GATES[self.kind]))
        return np.concatenate([pieces[gate] for gate in GATES[self.kind]])[None]

    def _step_by_step(self, x: Value, states: Sequence[Value], *, steps: int, is_reversed: bool) -> Run:
        tape, bias = x.tape, self.biases[0] if self.resets_after else self.biases.sum(axis=0)
        kernel = self.owner.constant(f"{self.part}kernel", self.kernel)
        projected = tape.MatMul(x, kernel) + self.owner.constant(f"{self.part}bias", bias)
        zero = tape.constant(np.zeros((1, self.units), np.float32))
        now = list(states) or [zero] * (2 if self.kind == "LSTM" else 1)
        steppers: dict[str, Callable[..., list[Value]]] = {"LSTM": self._lstm, "GRU": self._gru, "RNN": self._simple}
        step = steppers[self.kind]
        outputs: dict[int, Value] = {}
        for time in reversed(range(steps)) if is_reversed else range(steps):
            now = step(tape.Gather(projected, tape.constant(np.array(time, np.int64)), axis=0), *now)
            outputs[time] = tape.Unsqueeze(now[0], tape.ints(0))
        return Run(tape.Concat(*(outputs[time] for time in range(steps)), axis=0), list(now), now[0])

    def _lstm(self, x: Value, h: Value, c: Value) -> list[Value]:
        i, f, new, o = self._split(x + self._of_state(h))
        c = self._gate(f) * c + self._gate(i) * self._activated(new)
        return [self._gate(o) * self._activated(c), c]

    def _gru(self, x: Value, h: Value) -> list[Value]:
        x_z, x_r, x_new = self._split(x)
        if self.resets_after:
            h_z, h_r, h_new = self._split(
                self._of_state(h) + self.owner.constant(f"{self.part}state_bias", self.biases[1])
            )
            r = self._gate(x_r + h_r)
            new = self._activated(x_new + r * h_new)
        else:
            h_z, h_r, _ = self._split(self._of_state(h))
            r = self._gate(x_r + h_r)
            new = self._activated(x_new + self._split(self._of_state(r * h))[2])
        z = self._gate(x_z + h_z)
        return [z * h + (1.0 - z) * new]

    def _simple(self, x: Value, h: Value) -> list[Value]:
        return [self._activated(x + self._of_state(h))]

    def _of_state(self, h: Value) -> Value:
        return h.tape.MatMul(h, self.owner.constant(f"{self.part}recurrent_kernel", self.recurrent))

    def _split(self, value: Value) -> tuple[Value, ...]:
        count = len(GATES[self.kind])
        return value.tape.emit("Split", [value, value.tape.ints(*[self.units] * count)], {"axis": -1}, outputs=count)

    def _gate(self, value: Value) -> Value:
        return self._applied(value, self.activations[0])

    def _activated(self, value: Value) -> Value:
        return self._applied(value, self.activations[-1])

    def _applied(self, value: Value, activation: Any) -> Value:
        return activate(self.owner, Tensor(value, (None, self.units)), activation).value
