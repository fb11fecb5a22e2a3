"""Groups of options: a command takes each as one parameter, whose type is a dataclass with the options as fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer is to see it: where it has a parameter for a group, there stand the group's options.

    A field of a group is written as a parameter would be: `Annotated[str | None, typer.Option("--like")] = None`. The
    command is called with the groups made of the values. What comes back takes everything by name.

    Raises:
        ValueError: if two options have one name.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    known = signature(command).parameters.values()
    flat = Signature([option for parameter in known for option in options_of(parameter, hints[parameter.name])])

    @wraps(command)
    def called(**said: Any) -> None:
        bound = flat.bind(**said)
        bound.apply_defaults()
        values = bound.arguments
        for name, kind in groups.items():
            values[name] = kind(**{field.name: values.pop(field.name) for field in fields(kind)})
        command(**values)

    called.__signature__ = flat  # type: ignore[attr-defined]
    called.__annotations__ = {name: option.annotation for name, option in flat.parameters.items()}
    return called


def options_of(parameter: Parameter, kind: Any) -> Iterator[Parameter]:
    """The parameter by itself; of a group one for each option."""
    if not is_dataclass(kind):
        yield parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=kind)
        return
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        default = Parameter.empty if field.default is MISSING else field.default
        yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name])
