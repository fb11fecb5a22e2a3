"""Targets by index, rank and label."""

from __future__ import annotations

from typing import Any

import pytest

from onnxcam.errors import InvalidTarget, LabelAmbiguous, LabelNotFound, OnnxCamError, TargetOutOfRange
from onnxcam.targets import Classes

IMAGENET = Classes(6, ("tabby, tabby cat", "tiger cat", "Egyptian cat", "crane", "crane", "7"))
SIGMOID = Classes(1, ("cat",), sides=True)

FOUND = [
    # target,            number
    (None, -1),
    (5, 5),
    (-6, -6),
    ("tiger cat", 1),
    ("TIGER CAT", 1),
    (" tabby cat ", 0),
    ("tabby, tabby cat", 0),
    ("7", 5),
    ("3", 3),
    ("-2", -2),
    ("not:2", 8),
    ("not: egyptian cat", 8),
    ("not:7", 11),
    ("1-2", 12 + 1 * 6 + 2),
    ("tiger cat - 0", 12 + 1 * 6 + 0),
    ("Egyptian cat-tabby, tabby cat", 12 + 2 * 6 + 0),
]
DASHED = Classes(4, ("go-kart", "T-shirt", "go", "kart-T"))


@pytest.mark.parametrize(("target", "number"), FOUND, ids=str)
def test_a_target_becomes_the_graphs_number(target: Any, number: int) -> None:
    assert IMAGENET.number(target) == number


def test_an_exact_label_goes_before_one_that_differs_in_case() -> None:
    assert Classes(2, ("Polish", "polish")).number("polish") == 1


def test_a_sigmoid_net_has_two_sides() -> None:
    assert [SIGMOID.number(target) for target in (0, 1, -1, -2, "cat", "not:cat", "not:0")] == [0, 1, -1, -2, 0, 1, 1]
    assert [SIGMOID.label(index) for index in (0, 1)] == ["cat", "not:cat"]


def test_labels_are_found_again() -> None:
    assert [IMAGENET.label(index) for index in (1, 7, 12)] == [
        "tiger cat",
        "not:tiger cat",
        "tabby, tabby cat - tabby, tabby cat",
    ]
    assert [Classes(3).label(index) for index in (1, 4)] == [None, "not:1"]
    assert Classes(None).number(10**6) == 10**6


def test_a_label_with_a_dash_is_no_difference() -> None:
    assert DASHED.number("go-kart") == 0
    assert DASHED.number("T-shirt-go-kart") == 8 + 1 * 4 + 0
    assert DASHED.label(8 + 1 * 4 + 0) == "T-shirt - go-kart"


def test_a_label_that_ends_like_an_unfinished_target_is_a_label() -> None:
    odd = Classes(5, ("1-", "c++", "-2", "c", "a"))
    assert [odd.number(label) for label in ("1-", "c++", "-2", "not:c++")] == [0, 1, 2, 6]


def test_a_sum_is_read_into_its_classes() -> None:
    assert IMAGENET.sums_in("tiger cat+Egyptian cat+0") == {"tiger cat+Egyptian cat+0": (1, 2, 0)}
    assert [IMAGENET.sums_in(text) for text in ("tiger cat", "tiger cat+dog", "1-2", "-1", "crane", "9")] == [{}] * 6


SUMS = [
    # target,       the sums in it
    ("not:1+2", {"1+2": (1, 2)}),
    ("not: 1 + 2", {"1 + 2": (1, 2)}),
    ("1+2-3", {"1+2": (1, 2)}),
    ("1-2+3", {"2+3": (2, 3)}),
    ("0 + 1 - 2+3", {"0 + 1": (0, 1), "2+3": (2, 3)}),
    ("0+1-0+1", {"0+1": (0, 1)}),
    ("not:1+2-3", {"1+2": (1, 2)}),
]


@pytest.mark.parametrize(("target", "sums"), SUMS, ids=[row[0] for row in SUMS])
def test_sums_are_found_within_what_is_asked_for(target: str, sums: dict[str, tuple[int, ...]]) -> None:
    assert Classes(5).sums_in(target) == sums


def test_labels_with_signs_in_them_go_before_sums_and_differences() -> None:
    odd = Classes(6, ("a+b", "a", "b", "c-a", "c", "c++"))
    assert [odd.number(text) for text in ("a+b", "c-a", "c++", "not:a+b")] == [0, 3, 5, 6]
    assert [odd.sums_in(text) for text in ("a+b", "c-a", "c++-a+b")] == [{}] * 3
    assert odd.sums_in("a+b+c") == {"a+b+c": (0, 4)}
    assert odd.sums_in("b+c-a") == {"b+c-a": (2, 3)}  # the label c-a, not b + c less a
    assert odd.sums_in("c+++b-a") == {"c+++b": (5, 2)}
    assert odd.number("c++-a+b") == 12 + 5 * 6 + 0


