"""Recurrent layers of every era: LSTM, GRU, SimpleRNN, those of cuDNN, and cells in an RNN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnxcam.graph import Value
from onnxcam_converters.keras.architecture import read_spec
from onnxcam_converters.keras.building import refuse_foreign
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.layers.cells import GATES, Cell, Run
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.stores import snake_case
from onnxcam_converters.keras.tensor import Tensor

KINDS = {
    "LSTM": "LSTM", "LSTMCell": "LSTM", "CuDNNLSTM": "LSTM",
    "GRU": "GRU", "GRUCell": "GRU", "CuDNNGRU": "GRU",
    "SimpleRNN": "RNN", "SimpleRNNCell": "RNN",
}  # fmt: skip
# Keras 1 has an array for each gate, in this order, where it was not told to consume less GPU time.
GATES_OF_KERAS_1 = {"LSTM": "icfo", "GRU": "zrh", "RNN": ""}
# What says how the arithmetic is done, or what is dropped in training.
ASIDE = (
    "implementation", "consume_less", "unroll", "zero_output_for_mask", "unit_forget_bias", "forget_bias_init",
    "inner_init", "dropout", "recurrent_dropout", "dropout_W", "dropout_U", "units", "output_dim", "use_cudnn",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A cell before its weights are read.

    Attributes:
        kind: the op of ONNX.
        part: of the layer, as .keras files have it: "cell/", or "" for the layer itself.
        options: its own.
    """

    kind: str
    part: str
    options: Layer

    @property
    def is_cudnn(self) -> bool:
        """Whether the weights lie as cuDNN wants them."""
        return self.options.kind.startswith("CuDNN")

    def names(self) -> list[str]:
        """Of its weights, in their order."""
        gates = GATES_OF_KERAS_1[self.kind]
        if self.options.keras[0] == 1 and gates and self.options.option("consume_less", default="cpu") != "gpu":
            return [f"{name}_{gate}" for gate in gates for name in "WUb"]
        has_bias = self.is_cudnn or self.options.option("use_bias", default=True)
        return [f"{self.part}{name}" for name in ("kernel", "recurrent_kernel", "bias")[: 2 + has_bias]]

    def cell(self, owner: Layer, part: str, arrays: Sequence[Array]) -> Cell:
        """With its weights."""
        self.options.ignore(*ASIDE)
        resets_after = self.kind == "GRU" and (self.is_cudnn or bool(self.options.option("reset_after", default=False)))
        kernel, recurrent, bias = self._joined(arrays)
        # Keras loads weights of cuDNN's layers into the plain ones too: they have twice the bias, in one row.
        if bias.shape == (2 * kernel.shape[1],):
            kernel, recurrent = _from_cudnn(kernel, GATES[self.kind]), _from_cudnn(recurrent, GATES[self.kind])
        biases = bias.reshape(-1, kernel.shape[1])
        if len(biases) > 1 and self.kind == "GRU" and not resets_after:
            raise owner.refuse("its weights are those of a GRU with reset_after=True")
        if len(biases) == 1:
            biases = np.concatenate([biases, np.zeros_like(biases)])
        return Cell(self.kind, owner, part + self.part, self.options, kernel, recurrent, biases, resets_after)

    def _joined(self, arrays: Sequence[Array]) -> tuple[Array, Array, Array]:
        if len(arrays) > 3:
            # From the order of Keras 1, i c f o, to the one of Keras 2, i f c o.
            order = (0, 2, 1, 3) if self.kind == "LSTM" else (0, 1, 2)
            kernel, recurrent, bias = (
                np.concatenate([arrays[3 * gate + place] for gate in order], axis=-1) for place in range(3)
            )
            return kernel, recurrent, bias
        kernel, recurrent, *biases = arrays
        return kernel, recurrent, biases[0] if biases else np.zeros(kernel.shape[1], np.float32)


def _from_cudnn(array: Array, gates: Sequence[int]) -> Array:
    """Each gate's matrix lies row by row as its transpose."""
    pieces = np.split(array, len(gates), axis=1)
    return np.concatenate([piece.reshape(piece.shape[::-1]).T for piece in pieces], axis=1)


