"""Every method of one pass on a net of every kind of architecture: what works, what is refused and why.

python scripts/method_zoo.py                            tries what is not in the cache yet, then writes the page
python scripts/method_zoo.py --only NAME [NAME ...]     tries these nets
python scripts/method_zoo.py --methods NAME [NAME ...]  tries these methods
python scripts/method_zoo.py --again                    tries them although they are in the cache
python scripts/method_zoo.py --write                    writes the page only

The exported nets are those of scripts/gradient_zoo.py, in the same --cache. Each net has its own process, with a limit
of time and memory; what it has found by then is kept.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from method_zoo_nets import KINDS, SCORES

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
PAGE = ROOT / "docs" / "method-zoo.md"
FACTS = "facts"
TIMEOUT_S = 1200
YES = "✓"
# Errors of ours, as the table calls them.
REASONS = {
    "NoLinearHead": "head",
    "NoAttention": "attention",
    "NoRelevanceRule": "rule",
    "NeedsLayers": "layers",
    "NoSuchScore": "detector",
    "NoClassMaps": "detector",
    "NoSpatialLayer": "layer",
}
Results: TypeAlias = dict[str, Any]


def main() -> None:
    """Tries what was asked for and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "torch-zoo")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--methods", nargs="*", default=[])
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    nets = asked.only or [net for kind in KINDS.values() for net in kind]
    for net in () if asked.write else cheapest_first(nets, asked.cache):
        run(net, asked.cache, asked.methods or [*methods(), FACTS], is_again=asked.again)
    write({kind: known(asked.cache, kind_nets) for kind, kind_nets in KINDS.items()})


def methods() -> list[str]:
    """Those of one pass."""
    from onnxcam.methods import METHODS

    return [name for name, row in METHODS.items() if row.driver is None]


def cheapest_first(nets: Iterable[str], cache: Path) -> list[str]:
    """The nets that lie in the cache, small files first."""

    def size(net: str) -> int:
        return sum(path.stat().st_size for path in (cache / net.replace(":", "-")).glob("model.onnx*"))

    return sorted(filter(size, nets), key=size)


def run(net: str, cache: Path, steps: Sequence[str], *, is_again: bool) -> None:
    """Leaves the results of the steps in the net's folder, beside those of earlier runs."""
    folder = cache / net.replace(":", "-")
    path = folder / "methods.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    left = [step for step in steps if is_again or step not in found]
    if not left:
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    worker = [sys.executable, str(ROOT / "scripts" / "method_zoo_worker.py"), str(folder), SCORES.get(net, ""), *left]
    started = time.monotonic()
    process = subprocess.Popen(worker, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, errors = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, errors = process.communicate()
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    found |= {row["step"]: row for row in rows}
    if len(rows) < len(left):  # the one that it died of
        told = (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        found[left[len(rows)]] = {"bug": f"no answer: {told}"[:300]}
    path.write_text(json.dumps(found, indent=1))
    bugs = [f"{row['step']}: {row['bug']}" for row in rows if "bug" in row]
    print(f"{time.monotonic() - started:6.1f} s  {folder.name}  {len(rows)} of {len(left)}  {bugs or ''}", flush=True)


def known(cache: Path, nets: Iterable[str]) -> dict[str, Results]:
    """What was found of those nets, by net."""
    paths = {net: cache / net.replace(":", "-") / "methods.json" for net in nets}
    return {net: json.loads(path.read_text()) for net, path in paths.items() if path.exists()}


def write(kinds: Mapping[str, Mapping[str, Results]]) -> None:
    """The page, between its markers."""
    tried = {kind: nets for kind, nets in kinds.items() if nets}
    text = PAGE.read_text(encoding="utf-8")
    for marker, content in (("sums", sums(tried)), ("zoo", table(tried)), ("remarks", remarks(tried))):
        start, end = f"<!-- {marker} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}{content}\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(text, encoding="utf-8")


def sums(kinds: Mapping[str, Mapping[str, Results]]) -> str:
    """How many of them go well, and how well."""
    nets = [net for found in kinds.values() for net in found.values()]
    rows = [net[name] for net in nets for name in methods() if name in net]
    refused = Counter(row["refused"] for row in rows if "refused" in row)
    bugs = sum("bug" in row for row in rows)
    facts = [net[FACTS] for net in nets if FACTS in net]
    gradients = [fact["gradient_of_torch"] for fact in facts if isinstance(fact.get("gradient_of_torch"), float)]
    heads = [fact["sum_of_linear"] for fact in facts if isinstance(fact.get("sum_of_linear"), float)]
    together = max(row["batch"] for row in rows if math.isfinite(row.get("batch", math.nan)))
    several = [row["targets"] for row in rows if math.isfinite(row.get("targets", math.nan))]
    return (
        f"{len(nets)} nets of {len(kinds)} kinds, {len(methods())} methods, {len(rows)} tries: "
        f"{sum('state' in row for row in rows)} maps, {sum(refused.values())} refusals, {bugs} of anything else. Two "
        f"pictures in one run differ from one by one by at most {together:.0e} (relative L2 of the raw map), two "
        f"targets in one run from one by one by at most {max(several):.0e} ({len(several)} tries). `saliency` is "
        f"within {max(gradients):.0e} of PyTorch's gradient in {len(gradients)} nets. Below a linear head the score "
        f"minus HiResCAM's sum is one constant a class, to {max(heads):.0e} in {len(heads)} nets."
    )


def table(kinds: Mapping[str, Mapping[str, Results]]) -> str:
    """One line a kind, a column for the methods that fare alike; those that fare alike everywhere have none."""
    names = sorted(kinds, key=str.lower)
    cells = {method: tuple(cell(kinds[kind], method) for kind in names) for method in methods()}
    columns: dict[tuple[str, ...], list[str]] = {}
    for method, column in cells.items():
        columns.setdefault(column, []).append(method)
    alike = {column: found for column, found in columns.items() if len(set(column)) == 1}
    rest = {column: found for column, found in columns.items() if column not in alike}
    lines = [f"Everywhere {column[0]}: {listed(found)}.\n" for column, found in alike.items()]
    heads = [listed(found) for found in rest.values()]
    lines += [f"| kind | {' | '.join(heads)} |", "|" + "---|" * (len(heads) + 1)]
    lines += [f"| {kind} | {' | '.join(column[at] for column in rest)} |" for at, kind in enumerate(names)]
    return "\n".join(lines)


def listed(names: Iterable[str]) -> str:
    """The names of methods in a row."""
    return ", ".join(f"`{name}`" for name in names)


def cell(nets: Mapping[str, Results], method: str) -> str:
    """What becomes of a method in the nets of a kind."""
    found = {outcome(net[method]): None for net in nets.values() if method in net}
    return ", ".join(found) or "not tried"


def outcome(row: Mapping[str, Any]) -> str:
    """In a word."""
    return "**bug**" if "bug" in row else REASONS.get(row["refused"], row["refused"]) if "refused" in row else YES


def remarks(kinds: Mapping[str, Mapping[str, Results]]) -> str:
    """One line for each thing that is not as it should be, or that a user would wonder at."""
    lines = []
    for found in kinds.values():
        for net, rows in found.items():
            lines += [f"- `{net}`: {name}: {row['bug']}" for name, row in rows.items() if "bug" in row]
            odd = {
                name: row["state"]
                for name, row in rows.items()
                if "bug" not in row and row.get("state", "ok") not in ("ok", "zero")
            }
            lines += [f"- `{net}`: {name}: {state}" for name, state in odd.items()]
    return "\n".join(lines) or "None."


if __name__ == "__main__":
    main()
