"""Reads architectures: Sequential and functional models of Keras 1.2 to 3 become the same thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnxcam.errors import InvalidSource
from onnxcam_converters.keras.calls import parse_call, references, tensors_of
from onnxcam_converters.keras.specs import MODELS, Architecture, Call, Ref, Spec

Entry = Mapping[str, Any]


def parse_architecture(kind: str, config: Any) -> Architecture:
    """The layers of a model, how they are called, its inputs and outputs.

    Raises:
        InvalidSource: if the config is none of a model.
    """
    try:
        return _sequential(config) if kind == "Sequential" else _functional(config)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        name = config.get("name", kind) if isinstance(config, Mapping) else kind
        raise InvalidSource(f"model {name!r}", f"its architecture is not understood ({error!r})") from error


def layer_entries(config: Any) -> list[Entry]:
    """The layers of a model's config; that of a Sequential model before Keras 2.2.3 is nothing but their list."""
    return list(config if isinstance(config, list) else config["layers"])


def read_spec(entry: Entry, index: int = 0) -> Spec:
    """A layer without its calls."""
    kind, config = str(entry["class_name"]), entry["config"]
    # The Merge layer of Keras 1 may hold the models that it merges.
    is_model = kind in MODELS or (kind == "Merge" and bool(config.get("layers")))
    inner = layer_entries(config) if is_model else []
    return Spec(
        name=_name(entry, index),
        kind=kind,
        config=config if isinstance(config, Mapping) else {"layers": config},
        module=str(entry.get("module") or _foreign(entry)),
        layers=tuple(read_spec(e, i) for i, e in enumerate(inner)),
    )


def _name(entry: Entry, index: int) -> str:
    config = entry["config"]
    own = config.get("name") if isinstance(config, Mapping) else None
    return str(entry.get("name") or own or f"{entry['class_name'].lower()}_{index + 1}")


def _foreign(entry: Entry) -> str:
    """The package under which its author registered a class: "mypkg>Layer"."""
    package, arrow, _ = str(entry.get("registered_name") or "").partition(">")
    return package if arrow else ""


def _sequential(config: Any) -> Architecture:
    """A chain; where a layer within it names the input or there is no InputLayer, one is put before it."""
    specs = [read_spec(entry, index) for index, entry in enumerate(layer_entries(config))]
    if specs[0].kind == "Merge" and specs[0].layers:
        return _merged(specs)
    if specs[0].kind != "InputLayer":
        specs.insert(0, _input_of(specs[0], config))
    start = Ref(specs[0].name, 0, 0)
    chained, end = _chain(specs[1:], start)
    return Architecture((specs[0], *chained), (start,), [end])


def _chain(specs: Sequence[Spec], before: Ref) -> tuple[list[Spec], Ref]:
    """The layers, each called with what the one before it gives, and what the last one gives."""
    chained = []
    for spec in specs:
        chained.append(replace(spec, calls=(Call((before,)),)))
        before = Ref(spec.name, 0, 0)
    return chained, before


def _merged(specs: Sequence[Spec]) -> Architecture:
    """A Sequential model of Keras 1 that begins where several others end."""
    merge, branches = specs[0], specs[0].layers
    inputs = [_input_of(branch, branch.config) for branch in branches]
    starts = [Ref(spec.name, 0, 0) for spec in inputs]
    called = [replace(spec, calls=(Call((ref,)),)) for spec, ref in zip(branches, starts, strict=True)]
    options = {name: value for name, value in merge.config.items() if name != "layers"}
    ends = [Ref(spec.name, 0, 0) for spec in branches]
    joined = replace(merge, config=options, layers=(), calls=(Call((ends,)),))
    chained, end = _chain(specs[1:], Ref(merge.name, 0, 0))
    return Architecture((*inputs, *called, joined, *chained), tuple(starts), [end])


def _input_of(spec: Spec, config: Any) -> Spec:
    """The input that Keras makes for a Sequential model: of the shape that its first layer was given."""
    while spec.is_model and spec.layers:
        name, spec = f"{spec.name}_input", spec.layers[0]
        if spec.kind == "InputLayer":
            return replace(spec, name=name)
    given = spec.config.get("batch_input_shape") or spec.config.get("batch_shape")
    built = config.get("build_input_shape") if isinstance(config, Mapping) else None
    shape = given or built or _shape_of_dimension(spec.config)
    options = {"batch_input_shape": shape, "dtype": spec.config.get("input_dtype") or "float32"}
    return Spec(f"{spec.name}_input", "InputLayer", options)


def _shape_of_dimension(config: Mapping[str, Any]) -> list[int | None] | None:
    """The shape that input_dim and input_length of Keras 1 say."""
    if config.get("input_shape"):
        return [None, *config["input_shape"]]
    if not config.get("input_dim"):
        return None
    length = [config["input_length"]] if "input_length" in config else []
    return [None, *length, config["input_dim"]]


def _functional(config: Any) -> Architecture:
    """A graph, each layer with the calls that its inbound nodes tell of."""
    entries = layer_entries(config)
    specs = [read_spec(entry, index) for index, entry in enumerate(entries)]
    called = [
        replace(spec, calls=tuple(parse_call(node, spec) for node in entry.get("inbound_nodes", ())))
        for spec, entry in zip(specs, entries, strict=True)
    ]
    outputs = references(config["output_layers"])
    inputs = tuple(tensors_of(references(config["input_layers"])))
    used = {(ref.layer, ref.node) for ref in _all_references(called, outputs)}
    layers = tuple(replace(spec, first=_first_call(spec, used)) for spec in called)
    return Architecture(layers, inputs, outputs)


def _first_call(spec: Spec, used: set[tuple[str, int]]) -> int:
    """Models may count their making as call 0, then nothing refers to it: every call in a file is needed by some."""
    return 1 if spec.is_model and (spec.name, 0) not in used else 0


def _all_references(specs: Sequence[Spec], outputs: Any) -> Iterator[Ref]:
    yield from tensors_of(outputs)
    for spec in specs:
        for call in spec.calls:
            yield from tensors_of((call.args, dict(call.kwargs)))
