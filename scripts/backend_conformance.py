"""Judges every case of ONNX's own backend tests by its gradient, and writes docs/backend-conformance.md.

python scripts/backend_conformance.py                   all, some 15 minutes on one core
python scripts/backend_conformance.py 'attention_4d*'   those alone; prints them, writes no page
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from backend_cases import all_cases  # noqa: E402
from backend_conformance import Verdict, judge  # noqa: E402
from backend_problem import TOLERANCE, WRONG  # noqa: E402

PAGE = ROOT / "docs" / "backend-conformance.md"
LIMIT_S = 300  # for one case
FINE = ("equal", "of 16 bits")
KINDS = ("passed", "refused", "failed", "no derivative")


def main() -> int:
    """1 if a case failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("patterns", nargs="*", help="names of cases, with * and ?")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="one line a case; those that are in it already are not judged again")
    given = parser.parse_args()
    verdicts = _read(given.json) if given.json and given.json.exists() else []
    known = {verdict.name for verdict in verdicts}
    names = [name for name in all_cases() if not given.patterns or _matches(name, given.patterns)]
    for verdict in _judged([name for name in names if name not in known], given.workers):
        verdicts.append(verdict)
        if given.json:
            with given.json.open("a") as file:
                file.write(json.dumps(asdict(verdict)) + "\n")
        if given.patterns or verdict.verdict == "failed":
            print(f"{verdict.name}: {verdict.verdict} {verdict.why} {verdict.error:.1e} | {verdict.forward}", end="")
            print(f" | {verdict.float32}", flush=True)
    print(Counter(verdict.verdict for verdict in verdicts))
    if len(verdicts) == len(all_cases()):
        PAGE.write_text(page(verdicts))
    return int(any(verdict.verdict == "failed" for verdict in verdicts))


def _read(path: Path) -> list[Verdict]:
    return [Verdict(**json.loads(line)) for line in path.read_text().splitlines()]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _judged(names: list[str], workers: int) -> Iterator[Verdict]:
    if workers == 1:
        yield from map(_judge, names)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_judge, names, chunksize=8)


def _judge(name: str) -> Verdict:
    """Within the time limit, and whatever the cases draw at random the same each time."""
    case = all_cases()[name]

    def give_up(*_: object) -> None:
        raise TimeoutError(f"took more than {LIMIT_S} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LIMIT_S)
    try:
        return judge(case)
    except Exception as error:  # noqa: BLE001  (the judge itself has failed, which must not end the others)
        return Verdict(name, case.op, "failed", f"{type(error).__name__}: {error}")
    finally:
        signal.alarm(0)


def page(verdicts: list[Verdict]) -> str:
    """docs/backend-conformance.md."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    total = sum(counts[kind] for kind in KINDS[:3])
    return f"""# Conformance with ONNX's own test cases

Made by `python scripts/backend_conformance.py`, with onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__},
numpy {np.__version__}; do not edit.

{len(verdicts)} cases that nobody here wrote: every node case that the installed onnx generates
(`onnx.backend.test.case.node`), the expansions of functions among them, and the models of `pytorch-converted` and
`pytorch-operator`. Of each, the vector-Jacobian product of all float outputs with a random cotangent is taken with
respect to every float input, and compared with central differences of the original model, at its own opset, in ONNX's
reference evaluator in float64. An error above {TOLERANCE:.0e} of the largest difference is a failure.

**{counts["passed"]} of {total} differentiable cases passed ({counts["passed"] / max(total, 1):.1%}),
{counts["refused"]} were refused, {counts["failed"]} failed.** {counts["no derivative"]} more have no derivative.

## By operator

{_table(verdicts)}

## Refused and failed

{_reasons(v for v in verdicts if v.verdict in ("refused", "failed"))}

## No derivative

{_counts(v for v in verdicts if v.verdict == "no derivative")}

## Where ONNX's evaluator is not followed

In these ops its answers differ from ONNX Runtime's, so that ours is asked for the differences:

{_replaced()}

Where it lacks an op or rounds to float32 within one, so that differences drown, the op is evaluated by ours
(`tests/reference_ops.py`), or by the body that ONNX gives for it.

## Gradients in ONNX Runtime

The same gradients at the case's own precision, where that is float32 or float64, in ONNX Runtime on a CPU:
{_counted(_forward(v.float32) for v in verdicts if v.verdict == "passed")}.

{_reasons(replace(v, why=v.float32) for v in verdicts if v.verdict == "passed" and v.float32 not in FINE)}

## Loaded models

What the model gives after loading (at opset 18), in ONNX Runtime or else in the reference evaluator, against the
outputs of the case: {_counted(_forward(v.forward) for v in verdicts)}.

{_reasons(replace(v, why=v.forward) for v in verdicts if v.forward != "equal")}
"""


def _table(verdicts: list[Verdict]) -> str:
    by_op: dict[str, Counter[str]] = defaultdict(Counter)
    worst: dict[str, float] = defaultdict(float)
    for verdict in verdicts:
        by_op[verdict.op][verdict.verdict] += 1
        if verdict.verdict == "passed":
            worst[verdict.op] = max(worst[verdict.op], verdict.error)
    lines = ["| op | passed | refused | failed | no derivative | largest error |", "|---|---|---|---|---|---|"]
    for op, counts in sorted(by_op.items()):
        cells = " | ".join(str(counts[kind] or "") for kind in KINDS)
        lines.append(f"| {op} | {cells} | {f'{worst[op]:.0e}' if op in worst else ''} |")
    return "\n".join(lines)


def _reasons(verdicts: Iterable[Verdict]) -> str:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for verdict in verdicts:
        groups[verdict.op, verdict.why or verdict.forward].append(verdict.name)
    lines = [
        f"| {op} | {' '.join(names)} | {_cell(why)} |"
        for (op, why), names in sorted(groups.items(), key=lambda g: g[0])
    ]
    return "\n".join(["| op | cases | why |", "|---|---|---|", *lines])


def _counts(verdicts: Iterable[Verdict]) -> str:
    """How many cases of each op for each reason."""
    groups = Counter((verdict.op, verdict.why) for verdict in verdicts)
    lines = [f"| {op} | {count} | {_cell(why)} |" for (op, why), count in sorted(groups.items())]
    return "\n".join(["| op | cases | why |", "|---|---|---|", *lines])


def _replaced() -> str:
    return "\n".join(f"- {op.__name__}: {' '.join((op.__doc__ or '').split())}" for op in WRONG)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _forward(text: str) -> str:
    return text.partition(":")[0]


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(words).most_common())


if __name__ == "__main__":
    sys.exit(main())
