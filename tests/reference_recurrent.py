"""LSTM, GRU and RNN with all their options, and Scan in all directions, in numpy; ONNX has only the first forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]
FUNCTIONS: dict[str, Callable[..., Array]] = {
    "affine": lambda x, a, b: a * x + b,
    "elu": lambda x, a=1.0: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
    "hardsigmoid": lambda x, a=0.2, b=0.5: np.clip(a * x + b, 0, 1),
    "leakyrelu": lambda x, a=0.01: np.where(x > 0, x, a * x),
    "relu": lambda x: np.maximum(x, 0),
    "scaledtanh": lambda x, a, b: a * np.tanh(b * x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
    "thresholdedrelu": lambda x, a: np.where(x > a, x, 0),
}
PARAMETERS = {"affine": 2, "elu": 1, "hardsigmoid": 2, "leakyrelu": 1, "scaledtanh": 2, "thresholdedrelu": 1}


class Recurrent(OpRun):
    """Goes through each sequence for itself, element by element of the batch."""

    states: ClassVar[int] = 1
    defaults: ClassVar[Sequence[str]] = ("tanh",)
    options: dict[str, Any]

    def _run(self, x: Array, w: Array, r: Array, *others: Array | None, **options: Any) -> tuple[Array, ...]:
        bias, lengths, h, c, peepholes = [*others, *[None] * 5][:5]
        self.options = options
        turned = bool(options["layout"])
        x, h, c = (v if v is None or not turned else v.swapaxes(0, 1) for v in (x, h, c))
        time, batch, hidden = *x.shape[:2], r.shape[2]
        lengths = np.full(batch, time) if lengths is None else lengths
        shown = np.zeros((time, len(w), batch, hidden), x.dtype)
        last = np.zeros((self.states, len(w), batch, hidden), x.dtype)
        for way, n in np.ndindex(len(w), batch):
            bounds = np.zeros(2 * len(w[way]), x.dtype) if bias is None else bias[way]
            state = [np.zeros(hidden, x.dtype) if v is None else v[way, n] for v in (h, c)[: self.states]]
            functions = self._functions(way, len(w))
            is_backward = way == 1 or options["direction"] == "reverse"
            for t in sorted(range(lengths[n]), reverse=is_backward):
                peep = np.zeros(3 * hidden, x.dtype) if peepholes is None else peepholes[way]
                state = self._step(x[t, n], state, functions, (w[way], r[way], bounds, peep))
                shown[t, way, n] = state[0]
            if lengths[n]:
                last[:, way, n] = state
        if turned:
            shown, last = shown.transpose(2, 0, 1, 3), last.swapaxes(1, 2)
        return (shown, *last)[: len(self.onnx_node.output)]

    def _functions(self, way: int, ways: int) -> list[Callable[[Array], Array]]:
        names = [name.lower() for name in self.options["activations"] or ()] or [*self.defaults] * ways
        alphas, betas = (list(self.options[f"activation_{which}"] or ()) for which in ("alpha", "beta"))
        found = []
        for name in names:
            count = PARAMETERS.get(name, 0)
            given = [queue.pop(0) for queue in (alphas, betas)[:count] if queue]
            found.append(lambda x, name=name, given=tuple(given): FUNCTIONS[name](x, *given))
        size = len(self.defaults)
        return found[way * size : (way + 1) * size]

    def _clip(self, gate: Array) -> Array:
        limit = self.options["clip"]
        return gate if limit is None else np.clip(gate, -limit, limit)

    def _step(self, x: Array, state: list[Array], functions: Any, weights: Any) -> list[Array]:
        raise AssertionError("each op has its own")


class RNN(Recurrent):
    def _step(self, x: Array, state: list[Array], functions: Any, weights: Any) -> list[Array]:
        w, r, b, _ = weights
        of_input, of_state = np.split(b, 2)
        return [functions[0](self._clip(w @ x + of_input + r @ state[0] + of_state))]


class LSTM(Recurrent):
    states = 2
    defaults = ("sigmoid", "tanh", "tanh")

    def _step(self, x: Array, state: list[Array], functions: Any, weights: Any) -> list[Array]:
        (h, c), (f, g, end), (w, r, b, p) = state, functions, weights
        gates = np.split(w @ x + r @ h + b[: len(b) // 2] + b[len(b) // 2 :], 4)
        peep_i, peep_o, peep_f = np.split(p, 3)
        i = f(self._clip(gates[0] + peep_i * c))
        forget = 1 - i if self.options["input_forget"] else f(self._clip(gates[2] + peep_f * c))
        c = forget * c + i * g(self._clip(gates[3]))
        return [f(self._clip(gates[1] + peep_o * c)) * end(c), c]


class GRU(Recurrent):
    defaults = ("sigmoid", "tanh")

    def _step(self, x: Array, state: list[Array], functions: Any, weights: Any) -> list[Array]:
        (h,), (f, g), (w, r, b, _) = state, functions, weights
        (w_z, w_r, w_n), (r_z, r_r, r_n) = np.split(w, 3), np.split(r, 3)
        b_z, b_r, b_n, s_z, s_r, s_n = np.split(b, 6)
        update = f(self._clip(w_z @ x + r_z @ h + b_z + s_z))
        reset = f(self._clip(w_r @ x + r_r @ h + b_r + s_r))
        seen = reset * (r_n @ h + s_n) if self.options["linear_before_reset"] else r_n @ (reset * h) + s_n
        return [(1 - update) * g(self._clip(w_n @ x + b_n + seen)) + update * h]


class Scan(OpRun):
    """Along any axes, in any directions."""

    def need_context(self) -> bool:
        return True

    def _run(self, *args: Array, context: Any = None, **options: Any) -> tuple[Array, ...]:
        count, body = len(args) - options["num_scan_inputs"], self.body
        states, slices = list(args[:count]), []
        for index, whole in enumerate(args[count:]):
            along = np.moveaxis(whole, self._option(options, "input_axes", index), 0)
            slices.append(along[::-1] if self._option(options, "input_directions", index) else along)
        given: list[list[Array]] = [[] for _ in body.output_names[count:]]
        for parts in zip(*slices, strict=True):
            found = body.run(None, {**(context or {}), **dict(zip(body.input_names, (*states, *parts), strict=True))})
            states = list(found[:count])
            for pile, part in zip(given, found[count:], strict=True):
                pile.append(part)
        wholes = []
        for index, pile in enumerate(given):
            is_backward = self._option(options, "output_directions", index)
            stacked = np.stack(pile[::-1] if is_backward else pile)
            wholes.append(np.moveaxis(stacked, 0, self._option(options, "output_axes", index)))
        return (*states, *wholes)

    def _option(self, options: dict[str, Any], name: str, index: int) -> int:
        values = options[f"scan_{name}"] or []
        return values[index] if index < len(values) else 0
