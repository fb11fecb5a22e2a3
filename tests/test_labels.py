"""Class names from lists and files of every shape that people have them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxcam.errors import InvalidLabels
from onnxcam.labels import list_for, read_labels

NAMES = ("cat", "tiger cat, tom", "dög")
FILES = [
    # name,                     contents
    ("lines", "cat\ntiger cat, tom\ndög\n"),
    ("lines from Windows", "cat\r\ntiger cat, tom\r\ndög\r\n"),
    ("lines after a byte order mark", "\ufeffcat\ntiger cat, tom\ndög"),
    ("blank line at the end", "cat\ntiger cat, tom\ndög\n\n  \n"),
    ("JSON list", '["cat", "tiger cat, tom", "dög"]'),
    ("JSON list after a byte order mark", '\ufeff["cat", "tiger cat, tom", "dög"]'),
    ("JSON object by index", '{"2": "dög", "0": "cat", "1": "tiger cat, tom"}'),
    ("ImageNet's JSON", '{"0": ["n01", "cat"], "1": ["n02", "tiger cat, tom"], "2": ["n03", "dög"]}'),
]


@pytest.mark.parametrize(("name", "text"), FILES, ids=[row[0] for row in FILES])
def test_a_file_gives_the_names_in_the_order_of_the_classes(name: str, text: str, tmp_path: Path):
    path = tmp_path / "labels"
    path.write_bytes(text.encode())
    assert read_labels(path, 3) == NAMES
    assert read_labels(str(path), None) == NAMES


def test_names_are_taken_as_they_are():
    assert read_labels(["a", " b "], 2) == ("a", " b ")


def test_ten_classes_by_index_are_in_the_order_of_numbers(tmp_path: Path):
    path = tmp_path / "labels.json"
    path.write_text("{" + ", ".join(f'"{i}": "c{i}"' for i in reversed(range(11))) + "}")
    assert read_labels(path, 11)[-2:] == ("c9", "c10")


BAD = [
    # name,                 contents,                   words
    ("too few", b"cat\n", "it names 1 classes, but the model has 3"),
    ("too many", b"a\nb\nc\nd\n", "it names 4 classes, but the model has 3"),
    ("no UTF-8", b"caf\xe9\n", "it is not UTF-8 text"),
    ("broken JSON", b'["cat", ', "cannot be used"),
    ("an index that is no number", b'{"a": "cat"}', "cannot be used"),
    ("an index left out", b'{"0": "cat", "1": "tom", "3": "dog"}', "0, 1, 2"),
    ("a name that is none", b'["cat", {"a": 1}, "dog"]', "cannot be used"),
    ("a name without an entry", b'["cat", [], "dog"]', "cannot be used"),
    ("empty", b"", "it names 0 classes"),
]


@pytest.mark.parametrize(("name", "data", "words"), BAD, ids=[row[0] for row in BAD])
def test_names_that_cannot_be_used_are_refused(name: str, data: bytes, words: str, tmp_path: Path):
    path = tmp_path / "labels.txt"
    path.write_bytes(data)
    with pytest.raises(InvalidLabels, match=words) as raised:
        read_labels(path, 3)
    assert "labels.txt" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["gone.txt", "."])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path):
    with pytest.raises(InvalidLabels, match="cannot be used"):
        read_labels(tmp_path / name, 3)


def test_imagenet_comes_along():
    names = read_labels("imagenet", 1000)
    assert (names[0], names[282], names[999]) == ("tench", "tiger cat", "toilet tissue")
    assert read_labels("imagenet", 1001)[:2] == ("background", "tench")


def test_the_number_of_classes_points_to_a_list():
    assert [list_for(classes) for classes in (1000, 1001, 10, None)] == ["imagenet-1k", "imagenet-1k", None, None]


def test_imagenet_has_one_name_a_class():
    with pytest.raises(InvalidLabels, match="1000 classes, but the model has 10"):
        read_labels("imagenet", 10)
