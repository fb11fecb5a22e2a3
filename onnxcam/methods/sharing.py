"""Options that are said once for several methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxcam.errors import LibraryLacks, UnknownOption
from onnxcam.methods.table import Method, find_method


def shared_options(
    methods: Sequence[str], options: Mapping[str, Any], like: str | None = None
) -> dict[str, dict[str, Any]]:
    """By method those of the options that it has.

    Raises:
        UnknownChoice: for a method that does not exist.
        UnknownOption: for an option that none of them has.
        InvalidOption: for a value that one of them cannot take.
    """
    rows = {name: form_of(name, like) for name in methods}
    known = [option for row in rows.values() for option in row.options]
    for option in options:
        if option not in known:
            raise UnknownOption(", ".join(methods), option, known)
    own = {name: {key: value for key, value in options.items() if key in row.options} for name, row in rows.items()}
    for name, row in rows.items():
        row.settings(own[name])
    return own


def form_of(name: str, like: str | None) -> Method:
    """The method as the library has it; as its paper has it where that library has none, which is said in its place."""
    try:
        return find_method(name, like)
    except LibraryLacks:
        return find_method(name)
