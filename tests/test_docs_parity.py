"""docs/parity.md: made after the last row was added, and with nothing in it that misses the mark."""

from __future__ import annotations

from pathlib import Path

import pytest
from parity_rows import CAPTUM, PGC, PLAIN, ROWS, SMALL, TORCHCAM

NOWHERE = (SMALL, PLAIN)  # what no net of the page is
PAGE = Path(__file__).parent.parent / "docs" / "parity.md"


@pytest.mark.parametrize("peer", [PGC, TORCHCAM, CAPTUM])
def test_every_row_is_in_the_table_of_its_library(peer: str):
    (section,) = [part for part in PAGE.read_text().split("\n## ") if part.startswith(peer)]
    told = [tuple(cell.split("<")[0].strip("` ") for cell in line.split("|")[1:3]) for line in section.splitlines()]
    rows = [row for row in ROWS if row.peer == peer and row.needs not in NOWHERE]
    assert not [row for row in rows if (row.name, row.called) not in told]


def test_no_cell_misses_the_mark():
    cells = [cell for line in PAGE.read_text().splitlines() if line.startswith("|") for cell in line.split("|")]
    assert sum("e-0" in cell for cell in cells) > 100
    assert not [cell for cell in cells if "**" in cell]
