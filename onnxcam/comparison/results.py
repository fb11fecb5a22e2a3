"""The heatmaps of a comparison, and one picture of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnxcam.engine import Explainer
from onnxcam.errors import OnnxCamError
from onnxcam.explanation import OK, Explanation
from onnxcam.grid import CELL, Grid, Tile
from onnxcam.images import Image
from onnxcam.overlay import DEFAULT_COLORMAP
from onnxcam.picture import Picture

ACROSS = 6  # as many go side by side


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

    def picture(self, *, size: int = CELL, alpha: float = 0.5, colormap: str = DEFAULT_COLORMAP) -> Picture:
        """All heatmaps in one picture, each with `size` pixels on its longer side.

        Of methods and classes those go across that are more, if they are not too many; of one class, methods go across
        and layers down.
        """
        layers, methods = self._names("layer"), self._names("method")
        tiles = [[tile(cell, alpha, colormap) for cell in row.cells] for row in self.rows]
        pairs = [[row.method, row.layer] if len(layers) > 1 else [row.method] for row in self.rows]
        classes = self._target_headings()
        if len(classes) > 1 and (len(pairs) > ACROSS or len(pairs) < len(classes) <= ACROSS):
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
            cells = [row.cells[place].explanation for row in self.rows]
            found = next((explanation for explanation in cells if explanation is not None), None)
            headings.append([str(target)] if found is None else [found.name, f"{found.target_score:.4g}"])
        return headings

    def __repr__(self) -> str:
        failed = sum(cell.error is not None for cell in self.cells)
        return f"Comparison({len(self.rows)} rows, {len(self.targets)} targets, {failed} cells without a heatmap)"


def transposed(rows: Sequence[Sequence[Tile]]) -> list[list[Tile]]:
    """Columns for rows."""
    return [list(column) for column in zip(*rows, strict=True)]


def tile(cell: Cell, alpha: float, colormap: str) -> Tile:
    """What the grid shows of a cell."""
    if cell.explanation is None:
        return Tile(None, (cell.error.brief or str(cell.error)) if cell.error else "")
    drawn = cell.explanation.overlay(alpha, colormap).array
    return Tile(drawn, "" if cell.explanation.status == OK else cell.explanation.status)


def gathered(photo: Image, rows: Sequence[Row], title: Sequence[str]) -> Comparison:
    """The rows as one comparison; those without a heatmap get a cell with the error for each target.

    Raises:
        OnnxCamError: the first row's, if no row has a heatmap.
    """
    done = next((row for row in rows if row.cells), None)
    if done is None:
        raise next(row.error for row in rows if row.error is not None)
    targets = tuple(cell.target for cell in done.cells)
    return Comparison(photo, tuple(title), tuple(filled(row, targets) for row in rows), targets)


def filled(row: Row, targets: Sequence[Any]) -> Row:
    """The row with a cell for each target."""
    if row.cells:
        return row
    return replace(row, cells=tuple(Cell(row.method, row.layer, target, None, row.error) for target in targets))
