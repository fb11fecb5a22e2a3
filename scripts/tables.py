"""Writes the tables of README.md and docs/ that are read off the registries.

python scripts/tables.py            writes them
python scripts/tables.py --check    exit code 1 if one of them is out of date
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from onnxcam.autodiff import RULES
from onnxcam.autodiff.operators import operators as every_operator
from onnxcam.conventions import CONVENTIONS
from onnxcam.graph.loaded_operators import runtime_operators
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
    """Every op of ONNX's own domain: since when, and what becomes of a gradient in it."""
    rows = [f"| {op.name} | {op.since} | {op.gradient} | {_cell(op.note)} |" for op in every_operator()]
    return "\n".join(["| op | since | gradient | how |", "|---|---|---|---|", *rows])


def contrib() -> str:
    """What becomes of ONNX Runtime's own ops when a model is loaded."""
    known = {name: _cell(note) for name, note in runtime_operators().items()}
    known |= {name.rpartition(".")[2]: _summary(rule.function) for name, rule in RULES.items() if "." in name}
    rows = [f"| {name} | {text} |" for name, text in sorted(known.items())]
    return "\n".join(["| op | what it is read as |", "|---|---|", *rows])


def counts() -> str:
    """How many there are."""
    kinds = Counter(op.gradient for op in every_operator())
    return (
        f"Of {sum(kinds.values())} operators of ONNX's own domain {kinds['rule']} have a gradient rule, "
        f"{kinds['lowered'] + kinds['function']} are written in others when a model is loaded, {kinds['zero']} have no "
        f"gradient (counts, indices, steps, text), and {kinds['refused']} are refused. {len(runtime_operators())} of "
        f"ONNX Runtime's own are read as what they stand for."
    )


def _summary(function: object) -> str:
    return _cell((function.__doc__ or "").strip().partition("\n")[0])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


TABLES = {f.__name__: f for f in (methods, conventions, presets, operators, contrib, counts)}


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
