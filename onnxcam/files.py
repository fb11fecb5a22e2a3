"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from onnxcam.errors import CannotWriteFile


def write_whole(path: Path, data: bytes) -> None:
    """Leaves `data` at `path`, or leaves what was there before.

    Raises:
        CannotWriteFile: if the folder is missing or not writable, or the disk is full.
    """
    refuse_read_only(path)
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".onnxcam-", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        temporary.replace(path)
    except OSError as error:
        raise CannotWriteFile(str(path), error.strerror or str(error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
