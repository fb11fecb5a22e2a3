"""What a model would say if a layer's activation were another: all that lies above the layer, run again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from onnxcam.autodiff import custom_domains
from onnxcam.graph import (
    Tape,
    Value,
    check,
    descendants,
    drop_unread_inputs,
    drop_unused,
    is_large,
    load,
    replay,
    write,
)
from onnxcam.layer import Layer
from onnxcam.layouts import Followed
from onnxcam.planning import Wish, plan
from onnxcam.portions import filled_up
from onnxcam.providers import ProviderSpec, failing, open_session
from onnxcam.repetition import Repeats

Floats: TypeAlias = NDArray[np.float32]

REPLACEMENT, VALUES = "onnxcam/replacement", "onnxcam/values"
CHUNK = 16  # replacements in one run


class Tail:
    """The part of a model above a layer, in ONNX Runtime.

    Attributes:
        is_closed: whether the scores hang on the layer alone, and nothing of the inputs goes around it.
    """

    def __init__(self, source: Any, wish: Wish, *, providers: Sequence[ProviderSpec] | None = None) -> None:
        """The tail of the first layer that the wish names, up to the scores.

        Raises:
            NotRepeatable: if control flow lies above the layer.
            OnnxCamError: as for `onnxcam.convert`.
        """
        loaded = load(source, domains=custom_domains())
        found = plan(loaded, wish)
        tape, picture, layer = found.tape, found.picture, found.layers[0]
        self._picture = picture.name
        fixed = (picture.shape or (None,))[0]  # pictures in a run; then each has one replacement
        self._fixed = loaded.batch_reason or None
        self._rows, self._step = (fixed, fixed) if isinstance(fixed, int) else (1, CHUNK)
        grow(tape, picture, layer, found.scores.values)
        with as_source(tape.model) as file:
            self._session = open_session(file, providers=providers)
        shapes = {entry.name: entry.shape for entry in self._session.get_inputs()}
        self._counting = {name for name, shape in shapes.items() if shape[:1] == [fixed]}
        self._others = shapes.keys() - {self._picture, REPLACEMENT}
        self.is_closed = not self._others and not any(self._picture in node.input for node in tape.model.graph.node)

    def __call__(
        self, prepared: NDArray[Any], activations: Floats, *, inputs: Mapping[str, NDArray[Any]] | None = None
    ) -> Floats:
        """(R, S), the scores for each of (R, C, h, w) in place of the layer's activation.

        `prepared`: the picture as the model takes it, without batch axis. `inputs`: the model's other inputs for it,
        with one row each; what the tail does not read may be among them.
        """
        given = {name: array for name, array in (inputs or {}).items() if name in self._others}
        given[self._picture] = prepared[None]
        given = {name: filled_up(x, self._rows) if name in self._counting else x for name, x in given.items()}
        results = []
        for at in range(0, len(activations), self._step):
            part = np.ascontiguousarray(activations[at : at + self._step], np.float32)
            with failing(self._fixed):
                (values,) = self._session.run(
                    [VALUES], {**given, REPLACEMENT: filled_up(part, max(self._rows, len(part)))}
                )
            results.append(values[: len(part)])
        return np.concatenate(results).astype(np.float32)


def grow(tape: Tape, picture: Value, layer: Layer, scores: Value) -> None:
    """Makes the model one from the picture and a replacement (N·R, C, h, w) to the scores (N·R, S)."""
    value = tape.value(layer.tensor)
    channels = (value.shape or ())[layer.layout.index("C")]
    given = tape.add_input(REPLACEMENT, np.float32, ["replacements", channels, *layer.grid])
    with tape.named("tail"):
        count = tape.Shape(given, start=0, end=1) / tape.Shape(picture, start=0, end=1)
        repeats = Repeats(Followed(tape, picture), descendants(tape, picture), count)
        replaced = replay(tape, {value: laid_out(given, layer, repeats.of(value))}, scores, repeats.of)[scores]
    del tape.model.graph.output[:]
    tape.add_output(replaced if replaced.dtype == np.float32 else tape.Cast(replaced, to=1), VALUES)
    drop_unused(tape.model)
    drop_unread_inputs(tape.model, (picture.name, REPLACEMENT))
    check(tape.model)


def laid_out(given: Value, layer: Layer, like: Value) -> Value:
    """(M, C, h, w) as the layer's own tensor is laid out; tokens beside the grid are those of `like`."""
    op, order = given.tape, "NCT" if "T" in layer.layout else "NCHW"
    if "T" in layer.layout:
        given = op.Reshape(given, op.ints(0, 0, -1))
        given = among_others(given, op.Transpose(like, perm=[layer.layout.index(axis) for axis in order]), layer)
    perm = [order.index(axis) for axis in layer.layout]
    value = given if perm == sorted(perm) else op.Transpose(given, perm=perm)
    return value if value.dtype == like.dtype else op.CastLike(value, like)


def among_others(given: Value, like: Value, layer: Layer) -> Value:
    """(M, C, h·w) with the tokens of `like`, (M, C, T), before and behind."""
    op, (h, w) = given.tape, layer.grid
    if not isinstance(h, int) or not isinstance(w, int) or (like.shape or ())[-1:] == (h * w,):
        return given
    given = given if given.dtype == like.dtype else op.CastLike(given, like)
    axis, end = op.ints(2), layer.prefix + h * w
    before = op.Slice(like, op.ints(0), op.ints(layer.prefix), axis)
    behind = op.Slice(like, op.ints(end), op.ints(np.iinfo(np.int64).max), axis)
    return op.Concat(before, given, behind, axis=2)


@contextmanager
def as_source(model: ModelProto) -> Iterator[str | bytes]:
    """The model as ONNX Runtime takes it: bytes, or a file while it is loaded where they would be over 2 GB."""
    if not is_large(model):
        yield model.SerializeToString()
        return
    with TemporaryDirectory(prefix="onnxcam-") as folder:
        path = Path(folder) / "tail.onnx"
        write(model, path)
        yield str(path)
