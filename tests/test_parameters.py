"""Options: read off a function's parameters, set by value or by text."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxcam.errors import InvalidOption, UnknownOption
from onnxcam.parameters import parameters_of, settings

Given = str | NDArray[np.float32]


def method(
    probe: object,
    *,
    steps: int = 10,
    share: float = 0.5,
    is_soft: bool = True,
    name: str = "a",
    rule: Literal["left", "right"] = "left",
    window: int | None = None,
    lights: tuple[float, ...] = (1.0,),
    starts: tuple[Given, ...] = ("black",),
) -> None:
    """A method with an option of every kind."""


PARAMETERS = parameters_of(method)
ARRAY = np.ones(3, np.float32)


def test_only_keywords_are_options_and_keep_their_order_and_defaults():
    assert list(PARAMETERS) == ["steps", "share", "is_soft", "name", "rule", "window", "lights", "starts"]
    assert PARAMETERS["lights"].default == (1.0,)
    assert PARAMETERS["rule"].choices == ("left", "right")


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("steps", 7, 7),
        ("steps", "7", 7),
        ("steps", " 7 ", 7),
        ("steps", 7.0, 7),
        ("steps", np.int64(7), 7),
        ("share", "0.25", 0.25),
        ("share", 1, 1.0),
        ("is_soft", "false", False),
        ("is_soft", "Yes", True),
        ("is_soft", False, False),
        ("is_soft", 1, True),
        ("name", "b", "b"),
        ("rule", "right", "right"),
        ("window", None, None),
        ("window", "none", None),
        ("window", "12", 12),
        ("lights", "0.9,1,1.1", (0.9, 1.0, 1.1)),
        ("lights", [1, 2], (1.0, 2.0)),
        ("lights", "2", (2.0,)),
        ("starts", "black,blur", ("black", "blur")),
    ],
)
def test_a_value_or_its_text_is_read_in_the_options_type(name: str, given: Any, read: Any):
    found = settings("demo", PARAMETERS, {name: given})[name]
    assert found == read
    assert type(found) is type(read)


def test_an_array_is_taken_where_arrays_are():
    (found,) = settings("demo", PARAMETERS, {"starts": ARRAY})["starts"]
    assert found is ARRAY
    assert settings("demo", PARAMETERS, {"starts": ("black", ARRAY)})["starts"][1] is ARRAY


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("steps", "many", "a whole number"),
        ("steps", 7.5, "a whole number"),
        ("steps", True, "a whole number"),
        ("steps", None, "a whole number"),
        ("steps", ARRAY, "a whole number"),
        ("share", "nan", "a number"),
        ("share", "inf", "a number"),
        ("is_soft", "maybe", "true or false"),
        ("is_soft", 2, "true or false"),
        ("name", 3, "a word"),
        ("rule", "middle", "'left' or 'right'"),
        ("window", "wide", "a whole number or none"),
        ("lights", 3, "several of a number, joined by commas"),
        ("lights", "1,x", "several of a number, joined by commas"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_it_may_be(name: str, given: Any, wanted: str):
    with pytest.raises(InvalidOption, match=f"{name} of the method 'demo' is .* must be {wanted}"):
        settings("demo", PARAMETERS, {name: given})


def test_an_unknown_option_names_its_neighbours():
    with pytest.raises(UnknownOption, match=r"no option 'stpes'\. Did you mean 'steps'"):
        settings("demo", PARAMETERS, {"stpes": 3})
