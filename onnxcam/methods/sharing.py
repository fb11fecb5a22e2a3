"""Options that are said once for several methods."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from onnxcam.drivers import find
from onnxcam.errors import LibraryLacks, UnknownOption
from onnxcam.methods.table import Method, find_method


def shared_options(
    methods: Sequence[str], options: Mapping[str, Any], like: str | None = None, wrap: str | None = None
) -> dict[str, dict[str, Any]]:
    """By method those of the options that it has, and those of what goes around them all.

    Raises:
        UnknownChoice: for a method that does not exist, or nothing of that name to go around them.
        UnknownOption: for an option that none of them has.
        InvalidOption: for a value that one of them cannot take.
    """
    rows = {name: form_of(name, like) for name in methods}
    known = [option for row in rows.values() for option in row.options]
    mine = around(wrap, options, known)
    for option in options:
        if option not in known and option not in mine:
            raise UnknownOption(", ".join(methods), option, known)
    own = {name: {key: value for key, value in options.items() if key in row.options} for name, row in rows.items()}
    for name, row in rows.items():
        row.settings(own[name])
    return {name: given | mine for name, given in own.items()}


def around(wrap: str | None, options: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Of the options those of what goes around methods: as "tta.NAME", or by names that none of these has."""
    if wrap is None:
        return {}
    driver = find(wrap)
    given = {name: value for name, value in options.items() if name not in known}
    mine = {name: value for name, value in given.items() if name.removeprefix(f"{driver.name}.") in driver.options}
    driver.settings(driver.own(mine))
    return mine


def form_of(name: str, like: str | None) -> Method:
    """The method as the library has it; as its paper has it where that library has none, which is said in its place."""
    try:
        return find_method(name, like)
    except LibraryLacks:
        return find_method(name)
