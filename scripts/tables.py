"""Writes the tables of README.md and docs/ that are read off the registries.

python scripts/tables.py            writes them
python scripts/tables.py --check    exit code 1 if one of them is out of date
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from onnxcam.autodiff import RULES
from onnxcam.autodiff.operators import operators as every_operator
from onnxcam.conventions import CONVENTIONS
from onnxcam.drivers import DRIVERS
from onnxcam.graph.loaded_operators import runtime_operators
from onnxcam.methods import HAVE, METHODS, VARIANTS
from onnxcam.parameters import Parameter
from onnxcam.preprocessing import PRESETS
from onnxcam.scores import KINDS

ROOT = Path(__file__).parent.parent
FILES = ("README.md", "docs/methods.md", "docs/operators.md", "docs/many-passes.md", "docs/targets.md")


def methods() -> str:
    """The names of the methods."""
    one, many = ([m.name for m in METHODS.values() if (m.driver is None) is single] for single in (True, False))
    return f"{len(one)} of one pass, inside the file: {_names(one)}.\n\n{len(many)} of many passes: {_names(many)}."


def one_pass() -> str:
    """The table of methods that are inside the file."""
    rows = [
        f"| `{m.name}` | {_cell(m.summary)} | {_cell(m.source)} | {_options(m.options)} |"
        for m in METHODS.values()
        if m.driver is None
    ]
    return "\n".join(["| method | what it does | source | options |", "|---|---|---|---|", *rows])


def likes() -> str:
    """Which methods a library has, and of which it has a form of its own."""
    found: dict[str, list[str]] = {like: [] for like in HAVE}
    for (like, name), row in VARIANTS.items():
        own, paper = row.options, METHODS[name].options
        other = {key: entry for key, entry in own.items() if key not in paper or entry.default != paper[key].default}
        defaults = f" ({_options(other)})" if other else ""
        found.setdefault(like, []).append(f"`{name}`: {_cell(row.summary)}{defaults}")
    rows = [
        f"| `{like}` | {_names(HAVE.get(like, ()))} | {'<br>'.join(names)} |" for like, names in sorted(found.items())
    ]
    head = "| `--like` | it has | what it computes otherwise than the paper, with defaults that are not ours |"
    return "\n".join([head, "|---|---|---|", *rows])


def scores() -> str:
    """The table of kinds of scores."""
    rows = [f"| `{k.name}` | {_cell(k.summary)} | {'by itself' if k.is_automatic else ''} |" for k in KINDS.values()]
    return "\n".join(["| `--score` | what is explained | found |", "|---|---|---|", *rows])


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def drivers() -> str:
    """The table of methods of many passes."""
    rows = [
        f"| `{d.name}` | {_cell(d.summary)} | {_cell(d.source)} | {d.needs} | {d.score} | {_options(d.options)} |"
        for d in DRIVERS.values()
    ]
    head = "| method | what it does | source | needs | score | options |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _options(options: Mapping[str, Parameter]) -> str:
    return ", ".join(f"`{name}` {_shown(option.default)}" for name, option in options.items())


def _shown(default: object) -> str:
    many = default if isinstance(default, tuple) else (default,)
    return ", ".join(f"{entry:.3g}" if isinstance(entry, float) else str(entry) for entry in many)


def conventions() -> str:
    """The table of normalisations."""
    rows = [f"| `{name}` | {' '.join((f.__doc__ or '').split())} |" for name, f in CONVENTIONS.items()]
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


MAKERS = (methods, one_pass, likes, scores, drivers, conventions, presets, operators, contrib, counts)
TABLES = {f.__name__: f for f in MAKERS}


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
