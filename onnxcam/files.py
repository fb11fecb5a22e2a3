"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from onnxcam.errors import CannotWriteFile


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that appears at `path` when the block ends well; else what was there before stays.

    Raises:
        CannotWriteFile: if the folder is missing or not writable, the file read-only, or the disk full.
    """
    refuse_read_only(path)
    temporary: Path | None = None
    try:
        number, name = tempfile.mkstemp(dir=path.parent, prefix=".onnxcam-", suffix=".part")
        temporary = Path(name)
        with os.fdopen(number, "wb") as file:
            yield file
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise CannotWriteFile(str(path), error.strerror or str(error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Leaves `data` at `path`, or leaves what was there before."""
    with whole(path) as file:
        file.write(data)


def _umask() -> int:
    """The process's mask for new files, which can be read only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def refuse_read_only(path: Path) -> None:
    """Refuses to replace a file that nobody may write to: renaming over it would succeed, and so would root's writing.

    Raises:
        CannotWriteFile: if it is one.
    """
    try:
        is_read_only = not path.stat().st_mode & 0o222
    except OSError:  # there is no such file, or whoever writes says what is wrong
        return
    if is_read_only:
        raise CannotWriteFile(str(path), "there is a read-only file of that name")
