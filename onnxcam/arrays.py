"""Signals and volumes: arrays of values that are prepared already, and how a model lays them out."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from onnxcam.errors import ArrayMismatch, ArrayNotFound, ArrayNotReadable, InvalidArray, NotAnArray

Floats: TypeAlias = NDArray[np.float32]
Side: TypeAlias = int | str | None

SUFFIX = ".npy"
KINDS = {3: "signals", 5: "volumes"}
AXES = {"C": "channels", "D": "depth", "H": "height", "W": "width"}
FEW = (1, 2, 3, 4)  # channels of a volume, where nothing else says which axis they are
FRAMES_FIRST = "DCHW"
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True, slots=True)
class Form:
    """How a model takes its signals or volumes.

    Attributes:
        name: of the input.
        layout: its axes without the batch: "CW" or "WC", "CDHW" or "DHWC"; "DCHW" of videos with their frames first.
        shape: their lengths; a symbol or None where any will do.
    """

    name: str
    layout: str
    shape: tuple[Side, ...]

    @property
    def is_signal(self) -> bool:
        """Whether there is one axis of space, a signal's length."""
        return len(self.layout) == 2

    @property
    def channel_axis(self) -> int:
        """Where the channels lie."""
        return self.layout.index("C")

    @property
    def wanted(self) -> str:
        """What fits, in words: "signals of shape (12, 1000) as (channels, length)"."""
        lengths = ", ".join(str(side) if isinstance(side, int) else "any" for side in self.shape)
        has_frames = self.layout == FRAMES_FIRST
        names = AXES | {"W": "length"} if self.is_signal else AXES | {"D": "frames"} if has_frames else AXES
        axes = ", ".join(names[letter] for letter in self.layout)
        kind = "videos" if has_frames else KINDS[len(self.layout) + 1]
        return f"{kind} of shape ({lengths}) as ({axes})"

    def fitted(self, array: NDArray[Any], source: str = "the array") -> Floats:
        """The array in the model's layout, with its axis of channels, which may be missing where there is one channel.

        Raises:
            InvalidArray: if it holds no numbers, none at all, or some that are not finite.
            ArrayMismatch: if its shape is not the model's.
        """
        checked = finite(array, source)
        axis = self.channel_axis
        if checked.ndim == len(self.shape) - 1 and (self.shape[axis] == 1 or not isinstance(self.shape[axis], int)):
            checked = np.expand_dims(checked, axis)
        if not self.takes(checked.shape):
            raise ArrayMismatch(self.name, array.shape, wanted=self.wanted, hint=self._hint(checked))
        return checked

    def takes(self, shape: Sequence[int]) -> bool:
        """Whether an array of that shape is one signal or volume of this form."""
        return len(shape) == len(self.shape) and all(
            not isinstance(side, int) or side == length for side, length in zip(self.shape, shape, strict=True)
        )

    def _hint(self, array: Floats) -> str:
        """What to do where only the channels lie elsewhere."""
        for source in (-1, 0, 1) if array.ndim == len(self.shape) else ():
            if self.takes(np.moveaxis(array, source, self.channel_axis).shape):
                return f"Its channels lie elsewhere: give numpy.moveaxis(array, {source}, {self.channel_axis or '0'})."
        if array.ndim == len(self.shape) + 1:
            return "For several at once give a list of arrays."
        return ""


def form_of(name: str, shape: Sequence[Side], layout: str | None) -> Form | None:
    """The form of an input (N, …); None if it holds pictures.

    Args:
        name: of the input.
        shape: with the batch axis; a symbol or None where a length is open.
        layout: what the metadata says; graphs of the first days say nothing.
    """
    if len(shape) not in KINDS:
        return None
    is_last = shape[-1] in FEW and shape[1] not in FEW
    letters = "W" if len(shape) == 3 else "DHW"
    known = layout[1:] if layout else f"{letters}C" if is_last else f"C{letters}"
    return Form(name, known, tuple(shape[1:]))


def read_array(source: Any, form: Form) -> Floats:
    """The signal or volume as the model takes it, without the batch axis.

    Args:
        source: an array, the path of a .npy file, or such a file's bytes.
        form: what the model takes.

    Raises:
        ArrayError: one of its kinds, if there is no such file, or it holds no array of finite numbers.
        ArrayMismatch: if it does not fit.
    """
    if isinstance(source, np.ndarray):
        return form.fitted(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return form.fitted(parsed(bytes(source), "the array given as bytes", form))
    if isinstance(source, str | os.PathLike):
        return form.fitted(parsed(_bytes(Path(source)), repr(str(source)), form), repr(str(source)))
    raise NotAnArray(f"a {type(source).__name__}", "is no array", form.wanted)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ArrayNotFound(str(path)) from error
    except OSError as error:
        raise ArrayNotReadable(str(path), error.strerror or str(error)) from error


def parsed(data: bytes, source: str, form: Form) -> NDArray[Any]:
    """The array in the bytes of a .npy file, without running what is pickled in it or believing its header."""
    stream = io.BytesIO(data)
    if not data.startswith(npy.MAGIC_PREFIX):
        raise NotAnArray(source, "is no .npy file", form.wanted)
    try:
        read_header = HEADERS.get(npy.read_magic(stream))
        if read_header is None:
            raise NotAnArray(source, "is a .npy file of a kind that holds no plain numbers", form.wanted)
        shape, is_fortran, dtype = read_header(stream)
        if dtype.hasobject or not prod(shape):
            return np.empty(shape if not prod(shape) else (1,), dtype)  # whoever checks it says so
        flat = np.frombuffer(data, dtype, prod(shape), stream.tell())
    except ValueError as error:
        raise NotAnArray(source, "is a damaged .npy file", form.wanted) from error
    return flat.reshape(shape, order="F" if is_fortran else "C")


def finite(array: NDArray[Any], source: str) -> Floats:
    """The numbers as float32.

    Raises:
        InvalidArray: if they are none, or not finite.
    """
    if array.dtype.kind not in "biuf":
        raise InvalidArray(source, f"holds {'objects' if array.dtype.hasobject else array.dtype}, not real numbers")
    if array.size == 0:
        raise InvalidArray(source, f"is empty: its shape is {array.shape}")
    with np.errstate(over="ignore"):
        values = np.asarray(array, np.float32)
    odd = ~np.isfinite(values)
    if odd.any():
        first = [int(place) for place in np.argwhere(odd)[0]]
        count = int(np.count_nonzero(odd))
        raise InvalidArray(source, f"holds {count} of {odd.size} values that are not finite, the first at {first}")
    return values
