"""Keras, TensorFlow and tf2onnx without their remarks; what they say of failures is kept."""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
RAISED = re.compile(r"\w+(Error|Exception): ")
IN_USER_CODE = "in user code"
LOGGERS = ("tensorflow", "absl", "tf2onnx")


class Remarks(logging.Handler):
    """What was logged meanwhile, one entry a line."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the record."""
        self.lines.append(self.format(record))

    def keep(self, error: BaseException) -> None:
        """Adds the error, with where it came from."""
        self.lines.extend(traceback.format_exception(error))

    def write(self, name: str) -> Path:
        """A new file with all of them, for who wants to know the whole of it."""
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"onnxcam-{name}-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            file.write("\n".join(self.lines) + "\n")
        return Path(file.name)


def reason_of(error: BaseException) -> str:
    """What it began with, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in COLOURS.sub("", str(error)).splitlines() if line.strip()]
    # TensorFlow tells where before it tells what.
    start = next((index for index, line in enumerate(lines) if line.startswith(IN_USER_CODE)), None)
    if start is not None:
        found = [index for index, line in enumerate(lines) if RAISED.match(line)]
        lines = [" ".join(lines[found[-1] : found[-1] + 2])] if found else lines[-1:]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def quiet() -> Iterator[Remarks]:
    """No warnings and no logging while inside; the remarks can be read from what is given."""
    remarks, loggers = Remarks(), [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    try:
        for logger in loggers:
            logger.handlers[:], logger.propagate = [remarks], False
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield remarks
    finally:
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers[:], logger.propagate = handlers, propagate
            logger.setLevel(level)
