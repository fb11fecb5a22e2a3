"""Writes the tables of README.md and docs/ that are read off the registries.

python scripts/tables.py            writes them
python scripts/tables.py --check    exit code 1 if one of them is out of date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from onnxcam.autodiff import FLAT, RULES
from onnxcam.conventions import CONVENTIONS
from onnxcam.methods import METHODS
from onnxcam.preprocessing import PRESETS

ROOT = Path(__file__).parent.parent
FILES = ("README.md", "docs/operators.md")


def methods() -> str:
    """The table of methods."""
    rows = [f"| `{m.name}` | {m.summary} | {m.source} |" for m in METHODS.values()]
    return "\n".join(["| method | what it does | source |", "|---|---|---|", *rows])


def conventions() -> str:
    """The table of normalisations."""
    rows = [f"| `{name}` | {(f.__doc__ or '').strip()} |" for name, f in CONVENTIONS.items()]
    return "\n".join(["| `--normalize` | from raw map to heatmap |", "|---|---|", *rows])


def presets() -> str:
    """The names of the preprocessing presets."""
    return ", ".join(f"`{name}`" for name in PRESETS) + "."


def operators() -> str:
    """The ops that have a gradient rule, with what the rule says of itself."""
    rows = [f"| {name} | {_summary(rule.function)} |" for name, rule in sorted(RULES.items())]
    return "\n".join(["| op | rule |", "|---|---|", *rows])


def flat() -> str:
    """The ops that no gradient passes through."""
    return ", ".join(sorted(FLAT)) + "."


def counts() -> str:
    """How many there are."""
    return f"{len(RULES)} operators have a gradient rule, {len(FLAT)} are declared to have no gradient."


def _summary(function: object) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0].replace("|", "\\|")


TABLES = {f.__name__: f for f in (methods, conventions, presets, operators, flat, counts)}


def filled(text: str) -> str:
    """The text with everything between `<!-- NAME -->` and `<!-- end -->` made anew."""
    pattern = r"(<!-- (\w+) -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda found: found[1] + TABLES[found[2]]() + "\n" + found[3], text, flags=re.DOTALL)


def main() -> int:
    """0, or 1 when something was out of date under --check."""
    stale = [name for name in FILES if filled((ROOT / name).read_text()) != (ROOT / name).read_text()]
    if "--check" in sys.argv:
        print("\n".join(f"{name} is out of date: python scripts/tables.py" for name in stale))
        return int(bool(stale))
    for name in stale:
        (ROOT / name).write_text(filled((ROOT / name).read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
