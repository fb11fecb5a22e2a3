"""The keyword-only parameters of a function as options that a user may set, by name and as text."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from onnxcam.errors import InvalidOption, UnknownOption
from onnxcam.ranges import Allowed

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
        allowed: which values of the kind an entry may be; None: all.
        together: which several there may be; None: any.
    """

    name: str
    default: Any
    kind: type
    is_many: bool = False
    is_optional: bool = False
    choices: tuple[str, ...] = ()
    takes_arrays: bool = False
    allowed: Allowed | None = None
    together: Allowed | None = None

    @property
    def wanted(self) -> str:
        """What its value may be, in words."""
        word = " or ".join(map(repr, self.choices)) if self.choices else KINDS[self.kind]
        word += f" ({self.allowed.words})" if self.allowed else ""
        return (f"several of {word}, joined by commas" if self.is_many else word) + " or none" * self.is_optional

    def read(self, value: Any, owner: str) -> Any:
        """The value in the parameter's type. `owner`: whose option it is, for the message.

        Raises:
            InvalidOption: if it is of another, or one that it may not be.
        """
        if self.is_optional and (value is None or value == "none"):
            return None
        if self.is_many:
            entries = value.split(",") if isinstance(value, str) else value
            if not isinstance(entries, list | tuple):
                entries = [value]
            return self._within(tuple(self._one(entry, value, owner) for entry in entries), owner, self.together)
        return self._one(value, value, owner)

    def _is_array(self, value: Any) -> bool:
        return self.takes_arrays and isinstance(value, np.ndarray)

    def _one(self, entry: Any, whole: Any, owner: str) -> Any:
        if self._is_array(entry):
            return entry
        found = typed(entry, self.kind)
        if found is None or (self.choices and found not in self.choices):
            raise InvalidOption(owner, self.name, whole, f"must be {self.wanted}")
        return self._within(found, owner, self.allowed)

    def _within(self, value: Any, owner: str, allowed: Allowed | None) -> Any:
        if allowed is not None and not allowed.holds(value):
            raise InvalidOption(owner, self.name, value, f"must be {allowed.words}")
        return value


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
    hints = get_type_hints(function, include_extras=True)
    return {
        name: _parameter(name, entry.default, hints[name])
        for name, entry in inspect.signature(function).parameters.items()
        if entry.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _parameter(name: str, default: Any, hint: Any) -> Parameter:
    kinds, is_optional = _members(hint)
    bare, outer = _bare(kinds[0])
    is_many = get_origin(bare) is tuple
    if is_many:
        kinds, _ = _members(get_args(bare)[0])
    arrays = [kind for kind in kinds if get_origin(kind) is np.ndarray]
    first, allowed = _bare(next(kind for kind in kinds if kind not in arrays))
    choices = get_args(first) if get_origin(first) is Literal else ()
    kind, together = str if choices else first, outer if is_many else None
    return Parameter(name, default, kind, is_many, is_optional, choices, bool(arrays), allowed, together)


def _bare(hint: Any) -> tuple[Any, Allowed | None]:
    """The type itself, and which of its values there may be."""
    if get_origin(hint) is not Annotated:
        return hint, None
    kind, *notes = get_args(hint)
    return kind, next((note for note in notes if isinstance(note, Allowed)), None)


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
        InvalidOption: for a value of the wrong kind, or out of its range.
    """
    for name in given:
        if name not in parameters:
            raise UnknownOption(owner, name, parameters)
    return {name: parameters[name].read(value, owner) for name, value in given.items()}
