"""Groups of options: what typer sees of a command that takes some, and what the command gets."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from onnxcam.cli import app
from onnxcam.options import Building, Conversion, Drawing, Opening, expanded
from onnxcam.options.single import asked

Taste = Annotated[str | None, typer.Option("--taste", help="Sweet or salty.")]


@dataclass(frozen=True)
class Filling:
    taste: Taste = None
    spoons: Annotated[int, typer.Option("--spoons", min=1)] = 2


@dataclass(frozen=True)
class Topping(Filling):
    is_warm: Annotated[bool, typer.Option("--warm/--cold")] = True


@dataclass(frozen=True)
class Box:
    size: Annotated[int, typer.Option("--size")]


served: list[dict[str, Any]] = []


@expanded
def bake(
    dough: Annotated[str, typer.Argument()],
    minutes: Annotated[int, typer.Option("--minutes")] = 40,
    *,
    topping: Topping,
    as_gift: Annotated[bool, typer.Option("--gift")] = False,
) -> None:
    """Bake a cake."""
    served.append({"dough": dough, "minutes": minutes, "topping": topping, "as_gift": as_gift})


@expanded
def pack(*, box: Box) -> None:
    """Pack it."""
    served.append({"box": box})


@pytest.fixture(autouse=True)
def _an_empty_table() -> None:
    served.clear()


def ran(command: Callable[..., None], *args: str) -> int:
    alone = typer.Typer()
    alone.command()(command)
    return CliRunner().invoke(alone, args).exit_code


def test_the_options_of_a_group_stand_where_its_parameter_stood():
    assert list(inspect.signature(bake).parameters) == ["dough", "minutes", "taste", "spoons", "is_warm", "as_gift"]


def test_a_command_gets_the_group_made_of_what_was_said():
    assert ran(bake, "yeast", "--taste", "sweet", "--cold", "--gift") == 0
    assert served == [{"dough": "yeast", "minutes": 40, "topping": Topping("sweet", 2, False), "as_gift": True}]


def test_what_was_not_said_has_the_default_of_its_field():
    assert ran(bake, "yeast") == 0
    assert served[0]["topping"] == Topping()


def test_a_field_without_a_default_must_be_said():
    assert ran(pack) == 2
    assert ran(pack, "--size", "3") == 0
    assert served == [{"box": Box(3)}]


def test_limits_of_a_field_are_those_of_its_option():
    assert ran(bake, "yeast", "--spoons", "0") == 2


def test_the_command_keeps_its_name_and_its_help():
    assert (bake.__name__, bake.__doc__) == ("bake", "Bake a cake.")


def test_it_can_be_called_from_python_with_defaults_left_out():
    bake(dough="yeast", spoons=5)
    assert served[0]["topping"] == Topping(spoons=5)


def test_an_option_that_nobody_knows_is_refused():
    with pytest.raises(TypeError, match="flour"):
        bake(dough="yeast", flour=1)


def test_two_options_of_one_name_are_refused_when_the_command_is_made():
    def twice(*, filling: Filling, topping: Topping) -> None: ...

    with pytest.raises(ValueError, match="taste"):
        expanded(twice)


def test_a_command_without_groups_stays_as_it_is():
    def plain(count: Annotated[int, typer.Option("--count")] = 1) -> None:
        served.append({"count": count})

    assert ran(expanded(plain), "--count", "4") == 0
    assert served == [{"count": 4}]


# the groups of onnxcam

COMMANDS: dict[str, Any] = get_command(app).commands
SHARED = {
    # option,       the commands that take it
    "--weights":    "convert explain compare factorize gradient evaluate layers",
    "--check":      "convert explain compare factorize evaluate",
    "--preprocess": "convert explain compare factorize evaluate",
    "--normalize":  "convert explain compare evaluate",
    "--threads":    "explain compare evaluate",
    "--option":     "convert explain compare evaluate",
    "--group":      "convert explain compare evaluate",
    "--wrap":       "convert explain compare evaluate",
    "--region":     "explain compare evaluate",
    "--reference":  "explain compare evaluate",
    "--input":      "explain compare factorize evaluate",
    "--target-box": "explain compare",
}  # fmt: skip


@pytest.mark.parametrize("option", SHARED)
def test_an_option_is_taken_by_these_commands_and_is_the_same_in_each(option: str):
    taken = {name: entry for name, command in COMMANDS.items() for entry in command.params if option in entry.opts}
    assert set(taken) == set(SHARED[option].split())
    assert len({(entry.help, str(entry.default)) for entry in taken.values()}) == 1


@pytest.mark.parametrize("group", [Building(), Opening(), Conversion()], ids=lambda group: type(group).__name__)
def test_of_what_was_not_said_no_argument_is_made(group: Building | Opening | Conversion):
    assert group.arguments() == {}


def test_what_was_said_becomes_arguments_of_the_library():
    building = Building(layer=["r1"], option=["window=4", "stride = 2"], group=["few=0-2,4"])
    assert building.arguments() == {
        "layer": ["r1"], "options": {"window": "4", "stride": "2"}, "groups": {"few": [0, 1, 2, 4]},
    }  # fmt: skip
    conversion = Conversion(input_size="32x48", pretrained=True, keep_output=["y"], check=False)
    assert conversion.arguments() == {
        "input_size": (32, 48), "pretrained": True, "keep_outputs": ["y"], "check": False,
    }  # fmt: skip


def test_a_view_of_channels_needs_channels():
    with pytest.raises(typer.BadParameter, match="--channels"):
        Drawing(channel_view="activation").check()


def test_zero_is_something_that_was_said():
    assert asked(alpha=0.0, top=0, labels=None, layer=[]) == {"alpha": 0.0, "top": 0}
