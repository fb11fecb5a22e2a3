"""Entries of zip files as files that can be read anywhere, without a copy in memory."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

HEADER_BYTES = 30
LENGTHS = struct.Struct("<HH")  # of the name and of the extra field, the last thing in an entry's own header


def seekable(archive: zipfile.ZipFile, name: str) -> IO[bytes] | Window:
    """The entry: a window on the zip file where it is stored as it is, as Keras does; else unpacked to the disk."""
    info = archive.getinfo(name)
    if info.compress_type == zipfile.ZIP_STORED and archive.filename:
        return Window(Path(archive.filename), info)
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the caller
    with archive.open(info) as packed:
        shutil.copyfileobj(packed, unpacked)
    return unpacked


class Window(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, path: Path, info: zipfile.ZipInfo) -> None:
        self._file = path.open("rb")
        self._file.seek(info.header_offset + HEADER_BYTES - LENGTHS.size)
        name, extra = LENGTHS.unpack(self._file.read(LENGTHS.size))
        self._start, self._size, self._at = info.header_offset + HEADER_BYTES + name + extra, info.file_size, 0

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """Anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """The new place."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """How many bytes were read."""
        self._file.seek(self._start + self._at)
        room = memoryview(buffer).cast("B")
        count = self._file.readinto(room[: max(0, self._size - self._at)])
        self._at += count
        return count

    def close(self) -> None:
        """Closes the file behind it."""
        self._file.close()
        super().close()
