"""What the command line says: results on stdout, everything else in one line on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from onnxcam.errors import OnnxCamError, SomeImagesFailed, TargetsLeft
from onnxcam.remarks import remarks

if TYPE_CHECKING:
    from onnxcam.records import Failure, Record

Result = TypeVar("Result")

LONG_WORK = 5  # pictures: from here on a bar is worth its line
INTERRUPTED = 130  # what shells give a command that Ctrl-C ended


def report(results: Iterable[list[Record] | Failure], count: int, *, as_json: bool) -> None:
    """Prints one line a heatmap, and complains of pictures that failed, at once and at the end.

    Raises:
        OnnxCamError: what failed, if it was the only picture.
        SomeImagesFailed: if it was one of several.
    """
    from onnxcam.records import Failure

    done = failed = 0
    try:
        for result in results:
            if isinstance(result, Failure):
                failed += 1
                if count == 1:
                    raise result.error
                complain(result.error)
                continue
            done += 1
            for record in result:
                show_record(record, as_json=as_json)
    except KeyboardInterrupt as stop:
        half = stop if isinstance(stop, TargetsLeft) and stop.done < stop.count else None
        part = "" if half is None else f", one with {half.done} of its {half.count} targets"
        whole, left = done - (half is not None), count - done - failed
        say(f"interrupted: {whole} of {count} pictures are explained and kept{part}, {left} are not done")
        sys.exit(INTERRUPTED)
    if failed:
        raise SomeImagesFailed(failed, done)


def show_record(record: Record, *, as_json: bool) -> None:
    """The record on stdout, and a note if its map is not to be trusted."""
    row = record.to_dict()
    if as_json:
        show(row, as_json=True)
    elif record.output is not None:
        ordered = ["output", "heatmap", "target_index", "label", "score", "confidence", "method", "layer", "status"]
        shown = {name: row[name] for name in [*ordered, "ms"] if name in row}
        show(shown | {"remarks": ", ".join(remarks(record.report)) or None}, as_json=False)
    if record.reason:
        note(f"{record.image}: {record.reason}")


def show(row: dict[str, Any], *, as_json: bool) -> None:
    """One line on stdout: JSON, or the values that there are."""
    if as_json:
        answer(json.dumps(strict(row), ensure_ascii=False, allow_nan=False))
        return
    values = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values() if value is not None)
    answer("  ".join(values))


def strict(entry: Any) -> Any:
    """The same as JSON can have it: null for what is no number."""
    if isinstance(entry, dict):
        return {name: strict(value) for name, value in entry.items()}
    if isinstance(entry, list | tuple):
        return [strict(value) for value in entry]
    return None if isinstance(entry, float) and not math.isfinite(entry) else entry


def answer(text: str) -> None:
    """One line on stdout, at once: whoever reads the pipe sees it before the next picture is done."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """One line on stderr, of something that was chosen or that should be known."""
    say(f"note: {text}")


def complain(error: OnnxCamError) -> None:
    """One line on stderr, with the remedy."""
    say(f"error: {error}")


def say(text: str) -> None:
    """One line on stderr, whatever the text holds."""
    sys.stderr.write(f"{' '.join(text.splitlines())}\n")
    sys.stderr.flush()


def progress(results: Iterable[Result], count: int) -> Iterable[Result]:
    """The same results, with a bar on stderr while they come; none when that is no terminal or there are few."""
    if count < LONG_WORK or not sys.stderr.isatty():
        return results
    from rich.console import Console
    from rich.progress import Progress

    # Rich would lead stdout through its own console, which is stderr: right on one terminal, wrong for a pipe.
    bar = Progress(console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())

    def tracked() -> Iterator[Result]:
        with bar:
            yield from bar.track(results, total=count, description="explaining")

    return tracked()


@contextmanager
def passes(*, is_shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """What is told of the passes of a method, (done, expected): a bar on stderr; None where that is no terminal."""
    if not is_shown or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty())
    with bar:
        task = bar.add_task("passes", total=None)
        yield lambda done, expected: bar.update(task, completed=done, total=expected)


@contextmanager
def without_native_noise() -> Iterator[None]:
    """Sends what C libraries (libpng, libjpeg, libtiff) print on stderr nowhere; what we print there still arrives."""
    sys.stderr.flush()
    kept, before = os.dup(2), sys.stderr
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        if _is_stderr_itself():
            sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=before.encoding, errors="backslashreplace")
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
        if sys.stderr is not before:
            sys.stderr.close()
        sys.stderr = before


def _is_stderr_itself() -> bool:
    """Whether Python's stderr is the process's, and not something that a caller put in its place."""
    try:
        return sys.stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):
        return False


def dims(shape: Iterable[Any]) -> str:
    """The sizes as "N×512×7×7"."""
    return "×".join("?" if n is None else str(n) for n in shape)
