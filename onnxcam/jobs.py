"""Which pictures are to be explained, and what their results are called."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from onnxcam.errors import ArrayNotFound, ImageNotFound

SUFFIXES = frozenset(".jpg .jpeg .jfif .jpe .png .bmp .dib .webp .tif .tiff .jp2 .ppm .pgm .pbm .gif .avif".split())
ARRAYS = frozenset((".npy",))
OVERLAY = ".cam.png"
HEATMAP = ".cam.npy"  # of a signal or volume, which may be called STEM.npy itself


@dataclass(frozen=True, slots=True)
class Job:
    """A picture (or signal, or volume) to explain, and the name of its results: a path without suffix."""

    image: Path
    stem: Path


def find_jobs(sources: Sequence[str], folder: Path, *, suffixes: Collection[str] = SUFFIXES) -> list[Job]:
    """The pictures behind files, folders (searched through) and globs, each once, with results below `folder`.

    Overlays and heatmaps of an earlier run are passed over in folders and globs, and hidden files in folders. No two
    jobs share a stem. With `suffixes` = `ARRAYS` they are signals and volumes.

    Raises:
        ImageNotFound, ArrayNotFound: if a source leads to none.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    for source in sources:
        matches = list(_pictures(source, suffixes))
        if not matches:
            raise ArrayNotFound(source) if suffixes == ARRAYS else ImageNotFound(source)
        for path, stem in matches:
            found.setdefault(path.resolve(), (path, stem))
    return _named(list(found.values()), folder)


def _pictures(source: str, suffixes: Collection[str]) -> Iterator[tuple[Path, Path]]:
    """Path and relative stem of each picture; a folder that a glob matches counts for the files in it."""
    path = Path(source)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            inside = file.relative_to(path)
            if _is_picture(file, suffixes) and not any(part.startswith(".") for part in inside.parts):
                yield file, inside.with_suffix("")
    elif path.exists():
        yield path, Path(path.stem)
    elif glob.has_magic(source):
        # Path.glob refuses absolute patterns.
        names = [Path(name) for name in glob.glob(source, recursive=True)]  # noqa: PTH207
        top = _fixed_part(path)
        for file in sorted(name for name in names if _is_picture(name, suffixes)):
            yield file, file.relative_to(top).with_suffix("")
        for inner in sorted(name for name in names if name.is_dir() and "**" not in path.parts):
            yield from _pictures(str(inner), suffixes)


def _is_picture(file: Path, suffixes: Collection[str]) -> bool:
    return file.suffix.lower() in suffixes and not file.name.endswith((OVERLAY, HEATMAP)) and file.is_file()


def _fixed_part(pattern: Path) -> Path:
    """The folder that all matches of a glob lie in."""
    return next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))


def _named(pictures: Sequence[tuple[Path, Path]], folder: Path) -> list[Job]:
    """A job for each picture: a.jpg and a.png, which would write the same files, keep their suffix or get a number."""
    shared = Counter(_folded(stem) for _, stem in pictures)
    taken: set[str] = set()
    jobs = []
    for path, stem in pictures:
        whole = stem.with_name(path.name)
        options = chain(
            [stem] if shared[_folded(stem)] == 1 else [],
            [whole],
            (whole.with_name(f"{path.name}-{number}") for number in count(2)),
        )
        chosen = next(option for option in options if _folded(option) not in taken)
        taken.add(_folded(chosen))
        jobs.append(Job(path, folder / chosen))
    return jobs


def _folded(stem: Path) -> str:
    """The same for names that some file systems take for one."""
    return str(stem).casefold()
