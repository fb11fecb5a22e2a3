"""Several targets for each image: its rows repeated above the layer, while all below runs once."""

from __future__ import annotations

from collections.abc import Sequence

from onnxcam.errors import NotRepeatable
from onnxcam.graph import Tape, Value, descendants, replay


def repeat_rows(value: Value, count: Value) -> Value:
    """(N, …) → (N·K, …), each row K times in a row. `count`: int64 [K]."""
    op, shape = value.tape, value.shape or (None,) * 4
    parts = [op.ints(1), count] if len(shape) == 1 else [op.ints(1), count, op.ints(*[1] * (len(shape) - 1))]
    stretched = op.Expand(op.Unsqueeze(value, op.ints(1)), op.Concat(*parts, axis=0))
    sizes = [n for n in shape[1:] if isinstance(n, int)]
    if len(sizes) == len(shape) - 1:
        return op.Reshape(stretched, op.ints(-1, *sizes))
    return op.Reshape(stretched, op.Concat(op.ints(-1), op.Shape(value, start=1), axis=0))


def rerun_on_repeats(
    tape: Tape, layers: Sequence[Value], end: Value, picture: Value, *, count: Value
) -> dict[Value, Value]:
    """The layers and `end` for repeated rows: the lowest layers are repeated, and what lies above them runs again.

    Raises:
        NotRepeatable: if sizes computed from the picture itself, or control flow, go into what is run again.
    """
    of_picture = descendants(tape, picture)
    lowest = [layer for layer in layers if not any(layer in descendants(tape, x) for x in layers if x != layer)]

    def outside(value: Value) -> Value:
        if value not in of_picture:
            return value
        if value.dtype is None or value.dtype.kind not in "fV":
            raise NotRepeatable(value.name, "is a size taken from the picture itself")
        return repeat_rows(value, count)

    return replay(tape, {layer: repeat_rows(layer, count) for layer in lowest}, end, outside)
