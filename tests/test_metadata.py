"""What an explain graph says about itself, as JSON."""

from __future__ import annotations

import json

import pytest

from onnxcam.errors import InvalidMetadata, MetadataTooNew
from onnxcam.metadata import Metadata, parse

FULL = Metadata(
    method="gradcam",
    layers=("layer4", "layer3"),
    score="logit",
    input="data_0",
    scores="softmaxout_1",
    classes=2,
    labels=("Katze", "猫"),
    preprocessing={"resize": "shorter", "mean": [0.5, 0.5, 0.5]},
    batch="Reshape 'r' holds 1",
    source={"file": "x.onnx", "sha256": "00"},
)


def test_metadata_survives_json() -> None:
    assert parse(FULL.to_json()) == FULL


def test_the_schema_comes_first_and_letters_stay_letters() -> None:
    assert FULL.to_json().startswith('{"schema":1,')
    assert "猫" in FULL.to_json()


def test_keys_of_a_later_minor_version_are_left_out() -> None:
    assert parse(json.dumps(json.loads(FULL.to_json()) | {"mood": "sunny"})) == FULL


BAD = [
    ("not JSON", "{", InvalidMetadata, "it is not JSON"),
    ("not an object", "[1]", InvalidMetadata, 'has no "schema"'),
    ("no schema", '{"method": "gradcam"}', InvalidMetadata, 'has no "schema"'),
    ("no method", '{"schema":1,"layers": [], "score": "logit"}', InvalidMetadata, "lacks 'method', 'input'"),
    ("too new", '{"schema": 2}', MetadataTooNew, "schema 2, this onnxcam knows up to 1.*pip install -U onnxcam"),
]


@pytest.mark.parametrize(("text", "kind", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_metadata_is_an_error_that_says_what_is_wrong(text: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        parse(text)
