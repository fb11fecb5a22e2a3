"""What all errors are."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "OnnxCamError",
    "UnknownChoice",
    "did_you_mean",
]


class OnnxCamError(Exception):
    """An error of the user's making, or of the model's: one line with the remedy, no traceback needed.

    Attributes:
        brief: what happened alone, for where it is a step on the way and no remedy is needed.
    """

    brief: str = ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The near misses as a sentence with a leading space, or nothing where none is near."""
    pool = list(dict.fromkeys(known))
    folded = {entry.casefold(): entry for entry in pool}
    near = [folded[hit] for hit in get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)]
    near += [entry for entry in pool if name and name.casefold() in entry.casefold() and entry not in near]
    return f" Did you mean {' or '.join(map(repr, near[:3]))}?" if near else ""


class UnknownChoice(OnnxCamError):
    """A name that is none of those that exist."""

    def __init__(self, what: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        """`hint`: a sentence on what may be meant, where more than the spelling tells."""
        choices = sorted(known)
        meant = f" {hint}" if hint else did_you_mean(name, choices)
        super().__init__(f"no {what} named {name!r}.{meant} There are: {', '.join(choices)}.")
