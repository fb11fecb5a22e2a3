"""The heatmaps of a comparison, and one picture of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnxcam.engine import Explainer
from onnxcam.errors import NoHeatmaps, NotBegun, OnnxCamError
from onnxcam.explanation import INTERRUPTED, NOT_FOUND, OK, Explanation
from onnxcam.grid import CELL, Grid, Tile
from onnxcam.images import Image
from onnxcam.overlay import DEFAULT_COLORMAP
from onnxcam.picture import Picture
from onnxcam.remarks import plain

ACROSS = 6  # as many go side by side
FEW = 2  # rows that go on below in bands


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One heatmap of a comparison, or why it could not be had.

    Attributes:
        layer: its name as it was asked for, else the model's; empty where it could not be found out.
        target: what was asked for.
        explanation: None where there is an error.
    """

    method: str
    layer: str
    target: Any
    explanation: Explanation | None
    error: OnnxCamError | None = None

    @property
    def has_heatmap(self) -> bool:
        """Whether something is shown: no error, and there is such a thing in the picture."""
        return self.explanation is not None and self.explanation.status != NOT_FOUND

    @property
    def is_cut_short(self) -> bool:
        """Whether Ctrl-C came before its end."""
        is_half = self.explanation is not None and self.explanation.status == INTERRUPTED
        return is_half or isinstance(self.error, NotBegun)

    def to_dict(self) -> dict[str, Any]:
        """The cell for machines."""
        found = self.explanation
        return {
            "method": self.method,
            "layer": self.layer or None,
            "target": self.target,
            "target_index": found.target_index if found else None,
            "label": found.label if found else None,
            "score": found.target_score if found else None,
            "status": found.status if found else "failed",
            "report": plain(found.report) if found else {},
            "error": str(self.error) if self.error else None,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """All targets by one method at one layer.

    Attributes:
        explainer: what made them; None where there is an error.
    """

    method: str
    layer: str
    cells: tuple[Cell, ...] = ()
    explainer: Explainer | None = None
    error: OnnxCamError | None = None

    @property
    def is_cut_short(self) -> bool:
        """Whether Ctrl-C came before its end."""
        return isinstance(self.error, NotBegun) or any(cell.is_cut_short for cell in self.cells)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """One picture explained in many ways.

    Attributes:
        image: the photo, uint8 RGB (H, W, 3).
        title: what is written above it.
        rows: a method at a layer each.
        targets: what was asked for.
    """

    image: Image
    title: tuple[str, ...]
    rows: tuple[Row, ...]
    targets: tuple[Any, ...]

    @property
    def cells(self) -> list[Cell]:
        """All heatmaps, row by row."""
        return [cell for row in self.rows for cell in row.cells]

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it early."""
        return any(row.is_cut_short for row in self.rows)

    def picture(self, *, size: int = CELL, alpha: float = 0.5, colormap: str = DEFAULT_COLORMAP) -> Picture:
        """All heatmaps in one picture, each with `size` pixels on its longer side.

        Of methods and classes those go across that are more, if they are not too many, or there are but one or two of
        the other; of one class, methods go across and layers down.
        """
        layers, methods = self._names("layer"), self._names("method")
        tiles = [[tile(cell, alpha, colormap) for cell in row.cells] for row in self.rows]
        pairs = [[row.method, row.layer] if len(layers) > 1 else [row.method] for row in self.rows]
        classes = self._target_headings()
        is_flat = len(pairs) < len(classes) and (len(classes) <= ACROSS or len(pairs) <= FEW)
        if len(classes) > 1 and (len(pairs) > ACROSS or is_flat):
            columns, rows = classes, pairs
        elif len(classes) > 1 or len(pairs) < len(layers) * len(methods) or 1 in (len(layers), len(methods)):
            columns, rows, tiles = pairs, classes if len(classes) > 1 else [[]], transposed(tiles)
        else:
            columns, rows = [[name] for name in methods], [[name] for name in layers]
            starts = range(0, len(tiles), len(layers))
            tiles = transposed([[row[0] for row in tiles[at : at + len(layers)]] for at in starts])
        return Picture(Grid(self.image, self._title(), columns, rows, tiles).draw(size))

    def _names(self, field: str) -> list[str]:
        """Methods or layers, each once; a layer that was not found out has no name."""
        return list(dict.fromkeys(name for row in self.rows if (name := getattr(row, field))))

    def _title(self) -> list[str]:
        """What all heatmaps have in common."""
        known = self._names("layer")
        said = [*self.title, f"layer {known[0]}"] if len(known) == 1 else list(self.title)
        return said if len(self.targets) > 1 else [*said, *(" ".join(line) for line in self._target_headings())]

    def _target_headings(self) -> list[list[str]]:
        """Class and score of each target, or what was asked for where there is no heatmap."""
        headings = []
        for place, target in enumerate(self.targets):
            cells = [row.cells[place] for row in self.rows]
            found = next((cell.explanation for cell in cells if cell.has_heatmap), None)
            headings.append([str(target)] if found is None else [found.name, f"{found.target_score:.4g}"])
        return headings

    def __repr__(self) -> str:
        failed = sum(not cell.has_heatmap for cell in self.cells)
        return f"Comparison({len(self.rows)} rows, {len(self.targets)} targets, {failed} cells without a heatmap)"


def transposed(rows: Sequence[Sequence[Tile]]) -> list[list[Tile]]:
    """Columns for rows."""
    return [list(column) for column in zip(*rows, strict=True)]


def tile(cell: Cell, alpha: float, colormap: str) -> Tile:
    """What the grid shows of a cell."""
    if cell.explanation is None:
        return Tile(None, (cell.error.brief or str(cell.error)) if cell.error else "")
    if not cell.has_heatmap:
        return Tile(None, "there is no such thing in the picture")
    drawn = cell.explanation.overlay(alpha, colormap).array
    return Tile(drawn, "" if cell.explanation.status == OK else cell.explanation.status)


def gathered(photo: Image, rows: Sequence[Row], title: Sequence[str]) -> Comparison:
    """The rows as one comparison; those without a heatmap get a cell with the error for each target.

    Raises:
        OnnxCamError: the first, if there is not a single heatmap.
        KeyboardInterrupt: if there is none because that came first.
    """
    cells = [cell for row in rows for cell in row.cells]
    if not any(cell.has_heatmap for cell in cells):
        raise reason_of(rows, cells)
    done = next(row for row in rows if row.cells)
    targets = tuple(cell.target for cell in done.cells)
    return Comparison(photo, tuple(title), tuple(filled(row, targets) for row in rows), targets)


def reason_of(rows: Sequence[Row], cells: Sequence[Cell]) -> BaseException:
    """Why there is no heatmap."""
    if any(row.is_cut_short for row in rows):
        return KeyboardInterrupt()
    absent = next((cell.explanation.reason for cell in cells if cell.explanation is not None), None)
    if absent is not None:
        return NoHeatmaps(absent)
    errors = [*(cell.error for cell in cells), *(row.error for row in rows)]
    return next(error for error in errors if error is not None)


def filled(row: Row, targets: Sequence[Any]) -> Row:
    """The row with a cell for each target."""
    if row.cells:
        return row
    return replace(row, cells=tuple(Cell(row.method, row.layer, target, None, row.error) for target in targets))
