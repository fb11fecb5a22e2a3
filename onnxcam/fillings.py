"""The model's other inputs: arrays read from files, and where nobody gives any, made to fit the pictures at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import InputMismatch

Dims = Sequence[int | str | None]

CHECK_PATH = "Check the path; the file must be as numpy.save writes it."
HEIGHT_WIDTH, WIDTH_HEIGHT, ONES, ZEROS = "height, width", "width, height", "ones", "zeros"
KINDS = {
    HEIGHT_WIDTH: "the height and width of the model's own input",
    WIDTH_HEIGHT: "the width and height of the model's own input",
    ONES: "all ones",
    ZEROS: "all zeros",
}


def fits(shape: Sequence[int], wanted: Dims) -> bool:
    """Whether an array of that shape goes where the sides are numbers, or open."""
    return len(shape) == len(wanted) and all(
        not isinstance(side, int) or side == length for side, length in zip(wanted, shape, strict=True)
    )


def readable(shape: Dims) -> str:
    """As a message says it."""
    return ", ".join(str(side or "any") for side in shape)


def filled(
    kind: str, shape: Dims, dtype: Any, *, count: int, sides: Sequence[int], known: Mapping[str, int]
) -> NDArray[Any]:
    """An array of that kind.

    Args:
        kind: one of `KINDS`.
        shape: the input's: numbers, and symbols or None where it is open.
        dtype: of its elements.
        count: how many pictures there are.
        sides: their height and width.
        known: what symbols stand for that the picture's own shape has.
    """
    size = _sizes(shape, kind, count=count, sides=sides, known=known)
    if kind not in (HEIGHT_WIDTH, WIDTH_HEIGHT):
        return np.full(size, kind == ONES, dtype)
    row = sides if kind == HEIGHT_WIDTH else sides[::-1]
    return np.array(np.broadcast_to(np.asarray(row, dtype), size))


def _sizes(shape: Dims, kind: str, *, count: int, sides: Sequence[int], known: Mapping[str, int]) -> list[int]:
    """The first of two or more axes counts the pictures, the last two of a mask are theirs; other open ones are 1."""
    rank, found = len(shape), []
    for axis, length in enumerate(shape):
        if isinstance(length, int):
            found.append(length)
        elif axis == 0 and rank > 1:
            found.append(count)
        elif length in known:
            found.append(known[str(length)])
        else:
            found.append(sides[axis - rank] if kind == ONES and rank > 2 and axis >= rank - 2 else 1)
    return found


def array_in(path: str, name: str) -> NDArray[Any]:
    """The array in a .npy file, which is to be an input of that name; nothing in it is executed.

    Raises:
        InputMismatch: if there is none.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputMismatch(name, f"cannot be read from {path!r} as a .npy file ({error})", CHECK_PATH) from error
    if not isinstance(array, np.ndarray):
        array.close()
        reason = f"cannot be read from {path!r}: it holds several arrays, and .npy holds one"
        raise InputMismatch(name, reason, CHECK_PATH)
    return array
