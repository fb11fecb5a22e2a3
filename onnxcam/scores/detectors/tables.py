"""The outputs of a detector as one table: a row for each candidate, and what the head says of it in columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from onnxcam.graph import Tape, Value
from onnxcam.scores.detectors.grids import ANCHORS, PYRAMIDS, Pyramid, pyramid_of, sides
from onnxcam.scores.detectors.plumbing import RESHAPING, STORING, Part, parts

STRIDES = (8, 16, 32, 4, 64, 128)
MOST_COLUMNS, FEWEST_ROWS = 2000, 20
# Widths of the distributions over distances: 4 · 8, 4 · 16, 4 · 17.
DISTRIBUTIONS = (32, 64, 68)


@dataclass(frozen=True, slots=True)
class Table:
    """What a head says of its candidates.

    Attributes:
        value: (N, B, E).
        parts: where its columns come from.
        pyramid: the scales of the candidates; None where their number fits none.
        is_columns_first: the model gives it as (N, E, B).
        output: the model's own output, or the first of several.
        name: of the outputs, before users.
    """

    value: Value
    parts: tuple[Part, ...]
    pyramid: Pyramid | None
    is_columns_first: bool
    output: Value
    name: str

    @property
    def width(self) -> int:
        """E."""
        return sum(part.size for part in self.parts)

    @property
    def bounds(self) -> set[int]:
        """The columns at which a new part begins."""
        return {sum(part.size for part in self.parts[:index]) for index in range(len(self.parts))}

    def part_at(self, column: int) -> Part:
        """The part that a column belongs to."""
        at = 0
        for part in self.parts:
            at += part.size
            if column < at:
                return part
        return self.parts[-1]


def table_of(value: Value, *, pyramid: Pyramid | None, output: Value, is_columns_first: bool = False) -> Table | None:
    """The table with its columns looked through; None if their number is open."""
    found = tuple(parts(value, -1))
    return Table(value, found, pyramid, is_columns_first, output, output.name) if found else None


def is_float(value: Value) -> bool:
    """Whether it holds numbers that a gradient can be taken of."""
    return value.dtype is not None and value.dtype.kind in "fV"


def single_tables(tape: Tape, picture: Value) -> Iterator[Table]:
    """Outputs that are a table each, (N, B, E) or (N, E, B): a row for each cell, or columns that begin with a box."""
    for output in tape.outputs:
        if not is_float(output) or output.shape is None or len(output.shape) != 3:
            continue
        for axis in (1, 2):
            rows, columns = output.shape[axis], output.shape[3 - axis]
            is_few = isinstance(rows, int) and rows < FEWEST_ROWS
            if is_few or not isinstance(columns, int) or not 5 <= columns <= MOST_COLUMNS:
                continue
            pyramid = pyramid_of(rows, picture) if isinstance(rows, int) else _joined_scales(output)
            table = _turned(output, axis, pyramid=pyramid)
            if table is not None and not isinstance(rows, int) and not any(part.is_learnt for part in table.parts):
                table = replace(table, pyramid=None)
            if table is not None and (table.pyramid or _begins_with_box(table)):
                yield table
                break


def _turned(output: Value, axis: int, *, pyramid: Pyramid | None) -> Table | None:
    value = output if axis == 1 else output.tape.Transpose(output, perm=[0, 2, 1])
    return table_of(value, pyramid=pyramid, output=output, is_columns_first=axis == 2)


def _joined_scales(output: Value) -> Pyramid | None:
    """The scales of raw numbers for pictures of any size: as many as were put behind one another, the usual ones."""
    node = output.producer
    while node is not None and node.op_type in STORING | RESHAPING | {"Transpose"}:
        node = node.x.producer
    count = len(node.inputs) if node is not None and node.op_type == "Concat" else 0
    return next((Pyramid(strides) for strides in PYRAMIDS if len(strides) == count and count > 2), None)


def _begins_with_box(table: Table) -> bool:
    return 4 in table.bounds and not table.part_at(0).is_learnt


@dataclass(frozen=True, slots=True)
class Scale:
    """One output at one scale, (N, B, E)."""

    stride: int
    anchors: int
    value: Value
    output: Value

    @property
    def width(self) -> int:
        """E; 0 where it is open."""
        size = (self.value.shape or (0,))[-1]
        return size if isinstance(size, int) else 0


def scale_table(tape: Tape, picture: Value) -> Table | None:
    """The outputs of several scales, (N, E, h, w) or (N, B, E) each, one or several a scale, as one table.

    Its columns are the box's, the objectness and the classes, as far as there are such.
    """
    scales = [scale for output in tape.outputs if is_float(output) and (scale := scale_of(output, picture))]
    by_stride: dict[int, list[Scale]] = {}
    for scale in scales:
        by_stride.setdefault(scale.stride, []).append(scale)
    groups = [by_stride[stride] for stride in sorted(by_stride)]
    widths = {tuple(sorted(scale.width for scale in group)) for group in groups}
    if len(groups) < 2 or len(widths) != 1 or len({scale.anchors for scale in scales}) != 1:
        return None
    chosen = [_in_order(group) for group in groups]
    if any(not group for group in chosen):
        return None
    op, first = tape, chosen[0][0]
    rows = [op.Concat(*(x.value for x in group), axis=-1) if len(group) > 1 else group[0].value for group in chosen]
    pyramid = Pyramid(tuple(sorted(by_stride)), first.anchors)
    return table_of(op.Concat(*rows, axis=1), pyramid=pyramid, output=first.output)


def scale_of(output: Value, picture: Value) -> Scale | None:
    """What the output's sizes say: (N, E, h, w), (N, h, w, E), (N, B, E) or (B, E), with B a scale's cells."""
    op, shape, (height, width) = output.tape, output.shape or (), sides(picture)
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    for stride in STRIDES:
        h, w = -(-height // stride), -(-width // stride)
        if len(shape) == 4 and shape[2:] == (h, w) and shape[1] != 1:
            flat = op.Reshape(output, op.ints(0, 0, h * w))
            return Scale(stride, 1, op.Transpose(flat, perm=[0, 2, 1]), output)
        if len(shape) == 4 and shape[1:3] == (h, w):
            return Scale(stride, 1, op.Reshape(output, op.ints(0, h * w, -1)), output)
        for anchors in ANCHORS:
            if len(shape) in (2, 3) and shape[-2] == anchors * h * w:
                value = output if len(shape) == 3 else op.Unsqueeze(output, op.ints(0))
                return Scale(stride, anchors, value, output)
    return None


def _in_order(group: Sequence[Scale]) -> list[Scale]:
    """The outputs of one scale: boxes, objectness, classes; others, such as key points, are left out."""
    if len(group) == 1:
        return list(group)
    boxes = _boxes_of(group)
    if boxes is None:
        return []
    others = [scale for scale in group if scale is not boxes]
    scores = [scale for scale in others if all(part.is_squashed for part in parts(scale.value, -1))] or others
    scores.sort(key=lambda scale: (scale.width, "obj" not in scale.output.name.lower()))
    return [boxes, *scores[:2]] if scores[0].width == 1 else [boxes, scores[0]]


def _boxes_of(group: Sequence[Scale]) -> Scale | None:
    """The output of four columns, or of a distribution over each of four distances."""
    for width in (4, *DISTRIBUTIONS):
        found = [x for x in group if x.width == width and not any(part.is_squashed for part in parts(x.value, -1))]
        if found:
            return found[0]
    return None
