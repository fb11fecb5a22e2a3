"""How functions enter the tables that decorators fill: no name stands for two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F")


def entering(
    table: dict[str, Any], *names: str, what: str, row: Callable[[Any], Any] | None = None
) -> Callable[[F], F]:
    """A decorator: the function, or the `row` that is made of it, goes into the table under these names.

    Raises:
        ValueError: if one of them is taken; `what` says, for the message, what the table holds.
    """

    def enter(function: F) -> F:
        entry = function if row is None else row(function)
        for name in names:
            if name in table:
                raise ValueError(f"there is a {what} {name!r} already")
            table[name] = entry
        return function

    return enter
