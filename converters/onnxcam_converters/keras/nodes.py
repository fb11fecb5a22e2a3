"""Nodes of TensorFlow's graph as Keras 2 files keep them: as JSON, or as a string of protobuf's bytes."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnxcam_converters.keras.layer import Layer

# Attributes that say of which type something is, or that a node was copied.
TYPES = frozenset(
    "T Tidx Tshape Tperm Tpaddings Tmultiples TI Tlen Tdim Index SrcT Taxis Tindices Tparams out_type".split()
)
# Of NodeDef and of AttrValue, by their numbers.
OP, ATTRIBUTE = 2, 5
NUMBERS_OF_LIST = 3
FIELDS = {2: "s", 3: "i", 4: "f", 5: "b", 6: "type", 7: "shape", 8: "tensor", 1: "list"}
KINDS = {1: "DT_FLOAT", 2: "DT_DOUBLE", 3: "DT_INT32", 9: "DT_INT64", 10: "DT_BOOL", 19: "DT_HALF"}


@dataclass(frozen=True, slots=True)
class GraphNode:
    """An op with the attributes that count."""

    op: str
    attributes: dict[str, Any]


def node_of(layer: Layer, spec: Any) -> GraphNode:
    """The node as the file has it.

    Raises:
        UnsupportedLayer: if it is not understood.
    """
    try:
        op, attributes = _of_mapping(spec) if isinstance(spec, Mapping) else _of_text(str(spec))
    except (KeyError, ValueError, IndexError, struct.error, AttributeError) as error:
        raise layer.refuse(f"its node of TensorFlow's graph is not understood ({error!r})") from error
    counted = {name: value for name, value in attributes.items() if name not in TYPES and not name.startswith("_")}
    return GraphNode(op, counted)


def _of_mapping(spec: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return str(spec["op"]), {name: _of_json(value) for name, value in spec.get("attr", {}).items()}


def _of_json(value: Mapping[str, Any]) -> Any:
    """JSON has whole numbers as text and text in base 64."""
    ((kind, content),) = value.items()
    if kind == "i":
        return int(content)
    if kind == "s":
        return base64.b64decode(content).decode()
    if kind == "list":
        return [int(n) for n in content.get("i", [])]
    return content


def _of_text(text: str) -> tuple[str, dict[str, Any]]:
    if text.lstrip().startswith("{"):
        return _of_mapping(json.loads(text))
    op, attributes = "", {}
    for number, content in _fields(text.encode()):
        if number == OP:
            op = content.decode()
        if number == ATTRIBUTE:
            entry = dict(_fields(content))
            attributes[entry[1].decode()] = _attribute(entry.get(2, b""))
    return op, attributes


def _attribute(message: bytes) -> Any:
    for number, content in _fields(message):
        kind = FIELDS[number]
        if kind == "s":
            return content.decode()
        if kind == "b":
            return bool(content)
        if kind == "type":
            return KINDS.get(content, content)
        if kind == "list":
            return [n for i, part in _fields(content) if i == NUMBERS_OF_LIST for n in _numbers(part)]
        return content
    return None


def _numbers(part: Any) -> list[int]:
    """Whole numbers of a list, packed or one by one."""
    if isinstance(part, int):
        return [part]
    found, at = [], 0
    while at < len(part):
        number, at = _varint(part, at)
        found.append(number)
    return found


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: (number, content)."""
    at = 0
    content: Any
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 0:
                content, at = _varint(message, at)
            case 2:
                length, at = _varint(message, at)
                content, at = message[at : at + length], at + length
            case 5:
                content, at = struct.unpack_from("<f", message, at)[0], at + 4
            case _:
                raise ValueError(f"field {key}")
        yield key >> 3, content


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte, at = message[at], at + 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number - (1 << 64) if number >> 63 else number, at
