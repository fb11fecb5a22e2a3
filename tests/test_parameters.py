"""Options: read off a function's parameters, set by value or by text."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxcam.drivers import DRIVERS
from onnxcam.errors import InvalidOption, UnknownOption
from onnxcam.methods import METHODS, VARIANTS
from onnxcam.parameters import parameters_of, settings
from onnxcam.ranges import (
    Count,
    NotNegative,
    Numbers,
    Positive,
    PowerOfTwo,
    Probability,
    Seed,
    Share,
    ShareBelowOne,
    SomeShare,
)

Given = str | NDArray[np.float32]


def ranged(
    probe: object,
    *,
    seed: Seed = 0,
    masks: Count = 8,
    share: Share = 0.5,
    inner: Probability = 0.5,
    some: SomeShare = 0.5,
    rest: ShareBelowOne = 0.0,
    gamma: Positive | None = None,
    shift: NotNegative = 0.0,
    designs: PowerOfTwo = 4,
    lights: Numbers = (1.0,),
    sizes: tuple[Count, ...] | None = None,
) -> None:
    """A method whose options have ranges."""


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
RANGED = parameters_of(ranged)
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
        ("lights", 2, (2.0,)),
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
        ("lights", True, "several of a number, joined by commas"),
        ("lights", "1,x", "several of a number, joined by commas"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_it_may_be(name: str, given: Any, wanted: str):
    with pytest.raises(InvalidOption, match=f"{name} of the method 'demo' is .* must be {wanted}"):
        settings("demo", PARAMETERS, {name: given})


def test_an_unknown_option_names_its_neighbours():
    with pytest.raises(UnknownOption, match=r"no option 'stpes'\. Did you mean 'steps'"):
        settings("demo", PARAMETERS, {"stpes": 3})


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("seed", -1, "seed of the method 'demo' is -1, but must be 0 or more."),
        ("masks", "0", "masks of the method 'demo' is 0, but must be 1 or more."),
        ("share", 1.01, "share of the method 'demo' is 1.01, but must be from 0 to 1."),
        ("inner", 0, "inner of the method 'demo' is 0.0, but must be more than 0 and below 1."),
        ("inner", 1, "inner of the method 'demo' is 1.0, but must be more than 0 and below 1."),
        ("some", 0, "some of the method 'demo' is 0.0, but must be more than 0 and at most 1."),
        ("rest", 1, "rest of the method 'demo' is 1.0, but must be at least 0 and below 1."),
        ("gamma", 0, "gamma of the method 'demo' is 0.0, but must be more than 0."),
        ("gamma", "wide", "gamma of the method 'demo' is 'wide', but must be a number (more than 0) or none."),
        ("shift", -0.5, "shift of the method 'demo' is -0.5, but must be 0 or more."),
        ("designs", 12, "designs of the method 'demo' is 12, but must be a power of 2, from 2."),
        ("designs", -4, "designs of the method 'demo' is -4, but must be a power of 2, from 2."),
        ("lights", (), "lights of the method 'demo' is (), but must be one number or more."),
        ("sizes", "3,0", "sizes of the method 'demo' is 0, but must be 1 or more."),
    ],
)
def test_a_value_out_of_its_range_is_refused_with_what_is_allowed(name: str, given: Any, said: str):
    with pytest.raises(InvalidOption, match=f"^{re.escape(said)}$"):
        settings("demo", RANGED, {name: given})


@pytest.mark.parametrize(
    ("name", "given"),
    [("seed", 0), ("share", 0.0), ("share", 1.0), ("some", 1.0), ("rest", 0.0), ("gamma", None), ("designs", 2)],
)
def test_the_ends_of_a_range_are_in_it_where_it_says_so(name: str, given: Any):
    assert settings("demo", RANGED, {name: given}) == {name: given}


def test_no_methods_default_lies_out_of_its_own_range():
    rows = [*METHODS.values(), *VARIANTS.values(), *DRIVERS.values()]
    for row in rows:
        given = {name: option.default for name, option in row.options.items()}
        assert row.settings(given) == given, row.name
    assert any(option.allowed for row in rows for option in row.options.values())
