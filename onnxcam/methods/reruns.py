"""The score in each of many variants of a tensor: what lies above runs again, for as many at once as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

from onnxcam.columns import Columns
from onnxcam.graph import Dim, Iteration, Sliced, Tape, Value, between
from onnxcam.question import Question
from onnxcam.repetition import merge_rows

# The largest tensor of what runs at once, for one image.
CHUNK_BYTES = 8 << 20
# Of a size that is open; of a layer whose variants cannot be counted before it runs.
PRESUMED_SIZE, MOST_AT_ONCE = 32, 64
# Chunks are written one after the other while they are few nodes: runtimes without Scan run them too, and a CUDA
# graph can be captured. More of them become one Scan.
MOST_NODES, NODES_BESIDE = 1024, 16

# From the numbers of some variants, float32 (R,), to what takes the place of tensors in them, (N·R, …). The values
# come from the tape of the numbers, which may be a body's.
Make: TypeAlias = Callable[[Value], Mapping[Value, Value]]


@dataclass(frozen=True, slots=True)
class Variants:
    """Tensors of the model that are to be others.

    Attributes:
        starts: those.
        count: V, of how many variants; a number or an int64 scalar.
        make: what they are instead.
        is_picked: whether the only start is what the last linear layer gives, and `make` gives the columns of it that
            the targets pick and no others.
    """

    starts: Sequence[Value]
    count: int | Value
    make: Make
    is_picked: bool = False

    def columns(self, question: Question) -> Columns | None:
        """What is read of the last linear layer; None where they start behind it, or there is none to be read so."""
        columns = question.columns
        return columns if columns is None or self.is_picked or columns.outputs.isdisjoint(self.starts) else None


def scores_of(question: Question, variants: Variants) -> Value:
    """The score of each target in each variant, float32 (N, K, V)."""
    size, op = at_once(question, variants), question.tape
    if not isinstance(variants.count, int):
        return _scanned(question, variants, size)
    firsts = range(0, variants.count, size)
    nodes = len(between(op, set(variants.starts), question.scores.values)) + NODES_BESIDE
    if len(firsts) > 1 and len(firsts) * nodes > MOST_NODES:
        return _scanned(question, variants, size)
    parts = [_chunk(question, variants, counted(op, min(k + size, variants.count), first=k)) for k in firsts]
    return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=2)


def at_once(question: Question, variants: Variants) -> int:
    """How many variants of an image run together."""
    fitting = max(1, CHUNK_BYTES // max(_sizes(question, variants)))
    return min(fitting, variants.count if isinstance(variants.count, int) else MOST_AT_ONCE)


def _sizes(question: Question, variants: Variants) -> Iterator[int]:
    """The bytes of each tensor that is there once for each variant."""
    columns, starts = variants.columns(question), variants.starts
    if columns is not None:
        all_columns = size_at(columns.linear.y, columns.linear.axis)
        yield _bytes(columns.linear.y) * _columns(columns) // (all_columns if isinstance(all_columns, int) else 1)
    if not variants.is_picked:
        end = question.scores.values if columns is None else columns.linear.x
        nodes = between(question.tape, set(starts), end)
        yield from map(_bytes, [*starts, *(value for node in nodes for value in node.outputs)])


def _columns(columns: Columns) -> int:
    """How many columns are picked of an image."""
    sizes = [(term.column.shape or (None, None))[1] for term in columns.terms]
    return sum(n if isinstance(n, int) else PRESUMED_SIZE for n in sizes)


def _bytes(value: Value) -> int:
    """Of one image's part; the first axis that is open is taken for that of the images."""
    shape, width = list(value.shape or ()), 4 if value.dtype is None else value.dtype.itemsize
    opened = next((i for i, n in enumerate(shape) if not isinstance(n, int)), None)
    sizes: list[Dim] = [_factor(n) if i == opened else n for i, n in enumerate(shape)]
    return width * prod(n if isinstance(n, int) else PRESUMED_SIZE for n in sizes)


def _factor(size: Dim) -> int:
    """How many entries an image has on the axis of the images: 16 of "16*batch"."""
    front = str(size).partition("*")[0]
    return int(front) if front.isdigit() else 1


def _chunk(question: Question, variants: Variants, numbers: Value) -> Value:
    """(N, K, R)."""
    op = numbers.tape
    # Not on a body's tape: what comes in from beside the variants is repeated outside of it.
    sizes, once = numbers.shape, question.tape
    count = op.Shape(numbers) if sizes is None or sizes[0] is None else once.ints(int(sizes[0]))
    replaced, columns = variants.make(numbers), variants.columns(question)
    if columns is None:
        scores = question.pick(question.rerun(replaced, count, place=op), count)
    elif variants.is_picked:
        scores = columns.scores(replaced[columns.linear.y], count)
    else:
        inputs = question.rerun(replaced, count, place=op, end=columns.linear.x)
        scores = columns.scores(columns.of(inputs, count), count)
    return scores if scores.dtype == np.float32 else op.Cast(scores, to=1)


def counted(op: Tape, count: int | Value, *, first: int = 0) -> Value:
    """The numbers from the first to below the count, float32: made when the file is loaded, not written into it."""
    start, step = (op.constant(np.array(n, np.float32)) for n in (first, 1))
    end = op.constant(np.array(count, np.float32)) if isinstance(count, int) else op.Cast(count, to=1)
    return op.Range(start, end, step)


def size_at(value: Value, axis: int) -> int | Value:
    """The length of the axis: a number where it is known, else an int64 scalar."""
    op, size = value.tape, (value.shape or ())[axis]
    return size if isinstance(size, int) else op.Squeeze(op.Shape(value, start=axis, end=axis + 1), op.ints(0))


def _scanned(question: Question, variants: Variants, size: int) -> Value:
    """The chunks one by one in a Scan; what the last one has beyond V is cut off."""
    op = question.tape
    count = op.constant(np.array(variants.count)) if isinstance(variants.count, int) else variants.count
    whole = (count + (size - 1)) / size * size
    rows = op.Reshape(counted(op, whole), op.ints(-1, size))
    body = Iteration(op)
    scores = _chunk(question, variants, body.slice(Sliced(rows)))
    _, (found,) = body.scan([], [Sliced(scores)])
    joined = op.Reshape(op.Transpose(found, perm=[1, 2, 0, 3]), op.ints(0, 0, -1))
    return op.Slice(joined, op.ints(0), op.Reshape(count, op.ints(1)), op.ints(2))


def beside(value: Value, layout: str, op: Tape) -> Value:
    """With an axis for the variants behind that of the images: "NCHW" → "NRCHW"."""
    return op.Unsqueeze(value, op.ints(layout.index("N") + 1))


def spread(mask: Value, axes: str, layout: str) -> Value:
    """A tensor of some axes, R among them, to be combined with what `beside` gives."""
    op, letters = mask.tape, layout.replace("N", "NR")
    there = [letter for letter in letters if letter in axes]
    ordered = mask if "".join(there) == axes else op.Transpose(mask, perm=[axes.index(letter) for letter in there])
    return op.Unsqueeze(ordered, op.ints(*(i for i, letter in enumerate(letters) if letter not in axes)))


def merged(variants: Value, value: Value, layout: str) -> Value:
    """(N, R, …) → (N·R, …): what `beside` gave of the value, worked on."""
    return merge_rows(variants, value, axis=layout.index("N"))