def test_sums_that_are_groups_stand_on_either_side() -> None:
    classes = Classes(5, None, groups=("0+1", "1+2"))
    asked = ("0+1", "not:0+1", "1+2-0", "0-1+2", "0+1-1+2", "0 - 0+1")
    assert [classes.number(text) for text in asked] == [3, 8, 10 + 4 * 5, 10 + 4, 10 + 3 * 5 + 4, 10 + 3]


def test_groups_lie_behind_the_classes_and_have_no_rank() -> None:
    classes = Classes(5, None, groups=("dog", "1+2"))
    assert [classes.number(target) for target in ("dog", "1+2", "dog-0", "not:dog", -3)] == [3, 4, 10 + 3 * 5, 8, -3]
    assert [classes.label(index) for index in (2, 3, 8, 25)] == [None, "dog", "not:dog", "dog - 0"]
    with pytest.raises(TargetOutOfRange):
        classes.number(-4)


BAD = [
    ("two differences", Classes(3, ("a-b", "a", "b-a")), "a-b-a", InvalidTarget, "several differences"),
    ("a class less itself", IMAGENET, "1-1", InvalidTarget, "two classes"),
    ("a sum", IMAGENET, "tiger cat+0", InvalidTarget, r"convert the model with groups=\{'tiger cat\+0': \[1, 0\]\}"),
    ("no sum", IMAGENET, "not:1+2", InvalidTarget, r"the sum '1\+2' is not in this explain graph"),
    ("a sum less", IMAGENET, "1-2 + 3", InvalidTarget, r"the sum '2 \+ 3' is .* \(--group '2 \+ 3=2,3'\)"),
    ("two cranes", IMAGENET, "tiger cat+crane", LabelAmbiguous, "'crane' fits several classes"),
    ("half a difference", Classes(3), "1-x", LabelNotFound, "'1-x', nor 'x', which stands in it at character 3"),
    ("half a label", IMAGENET, "not:1 - tigre cat", LabelNotFound, "at character 9; .* Did you mean 'tiger cat'"),
    ("a part of a sum", Classes(3), "0+1-x+2", LabelNotFound, "nor 'x', which stands in it at character 5"),
    ("one too many", Classes(3), "0+9", TargetOutOfRange, "target 9 is out of range"),
    ("two dashes", Classes(4), "0-1+2-3", InvalidTarget, r"has '2-3' \(character 5\) as one side"),
    ("a turned sum", Classes(4), "0-not:1", LabelNotFound, "nor 'not:1', which stands in it at character 3"),
    ("a rank added", Classes(3), "1+-1", InvalidTarget, "a class is missing before the '-' at character 3"),
    ("a mistyped dash", DASHED, "T-shirt-go-cart", LabelNotFound, "nor 'cart', which stands in it at character 12"),
    ("yes", IMAGENET, True, InvalidTarget, "True is no target"),
    ("index", IMAGENET, 6, TargetOutOfRange, r"index lies in 0\.\.5 and a rank in -1 \(best\)\.\.-6"),
    ("rank", IMAGENET, "-7", TargetOutOfRange, "target -7"),
    ("side", SIGMOID, 2, TargetOutOfRange, "target 2"),
    ("label", IMAGENET, "tigre cat", LabelNotFound, "Did you mean 'tiger cat'"),
    ("part of a word", IMAGENET, "egypt", LabelNotFound, "Did you mean 'Egyptian cat'"),
    ("no labels", Classes(3), "cat", LabelNotFound, "the model carries no labels"),
    ("two labels", IMAGENET, "crane", LabelAmbiguous, r"3 \(crane\), 4 \(crane\)"),
    ("not a rank", IMAGENET, "not:-1", InvalidTarget, "needs a class of the model after the colon"),
    ("not nothing", IMAGENET, "not:", InvalidTarget, "'not:': a class is missing behind the ':' at character 4"),
    ("not not", Classes(3), "not:not:2", InvalidTarget, "'not:not:2' says 'not:' again at character 5"),
    ("not a gap", Classes(3), "not:1-", InvalidTarget, "'not:1-': a class is missing behind the '-' at character 6"),
    ("not a difference", Classes(3), "not:1-2", InvalidTarget, "turns a difference over"),
    ("nothing behind", Classes(3), "1-", InvalidTarget, "'1-': a class is missing behind the '-' at character 2"),
    ("nothing before", IMAGENET, "-tiger cat", InvalidTarget, "a class is missing before the '-' at character 1"),
    (
        "nothing within",
        Classes(3),
        "1++2",
        InvalidTarget,
        r"'1\+\+2': a class is missing before the '\+' at character 3",
    ),
    ("nothing at last", IMAGENET, "1-2 -", InvalidTarget, "a class is missing behind the '-' at character 5"),
    ("no class at all", Classes(3), "x-", LabelNotFound, "no class is labelled 'x-'"),
    ("a float", IMAGENET, 1.0, InvalidTarget, r"1\.0 is no target"),
]


@pytest.mark.parametrize(("classes", "target", "kind", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_target_is_an_error_that_says_what_is_wrong(
    classes: Classes, target: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as raised:
        classes.number(target)
    assert isinstance(raised.value, OnnxCamError)
