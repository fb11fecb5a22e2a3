"""LSTMs whose matrices are convolutions, unrolled over a fixed number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxcam.graph import Value
from onnxcam_converters.keras.activations import activate
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.layers.cells import MOST_STEPS
from onnxcam_converters.keras.layers.convolution import convolve, window_of
from onnxcam_converters.keras.layers.recurrent import ASIDE, arguments
from onnxcam_converters.keras.layers.wrappers import folded
from onnxcam_converters.keras.registry import reads
from onnxcam_converters.keras.tensor import Tensor
from onnxcam_converters.keras.windows import Window, channels_in_front, is_channels_first, placed


@reads("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
def conv_lstm(
    layer: Layer, x: Tensor | Sequence[Any], initial_state: Any = None, mask: None = None
) -> Tensor | list[Tensor]:
    """Each step a picture: gates of convolutions of it and of the picture before."""
    layer.ignore("filters", *ASIDE)
    layer.expect("stateful", False)
    layer.expect("time_major", False)
    x, states = arguments(layer, x, initial_state, mask=mask)
    times = range(_steps(layer, x))
    order = list(reversed(times)) if layer.option("go_backwards", default=False) else list(times)
    inputs, recurrent, window = _projected(layer, x)
    now, outputs = [channels_in_front(layer, state) for state in states], []
    for time in order:
        step = layer.tape.Gather(inputs, layer.tape.constant(np.array(time, np.int64)), axis=1)
        gates = step + convolve(now[0], recurrent, None, window=window) if now else step
        now = _stepped(layer, gates, now[1] if now else None)
        outputs.append(now[0])
    y = _sequence(layer, outputs) if layer.option("return_sequences", default=False) else placed(layer, now[0])
    is_asked = layer.option("return_state", default=False)
    return [y, *(placed(layer, state) for state in now)] if is_asked else y


def _steps(layer: Layer, x: Tensor) -> int:
    steps = x.shape[1]
    if not isinstance(steps, int) or steps > MOST_STEPS:
        raise layer.refuse("it is unrolled, which needs a fixed length of at most 256 steps")
    return steps


def _projected(layer: Layer, x: Tensor) -> tuple[Value, Value, Window]:
    """The convolutions of all inputs at once, (N, T, 4 · filters, …), the kernel of the state and its window."""
    has_bias, window = layer.option("use_bias", default=True), window_of(layer)
    names = ("cell/kernel", "cell/recurrent_kernel", "cell/bias")[: 2 + has_bias]
    kernel, recurrent, *biases = layer.weights(*names)
    bias = layer.constant("bias", biases[0]) if biases else None
    constants = [layer.constant(n, _in_front(a)) for n, a in (("kernel", kernel), ("recurrent_kernel", recurrent))]
    y = convolve(channels_in_front(layer, folded(x)), constants[0], bias, window=window)
    sizes = [size for size in (y.shape or ())[1:] if isinstance(size, int)]
    if len(sizes) != len(window.size) + 1:
        raise layer.refuse("it is unrolled, which needs pictures of a fixed size")
    ones = (1,) * len(window.size)
    own = Window(window.size, ones, ones, "same")
    return layer.tape.Reshape(y, layer.tape.ints(-1, _steps(layer, x), *sizes)), constants[1], own


def _in_front(kernel: Array) -> Array:
    """From space, inputs, outputs to outputs, inputs, space."""
    rank = kernel.ndim
    return kernel.transpose(rank - 1, rank - 2, *range(rank - 2))


def _stepped(layer: Layer, gates: Value, before: Value | None) -> list[Value]:
    """The states h and c from the sums of the gates and the c before, None for zeros."""
    filters = int((gates.shape or (None, 0))[1] or 0) // 4
    i, f, new, o = gates.tape.emit("Split", [gates, gates.tape.ints(*[filters] * 4)], {"axis": 1}, outputs=4)
    gate, inner = layer.option("recurrent_activation"), layer.option("activation", default="tanh")
    c = _applied(layer, i, gate) * _applied(layer, new, inner)
    if before is not None:
        c = _applied(layer, f, gate) * before + c
    return [_applied(layer, o, gate) * _applied(layer, c, inner), c]


def _applied(layer: Layer, value: Value, activation: Any) -> Value:
    return activate(layer, placed(layer, value), activation).value


def _sequence(layer: Layer, outputs: Sequence[Value]) -> Tensor:
    """The pictures of all steps behind each other: (N, T, …)."""
    is_first, tape = is_channels_first(layer), layer.tape
    axis = 1 if is_first else 2
    value = tape.Concat(*(tape.Unsqueeze(output, tape.ints(axis)) for output in outputs), axis=axis)
    shape = value.shape or ()
    return Tensor(value, shape) if is_first else Tensor(value, (shape[0], *shape[2:], shape[1]), is_moved=True)
