"""Processes of their own for work that may die or take too long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def result_of(script: str | Path, *arguments: str, timeout_s: float, log: Path | None = None) -> dict[str, Any]:
    """The last JSON object that the script prints, on one thread; {"failure": why} where it prints none.

    What it writes to stderr goes to `log`, unless it takes too long.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    worker = [sys.executable, str(script), *arguments]
    try:
        done = subprocess.run(worker, env=environment, timeout=timeout_s, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        return {"failure": f"takes more than {timeout_s} s"}
    if log is not None:
        log.write_text(done.stderr)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    told = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return json.loads(lines[-1]) if lines else {"failure": told}
