"""Our maps of large nets beside those of pytorch-grad-cam, torch-cam and captum: the tables of docs/parity.md.

python scripts/parity.py                                  runs what is not in the cache yet, then writes the page
python scripts/parity.py --only WORD [WORD ...]           runs rows and nets that hold one of the words
python scripts/parity.py --again [--only WORD [WORD ...]] runs them again
python scripts/parity.py --write                          writes the page only

Exported nets and results lie in --cache, which outlives the run. Needs the extras `torch` and `peers`, and the photos
of ONNXCAM_SAMPLES.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "converters"), str(ROOT / "tests")]

from parity import agreement, our_maps  # noqa: E402
from parity_nets import NETS, Net, asked, exported, make  # noqa: E402
from parity_page import write  # noqa: E402
from parity_rows import ROWS, Row  # noqa: E402
from torch_support import torch  # noqa: E402

from onnxcam.errors import OnnxCamError  # noqa: E402
from onnxcam.methods import VARIANTS  # noqa: E402

Result = dict[str, Any]


def main() -> None:
    """Runs what was asked for and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "onnxcam-parity")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--write", action="store_true")
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    results = {name: known(wanted.cache / f"{name}.json") for name in NETS}
    rounds = [] if wanted.write else [(net, is_slow) for is_slow in (False, True) for net in NETS.values()]
    for net, is_slow in rounds:
        rows = [row for row in ROWS if row.is_slow == is_slow and has(net, row, wanted.only)]
        left = [row for row in rows if wanted.again or repr(row) not in results[net.name]]
        take(net, left, results[net.name], wanted.cache)
        write(results)
    write(results)


def has(net: Net, row: Row, words: list[str]) -> bool:
    """Whether the row is asked for, and the other library can do it with that net."""
    is_wanted = not words or any(word in net.name or word in repr(row) for word in words)
    return is_wanted and (not row.needs or row.needs in net.offers)


def take(net: Net, rows: list[Row], results: dict[str, Result], cache: Path) -> None:
    """Adds the results of the rows, and keeps them in the cache."""
    if not rows:
        return
    module = make(net)
    model = exported(net, module, cache)
    for row in rows:
        results[repr(row)] = result(net, row, module, model)
        (cache / f"{net.name}.json").write_text(json.dumps(results, indent=1))
        print(net.name, row, results[repr(row)], flush=True)


def result(net: Net, row: Row, module: Any, model: Path) -> Result:
    """How near the two came, or why one of them gave nothing."""
    question, is_unit = asked(net, module, row), row.output == "heatmap"
    try:
        expected = row.theirs(question)
    except (RuntimeError, ValueError, TypeError, AssertionError, AttributeError, IndexError) as error:
        return {"theirs": told(error)}
    try:
        found = our_maps(model, row, question)
    except OnnxCamError as error:
        return {"ours": told(error)}
    near = asdict(agreement(found, expected, in_unit=is_unit))
    if is_unit and (row.peer, row.method) in VARIANTS and not row.is_slow:
        by_paper = our_maps(model, row, question, is_like=False)
        near["by_paper"] = agreement(by_paper, expected, in_unit=True).difference
    return near


def told(error: Exception) -> str:
    """The error in a line."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]


def known(path: Path) -> dict[str, Result]:
    """The results in the cache."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


if __name__ == "__main__":
    main()
