"""Inputs that say nothing, from which an attribution starts: by name, from files, or as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np

from onnxcam.drivers.probe import BLANKS, Floats, Probe
from onnxcam.errors import InvalidOption, NoSuchBaseline
from onnxcam.ranges import Allowed


def may_be(name: str) -> bool:
    """Whether it is a blank's name, or may be a file's: one that is not here may be where the graph is run.

    Raises:
        NoSuchBaseline: if it is neither.
    """
    if name in BLANKS or Path(name).suffix or len(Path(name).parts) > 1 or Path(name).exists():
        return True
    raise NoSuchBaseline(name, BLANKS)


Baseline: TypeAlias = str | Floats
Named: TypeAlias = Annotated[str, Allowed("a blank's name or a file", may_be)]
Baselines: TypeAlias = Annotated[tuple[Named | Floats, ...], Allowed("one baseline or more", bool)]
Load: TypeAlias = Callable[[], Floats]
ARRAY, PICTURES = ".npy", {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def baselines_of(probe: Probe, given: Sequence[Baseline], *, seed: int, noises: int = 1) -> list[Load]:
    """What gives each baseline, like x, when it is called: thousands of pictures need not be held at once.

    Args:
        probe: with the picture.
        given: names out of `BLANKS`; paths of pictures, of folders of pictures, or of .npy files with an array like x
            (or several: one axis more); or such arrays themselves.
        seed: of noise.
        noises: how many pictures of noise "noise" stands for.

    Raises:
        NoSuchBaseline: for a name that is neither.
        InvalidOption: if there is none, or one has another shape than x. Of pictures that is said when they are loaded.
    """
    found = [load for entry in given for load in _loads(probe, entry, seed=seed, noises=noises)]
    probe.require(bool(found), "baselines", list(given), "must name at least one baseline")
    return found


def _loads(probe: Probe, entry: Baseline, *, seed: int, noises: int) -> Iterator[Load]:
    if isinstance(entry, np.ndarray):
        return (_given(probe, row) for row in _rows(probe, entry))
    if entry == "noise":
        return (_blank(probe, entry, seed + at) for at in range(noises))
    if entry in BLANKS:
        return iter([_blank(probe, entry, seed)])
    return _from_file(probe, entry)


def _from_file(probe: Probe, name: str) -> Iterator[Load]:
    path = Path(name)
    if not path.exists():
        raise NoSuchBaseline(name, BLANKS)
    if path.suffix == ARRAY:
        return _loads(probe, _array(probe, path), seed=0, noises=1)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES) if path.is_dir() else [path]
    probe.require(bool(files), "baselines", name, "must be a folder that holds pictures")
    return (_picture(probe, file) for file in files)


def _array(probe: Probe, path: Path) -> Floats:
    """What the file holds. Pickled objects are not read: they could run anything."""
    wanted = "must hold an array of numbers, as numpy.save writes it"
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidOption(probe.method, "baselines", str(path), wanted) from error
    is_array = isinstance(found, np.ndarray) and np.issubdtype(found.dtype, np.number)
    probe.require(is_array, "baselines", str(path), wanted)
    return np.asarray(found, np.float32)


def _rows(probe: Probe, array: Floats) -> Floats:
    """(B, *x.shape), of one array or several."""
    rows = array[None] if array.ndim == probe.x.ndim else array
    fits = f"must have the shape of the input, {probe.x.shape}, or one axis more in front"
    probe.require(rows.shape[1:] == probe.x.shape, "baselines", f"an array of shape {array.shape}", fits)
    return np.asarray(rows, np.float32)


def _given(probe: Probe, row: Floats) -> Load:
    probe.require(bool(np.isfinite(row).all()), "baselines", "an array", "must hold nothing but finite numbers")
    return lambda: row


def _blank(probe: Probe, kind: str, seed: int) -> Load:
    return lambda: probe.blank(kind, seed=seed)


def _picture(probe: Probe, path: Path) -> Load:
    prepare = probe.prepare
    if prepare is None:
        raise InvalidOption(probe.method, "baselines", str(path), "nothing says how to prepare pictures: give arrays")

    def load() -> Floats:
        found = np.asarray(prepare(path), np.float32)
        fits = f"it becomes an input of shape {found.shape}, not {probe.x.shape}: give pictures of one size"
        probe.require(found.shape == probe.x.shape, "baselines", str(path), fits)
        return found

    return load
