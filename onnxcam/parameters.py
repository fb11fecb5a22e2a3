"""The keyword-only parameters of a function as options that a user may set, by name and as text."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from onnxcam.errors import InvalidOption, UnknownOption

KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option.

    Attributes:
        name: as in Python and behind --option.
        default: its value where nobody says one.
        kind: int, float, bool or str; of the entries, if it takes several.
        is_many: several values, on the command line joined by commas.
        is_optional: None is a value, "none" as text.
        choices: the words it may be; empty: any.
        takes_arrays: whether an entry may be an array as well (of several, one array may hold them all).
    """

    name: str
    default: Any
    kind: type
    is_many: bool = False
    is_optional: bool = False
    choices: tuple[str, ...] = ()
    takes_arrays: bool = False

    @property
    def wanted(self) -> str:
        """What its value may be, in words."""
        word = " or ".join(map(repr, self.choices)) if self.choices else KINDS[self.kind]
        return (f"several of {word}, joined by commas" if self.is_many else word) + " or none" * self.is_optional

    def read(self, value: Any, owner: str) -> Any:
        """The value in the parameter's type. `owner`: whose option it is, for the message.

        Raises:
            InvalidOption: if it is of another.
        """
        if self.is_optional and (value is None or value == "none"):
            return None
        if self.is_many:
            entries = value.split(",") if isinstance(value, str) else [value] if self._is_array(value) else value
            if not isinstance(entries, list | tuple):
                raise self._wrong(value, owner)
            return tuple(self._one(entry, value, owner) for entry in entries)
        return self._one(value, value, owner)

    def _is_array(self, value: Any) -> bool:
        return self.takes_arrays and isinstance(value, np.ndarray)

    def _one(self, entry: Any, whole: Any, owner: str) -> Any:
        if self._is_array(entry):
            return entry
        found = typed(entry, self.kind)
        if found is None or (self.choices and found not in self.choices):
            raise self._wrong(whole, owner)
        return found

    def _wrong(self, value: Any, owner: str) -> InvalidOption:
        return InvalidOption(owner, self.name, value, f"must be {self.wanted}")


def typed(value: Any, kind: type) -> Any:
    """The value, or what its text says, in that type; None if it is of another."""
    if kind is bool:
        return TRUTHS.get(str(value).strip().lower())
    if isinstance(value, bool) or (kind is str and not isinstance(value, str)):
        return None
    try:
        found = kind(value.strip() if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        return None
    is_cut = kind is int and not isinstance(value, str) and found != value
    is_endless = kind is float and not isfinite(found)
    return None if is_cut or is_endless else found


def parameters_of(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The options of a function by name, in its order."""
    hints = get_type_hints(function)
    return {
        name: _parameter(name, entry.default, hints[name])
        for name, entry in inspect.signature(function).parameters.items()
        if entry.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _parameter(name: str, default: Any, hint: Any) -> Parameter:
    kinds, is_optional = _members(hint)
    is_many = get_origin(kinds[0]) is tuple
    if is_many:
        kinds, _ = _members(get_args(kinds[0])[0])
    arrays = [kind for kind in kinds if get_origin(kind) is np.ndarray]
    first = next(kind for kind in kinds if kind not in arrays)
    choices = get_args(first) if get_origin(first) is Literal else ()
    kind = str if choices else first
    return Parameter(name, default, kind, is_many, is_optional, choices, takes_arrays=bool(arrays))


def _members(hint: Any) -> tuple[list[Any], bool]:
    """What a type may be, and whether also None."""
    kinds = list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]
    return [kind for kind in kinds if kind is not types.NoneType], types.NoneType in kinds


def settings(owner: str, parameters: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given, each in its type.

    Args:
        owner: whose options they are, for messages.
        parameters: what `parameters_of` gave.
        given: values, or their text, by name.

    Raises:
        UnknownOption: for a name that does not exist.
        InvalidOption: for a value of the wrong kind.
    """
    for name in given:
        if name not in parameters:
            raise UnknownOption(owner, name, parameters)
    return {name: parameters[name].read(value, owner) for name, value in given.items()}
