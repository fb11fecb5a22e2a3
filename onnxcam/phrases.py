"""What the text of a target says: a class, a sum of classes, or a difference of two of these.

    target  = operand | "not:" operand | operand "-" operand
    operand = class | class "+" operand

A class may have signs in its name: the longest text that is one is taken for it. What stands behind the dash of a
difference is taken off as a whole, so that "A-B+C" is A less the sum of B and C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from onnxcam.errors import InvalidTarget

NOT, MINUS, PLUS = "not:", "-", "+"

Find: TypeAlias = "Callable[[str], int | None]"  # the index of the class that is called so; None: there is none


@dataclass(frozen=True, slots=True)
class Operand:
    """One side of a difference, or all there is. `classes`: one, or those of a sum."""

    text: str
    classes: tuple[int, ...]

    @property
    def is_sum(self) -> bool:
        """Whether there are several."""
        return len(self.classes) > 1


def operand(text: str, find: Find) -> Operand | None:
    """The class, or sum of classes, that the text names; None if it names neither."""
    whole = find(text)
    if whole is not None:
        return Operand(text.strip(), (whole,))
    for at in reversed(list(places(text, PLUS))):
        first = find(text[:at])
        rest = None if first is None else operand(text[at + 1 :], find)
        if first is not None and rest is not None:
            return Operand(text.strip(), (first, *rest.classes))
    return None


def difference(text: str, find: Find) -> tuple[Operand, Operand] | None:
    """The two sides of "A-B", cut at the one dash that has an operand on both; None if there is no such.

    Raises:
        InvalidTarget: if there are several that mean different things.
    """
    cuts = [(operand(text[:at], find), operand(text[at + 1 :], find)) for at in places(text, MINUS)]
    whole = {(a.classes, b.classes): (a, b) for a, b in cuts if a is not None and b is not None}
    if len(whole) > 1:
        raise InvalidTarget(f"{text!r} can be read as several differences; use the classes' numbers")
    return next(iter(whole.values()), None)


def unknown(text: str, find: Find) -> tuple[str, int] | None:
    """The shortest part that is no class while its neighbour is, and where it begins; None if there is no such."""
    parts: list[tuple[str, int]] = []
    for at in places(text, MINUS + PLUS):
        before, behind = text[:at], text[at + 1 :]
        knows = operand(before, find) is not None, operand(behind, find) is not None
        parts += [(behind, at + 1)] * (knows == (True, False)) + [(before, 0)] * (knows == (False, True))
    if not parts:
        return None
    part, start = min(parts, key=lambda one: len(one[0]))
    within = unknown(part, find)
    if within is not None:
        return within[0], start + within[1]
    return part.strip(), start + len(part) - len(part.lstrip())


def gap(text: str, find: Find, *, before: int = 0) -> str | None:
    """Beside which sign a class is missing, in words; None if beside none, or if no part of the text is a class.

    `before`: how many characters came before the text.
    """
    signs = list(places(text, MINUS + PLUS, inner=False))
    parts = [text[start:end] for start, end in zip([0, *(at + 1 for at in signs)], [*signs, len(text)], strict=True)]
    if all(part.strip() for part in parts) or all(find(part) is None for part in parts):
        return None
    missing = next(index for index, part in enumerate(parts) if not part.strip())
    at = signs[max(0, missing - 1)]
    return f"a class is missing {'behind' if missing else 'before'} the {text[at]!r} at character {before + at + 1}"


def places(text: str, signs: str, *, inner: bool = True) -> Iterator[int]:
    """Where one of the signs stands; `inner`: with something on both sides."""
    return (at for at, letter in enumerate(text) if letter in signs and (not inner or 0 < at < len(text) - 1))
