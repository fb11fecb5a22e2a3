"""Pictures in rows and columns with headings: as wide as a screen, and below each other in bands from there on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np

from onnxcam.images import Image
from onnxcam.legend import FONT, INK, PAPER, drawable, measured, wrapped

CELL = 224  # pixels of a picture's longer side
WIDEST = 1640  # pixels of a band; a single column may be wider
MARGIN, GAP = 18, 8
SOFT, WASH = (110, 110, 110), 240
SCALE, SMALL = 0.5, 0.42  # font scales: about 11 and 9 pixels of height
PITCH = 20  # pixels from line to line
STUB = (110, 190)  # pixels of the column of headings, at least and at most
LINES = 4  # of a heading, at most
LEAST = (96, 2 * PITCH)  # pixels of a cell, for pictures that are thin


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """What stands in one cell: a picture, a remark, or a remark across a picture."""

    image: Image | None
    remark: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Pictures of one size in rows and columns.

    Attributes:
        title: lines at the top, beside `photo`.
        columns, rows: headings; the first line of each is dark, the others lighter.
        tiles: by row.
    """

    photo: Image
    title: Sequence[str]
    columns: Sequence[Sequence[str]]
    rows: Sequence[Sequence[str]]
    tiles: Sequence[Sequence[Tile]]

    def draw(self, side: int = CELL) -> Image:
        """The grid, with pictures of so many pixels on their longer side."""
        height, width = self.photo.shape[:2]
        ratio = side / max(height, width)
        size = max(1, round(width * ratio)), max(1, round(height * ratio))
        stub = self._stub()
        fit = max(1, (WIDEST - 2 * MARGIN - stub) // (max(size[0], LEAST[0]) + GAP))
        per_band = ceil(len(self.columns) / ceil(len(self.columns) / fit))
        bands = [self._band(slice(at, at + per_band), size, stub) for at in range(0, len(self.columns), per_band)]
        return framed([self._head(max(band.shape[1] for band in bands)), *bands])

    def _stub(self) -> int:
        """The width of the column of headings; none where the rows have no names."""
        longest = max((measured(drawable(line), SCALE) for row in self.rows for line in row), default=0)
        return min(max(longest + 2 * GAP, STUB[0]), STUB[1]) if longest else 0

    def _head(self, width: int) -> Image:
        """The photo as it is, small, and the title."""
        height = PITCH * 4
        ratio = min(height / self.photo.shape[0], 2 * height / self.photo.shape[1])
        sides = max(1, round(self.photo.shape[1] * ratio)), max(1, round(self.photo.shape[0] * ratio))
        small = fitted(self.photo, sides)
        room = max(width - small.shape[1] - 2 * GAP, STUB[0])
        return beside([small, text(self.title, room, max(height, height_of(self.title, room)))])

    def _band(self, part: slice, size: tuple[int, int], stub: int) -> Image:
        headings, width = self.columns[part], max(size[0], LEAST[0])
        height = max(height_of(heading, width) for heading in headings)
        rows = [[blank(stub, height), *(text(heading, width, height) for heading in headings)]]
        for heading, tiles in zip(self.rows, self.tiles, strict=True):
            name = text(heading, stub, max(size[1], height_of(heading, stub - GAP)), room=stub - GAP)
            rows.append([name, *(drawn(tile, size) for tile in tiles[part])])
        return stacked([beside(row if stub else row[1:]) for row in rows])


def drawn(tile: Tile, size: tuple[int, int]) -> Image:
    """The cell's picture and below it its remark, or its remark alone."""
    cell = max(size[0], LEAST[0]), max(size[1], LEAST[1])
    if tile.image is None:
        return empty(tile.remark, cell)
    image = blank(cell[0], size[1])
    image[:, : size[0]] = fitted(tile.image, size)
    return np.vstack([image, text([tile.remark], cell[0], PITCH)]) if tile.remark else image


def empty(remark: str, size: tuple[int, int]) -> Image:
    """A cell without a picture: the reason, as much of it as there is room for."""
    cell = np.full((size[1], size[0], 3), WASH, np.uint8)
    lines = list(wrapped(drawable(remark), size[0] - 2 * GAP, SMALL)) if remark else []
    room = max(1, (size[1] - 2 * GAP) // PITCH)
    lines = kept(lines, room, size[0] - 2 * GAP, SMALL)
    top = (size[1] - len(lines) * PITCH) // 2
    for number, line in enumerate(lines):
        place = GAP, top + number * PITCH + 14
        cv2.putText(cell, line, place, FONT, SMALL, SOFT, 1, cv2.LINE_AA)
    return cell


def text(lines: Sequence[str], width: int, height: int, *, room: int | None = None) -> Image:
    """The lines in a box, from its top: wrapped, the first dark, dots for what does not fit."""
    box, room = blank(width, height), width if room is None else room
    most = max(1, height // PITCH)
    shown = broken_lines(lines, room)
    if len(shown) > most:
        line, is_first = shown[most - 1]
        shown[most - 1 :] = [(shortened(line, room, SCALE if is_first else SMALL), is_first)]
    for number, (line, is_first) in enumerate(shown):
        scale, colour = (SCALE, INK) if is_first else (SMALL, SOFT)
        cv2.putText(box, line, (0, number * PITCH + 14), FONT, scale, colour, 1, cv2.LINE_AA)
    return box


def broken_lines(lines: Sequence[str], width: int) -> list[tuple[str, bool]]:
    """The lines wrapped to the width, and whether each is of the first."""
    found = []
    for number, line in enumerate(lines):
        scale = SCALE if number == 0 else SMALL
        parts = kept(list(wrapped(drawable(line), width, scale)), LINES, width, scale)
        found += [(part, number == 0) for part in parts]
    return found


def height_of(lines: Sequence[str], width: int) -> int:
    """The pixels that the lines take, wrapped to the width."""
    return len(broken_lines(lines, width)) * PITCH


def kept(lines: list[str], most: int, width: int, scale: float) -> list[str]:
    """So many of the lines; with dots at the end where there are more."""
    return lines if len(lines) <= most else [*lines[: most - 1], shortened(lines[most - 1], width, scale)]


def shortened(line: str, width: int, scale: float) -> str:
    """The line with dots behind it, and as much of it as there is room for beside them."""
    while line and measured(f"{line} ...", scale) > width:
        line = line[:-1]
    return f"{line} ...".strip()


def fitted(image: Image, size: tuple[int, int]) -> Image:
    """The picture at that width and height."""
    smaller = size[0] < image.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.array(cv2.resize(image, size, interpolation=way), np.uint8)


def blank(width: int, height: int) -> Image:
    """Paper."""
    return np.full((height, width, 3), PAPER, np.uint8)


def beside(parts: Sequence[Image]) -> Image:
    """The parts in a row with gaps between."""
    height = max(part.shape[0] for part in parts)
    row = []
    for part in parts:
        cell = blank(part.shape[1] + GAP, height)
        cell[: part.shape[0], : part.shape[1]] = part
        row.append(cell)
    return np.hstack(row)[:, :-GAP]


def stacked(parts: Sequence[Image]) -> Image:
    """The parts below each other, with gaps between."""
    width = max(part.shape[1] for part in parts)
    rows = []
    for part in parts:
        cell = blank(width, part.shape[0] + GAP)
        cell[: part.shape[0], : part.shape[1]] = part
        rows.append(cell)
    return np.vstack(rows)[:-GAP]


def framed(parts: Sequence[Image]) -> Image:
    """The parts on one sheet with a margin, and one between them."""
    width = max(part.shape[1] for part in parts) + 2 * MARGIN
    rows = [blank(width, MARGIN)]
    for part in parts:
        cell = blank(width, part.shape[0] + MARGIN)
        cell[: part.shape[0], MARGIN : MARGIN + part.shape[1]] = part
        rows.append(cell)
    return np.vstack(rows)
