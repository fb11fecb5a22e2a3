"""What numbers an option may be: types that say so beside the parameter, for `onnxcam.parameters` to hold to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which values of the type there may be.

    Attributes:
        words: the end of "… must be".
        holds: whether it may be this one.
    """

    words: str
    holds: Callable[[Any], bool]


def at_least(low: float) -> Allowed:
    """`low` and what is above it."""
    return Allowed(f"{low:g} or more", lambda value: bool(value >= low))


def above(low: float) -> Allowed:
    """What is above `low`."""
    return Allowed(f"more than {low:g}", lambda value: bool(value > low))


def is_power_of_two(number: int) -> bool:
    """Whether it is 2, 4, 8 …"""
    return number >= 2 and number & (number - 1) == 0


Seed: TypeAlias = Annotated[int, at_least(0)]
Count: TypeAlias = Annotated[int, at_least(1)]
TwoOrMore: TypeAlias = Annotated[int, at_least(2)]
FourOrMore: TypeAlias = Annotated[int, at_least(4)]
PowerOfTwo: TypeAlias = Annotated[int, Allowed("a power of 2, from 2", is_power_of_two)]
NotNegative: TypeAlias = Annotated[float, at_least(0)]
Positive: TypeAlias = Annotated[float, above(0)]
# Shares, with or without their ends.
Share: TypeAlias = Annotated[float, Allowed("from 0 to 1", lambda share: 0 <= share <= 1)]
Probability: TypeAlias = Annotated[float, Allowed("more than 0 and below 1", lambda share: 0 < share < 1)]
SomeShare: TypeAlias = Annotated[float, Allowed("more than 0 and at most 1", lambda share: 0 < share <= 1)]
ShareBelowOne: TypeAlias = Annotated[float, Allowed("at least 0 and below 1", lambda share: 0 <= share < 1)]
Numbers: TypeAlias = Annotated[tuple[float, ...], Allowed("one number or more", bool)]