@reads("LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "RNN")
def recurrent(
    layer: Layer, x: Tensor | Sequence[Any], initial_state: Any = None, mask: None = None
) -> Tensor | list[Tensor]:
    """The last output or all of them, and the last states where they are asked for."""
    x, states = arguments(layer, x, initial_state, mask=mask)
    plans = plans_of(layer)
    gone = Passage(layer, plans, layer.weights(*(name for plan in plans for name in plan.names())))
    run, backwards = gone.run(x, states), bool(layer.option("go_backwards", default=False))
    value = run.sequence if layer.option("return_sequences", default=False) else None
    y = last(run, x) if value is None else sequence(flipped(value) if backwards else value, x)
    return [y, *state_tensors(run, x)] if layer.option("return_state", default=False) else y


def arguments(layer: Layer, x: Any, initial_state: Any, *, mask: Any) -> tuple[Tensor, list[Tensor]]:
    """The sequence and the first states: Keras 2 puts them all in one list.

    Raises:
        UnsupportedLayer: for a mask.
    """
    if mask is not None:
        raise layer.refuse("its argument 'mask' is not covered")
    if isinstance(x, Tensor):
        return x, list(_flat(initial_state))
    return x[0], list(_flat([*x[1:], initial_state]))


def plans_of(layer: Layer) -> list[Plan]:
    """The cells that the sequence goes through, one after the other.

    Raises:
        UnsupportedLayer: if one of them is no cell of Keras's own.
    """
    if layer.kind in KINDS:
        has_part = layer.keras[0] > 1 and not layer.kind.startswith("CuDNN")
        return [Plan(KINDS[layer.kind], "cell/" if has_part else "", layer)]
    if layer.kind != "RNN":
        raise layer.refuse(f"{layer.kind} is no recurrent layer that the direct reader knows")
    plans = []
    for entry, part in _cells(layer.option("cell"), "cell"):
        options = inside(layer, entry)
        if options.kind not in KINDS:
            raise layer.refuse(f"its cell {options.kind} is not one of Keras's own")
        plans.append(Plan(KINDS[options.kind], f"{part}/", options))
    return plans


def inside(layer: Layer, entry: Mapping[str, Any]) -> Layer:
    """The options of a layer within the layer; its weights are those of the outer one."""
    kind, config = str(entry["class_name"]), dict(entry["config"])
    refuse_foreign(read_spec(entry), f"{layer.path}/{kind}")
    return replace(layer, kind=kind, config=config, read=set(), _constants={})


def _cells(entry: Any, part: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Cells with the groups that they have in .keras files, which count the cells of a class."""
    if isinstance(entry, Mapping) and entry["class_name"] != "StackedRNNCells":
        yield entry, part
        return
    entries = entry["config"]["cells"] if isinstance(entry, Mapping) else entry
    counts: Counter[str] = Counter()
    for each in entries:
        kind = snake_case(each["class_name"])
        number = f"_{counts[kind]}" if counts[kind] else ""
        counts[kind] += 1
        yield each, f"{part}/cells/{kind}{number}"


@dataclass(frozen=True)
class Passage:
    """Cells with their weights, and how a sequence goes through them.

    Attributes:
        layer: whose they are.
        plans: of the cells, the first first.
        arrays: the weights of all of them, in order.
        part: what the constants' names begin with.
    """

    layer: Layer
    plans: Sequence[Plan]
    arrays: Sequence[Array]
    part: str = ""

    def run(self, x: Tensor, states: Sequence[Tensor]) -> Run:
        """The outputs of the last cell, and the states of all."""
        layer = self.layer
        layer.expect("time_major", False)
        if layer.option("stateful", default=False):
            layer.story.note(f"Layer {layer.path!r} keeps its state from batch to batch; here each batch starts anew.")
        backwards = bool(layer.option("go_backwards", default=False))
        value, arrays, left = time_first(x), list(self.arrays), [state.plain() for state in states]
        found: list[Value] = []
        for plan in self.plans:
            count = len(plan.names())
            cell, arrays = plan.cell(layer, self.part, arrays[:count]), arrays[count:]
            own = 2 if plan.kind == "LSTM" else 1
            run = cell.run(value, left[:own], steps=x.shape[1], is_reversed=backwards)
            value, left = run.sequence, left[own:]
            found, end = [*found, *run.states], run.last
            if plan.options is not layer:
                plan.options.finish()
        layer.ignore("cell", *ASIDE)
        return Run(value, found, end)


def time_first(x: Tensor) -> Value:
    """The sequence (N, T, C), however it lies, as (T, N, C)."""
    return x.tape.Transpose(x.value, perm=[x.axis(1), 0, x.axis(2)])


def flipped(sequence: Value) -> Value:
    """The sequence (T, N, C) in the other direction of time."""
    ints = sequence.tape.ints
    # From the last to before the first: any number below −T ends there.
    return sequence.tape.Slice(sequence, ints(-1), ints(np.iinfo(np.int64).min), ints(0), ints(-1))


def sequence(value: Value, x: Tensor) -> Tensor:
    """(T, N, units) as Keras has it."""
    return Tensor(value.tape.Transpose(value, perm=[1, 0, 2]), (*x.shape[:2], _units(value)))


def last(run: Run, x: Tensor) -> Tensor:
    """The output of the last step: the state h of the last cell."""
    return Tensor(run.last, (x.shape[0], _units(run.sequence)))


def state_tensors(run: Run, x: Tensor) -> list[Tensor]:
    """The last states."""
    return [Tensor(state, (x.shape[0], _units(state))) for state in run.states]


def _units(value: Value) -> Any:
    return value.shape[-1] if value.shape else None


def _flat(states: Any) -> Iterator[Tensor]:
    if isinstance(states, Tensor):
        yield states
    for state in states or () if isinstance(states, list | tuple) else ():
        yield from _flat(state)
