"""Walks an architecture and calls the rule of each layer; tensors get the names of the layers that give them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnx.shape_inference import InferenceError

from onnxcam.errors import InvalidSource, UnsupportedLayer
from onnxcam.graph import Tape
from onnxcam_converters.keras.architecture import parse_architecture, read_spec
from onnxcam_converters.keras.layer import Array, Layer
from onnxcam_converters.keras.pixels import follow_pixels
from onnxcam_converters.keras.policies import check_policy
from onnxcam_converters.keras.registry import RULES, Rule, reads
from onnxcam_converters.keras.specs import MODELS, Architecture, Call, Ref, Spec
from onnxcam_converters.keras.stores import NumberedWeights, Weights
from onnxcam_converters.keras.story import Story
from onnxcam_converters.keras.tensor import Tensor

# Layers that are random where a file calls them with training=True, and that then stay so in Keras 1 and 2.
RANDOM = ("Dropout", "Spatial", "Gaussian", "Alpha", "Random", "BatchNormalization")
DROPPING = ("dropout", "recurrent_dropout")
CUSTOM = (
    "Convert the live model instead: onnxcam.convert(keras.models.load_model(FILE, custom_objects=...)), "
    "which needs Keras and the class."
)
Results = dict[tuple[str, int], list[Any]]


@dataclass
class FileLayer(Layer):
    """A layer of a file, with the place of its weights."""

    spec: Spec = field(default_factory=lambda: Spec("", "", {}))
    store: Weights = field(default_factory=lambda: NumberedWeights({}, ""))


def make_layer(spec: Spec, path: str, store: Weights, *, tape: Tape, keras: tuple[int, ...], story: Story) -> FileLayer:
    """A layer, and the layers within it, whose weights lie there."""

    def inner(entry: Mapping[str, Any], part: str) -> Layer:
        within = read_spec(entry)
        refuse_foreign(within, f"{path}/{within.name}")
        return make_layer(within, f"{path}/{within.name}", store.part(part), tape=tape, keras=keras, story=story)

    def arrays(names: Sequence[str]) -> list[Array]:
        return store.arrays(names)

    return FileLayer(spec.kind, spec.name, path, spec.config, tape, arrays, inner, keras, story, spec=spec, store=store)


@reads(*MODELS)
def call_model(layer: FileLayer, *args: Any) -> Any:
    """What a model gives that is called like a layer."""
    given = list(leaves(args[0] if len(args) == 1 else args, Tensor))
    architecture = parse_architecture(layer.kind, layer.config)
    if len(given) != len(architecture.inputs):
        raise layer.refuse(f"it has {len(architecture.inputs)} inputs and is called with {len(given)}")
    return run(layer, architecture, given)


def run(layer: FileLayer, architecture: Architecture, inputs: Sequence[Tensor]) -> Any:
    """What the model gives for these inputs; its layers are read once however often it is called."""
    stores = layer.store.split(architecture.layers)
    results: Results = {(ref.layer, ref.node): [x] for ref, x in zip(architecture.inputs, inputs, strict=True)}
    if layer.path:
        for ref, x in zip(architecture.inputs, inputs, strict=True):
            layer.story.aliases.setdefault(f"{layer.path}/{ref.layer}", x.value.name)
    for spec, node, call in in_order(architecture, results):
        path = _joined(layer.path, spec.name)
        known = layer.story.layers
        if path not in known:
            refuse_foreign(spec, path)
            store = stores.get(spec.name, NumberedWeights({}, layer.story.source))
            known[path] = make_layer(spec, path, store, tape=layer.tape, keras=layer.keras, story=layer.story)
        args = tuple(resolved(value, results) for value in call.args)
        kwargs = {name: resolved(value, results) for name, value in call.kwargs.items()}
        results[spec.name, node] = list(leaves(call_layer(known[path], args, kwargs), object))
    return resolved(architecture.outputs, results)


def in_order(architecture: Architecture, results: Results) -> Iterator[tuple[Spec, int, Call]]:
    """Every call of every layer once what it needs is there: (layer, number of the call, call)."""
    waiting = [(s, s.first + i, call) for s in architecture.layers for i, call in enumerate(s.calls)]
    while waiting:
        left = []
        for spec, node, call in waiting:
            needs = leaves((call.args, dict(call.kwargs)), Ref)
            if all((ref.layer, ref.node) in results for ref in needs):
                yield spec, node, call
            else:
                left.append((spec, node, call))
        if len(left) == len(waiting):
            name = left[0][0].name
            raise InvalidSource(f"layer {name!r}", "it takes a tensor that nothing in the file computes")
        waiting = left


def call_layer(layer: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What one call of the layer gives; its tensors have the layer's name from then on.

    Raises:
        UnsupportedLayer: if the layer, one of its options or an argument is not understood.
    """
    rule = rule_of(layer)
    check_policy(layer)
    kwargs = inference_arguments(layer, kwargs)
    try:
        inspect.signature(rule).bind(layer, *args, **kwargs)
    except TypeError as error:
        raise layer.refuse(f"it is called with arguments that are not covered ({error})") from error
    try:
        with layer.tape.named(layer.path):
            result = rule(layer, *args, **kwargs)
    except InferenceError as error:
        raise InvalidSource(f"layer {layer.path!r}", f"its options, input and weights do not fit ({error})") from error
    if layer.kind not in MODELS:
        layer.finish()
    return named(layer, result, (args, kwargs))


def named(layer: Layer, result: Any, given: Any) -> Any:
    """The result with its tensors known as the layer's: "path", and "path:1" for the second of several."""
    story, known = layer.story, {x.value.name for x in leaves(given, Tensor)}
    call = story.call(layer.path)
    tensors = list(leaves(result, Tensor))
    follow_pixels(layer, known, tensors)
    replaced = {}
    for index, x in enumerate(tensors):
        is_new = x.value.name not in known and layer.kind not in MODELS
        value = story.name(x.value, f"{call}:{index}" if index else call, is_new=is_new)
        replaced[id(x)] = Tensor(value, x.shape, x.is_moved)
    return replace_leaves(result, replaced)


def rule_of(layer: Layer) -> Rule:
    """The rule for the layer's class; those of the functions of Keras 3 are entered as "ops.Add".

    Raises:
        UnsupportedLayer: if there is none.
    """
    # A function and a layer of one name (Add, Softmax, Reshape) have other arguments and options.
    is_operation = isinstance(layer, FileLayer) and layer.spec.is_operation
    rule = RULES.get(f"ops.{layer.kind}" if is_operation else layer.kind)
    if rule is None:
        raise layer.refuse(f"{layer.kind} is no layer that the direct reader knows", CUSTOM)
    return rule


def refuse_foreign(spec: Spec, path: str) -> None:
    """Refuses classes that are not Keras's own, whatever they are called."""
    if spec.is_foreign:
        raise UnsupportedLayer(path, spec.kind, f"it is a class of the model's author ({spec.module})", CUSTOM)


def inference_arguments(layer: Layer, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that count at inference: those that are None say nothing, nor does `training` in Keras 3."""
    drops = layer.kind.startswith(RANDOM) or any(layer.config.get(name) for name in DROPPING)
    if kwargs.get("training") and layer.keras < (3,) and drops:
        raise layer.refuse("it is called with training=True, so that its results are random")
    return {name: value for name, value in kwargs.items() if name != "training" and value is not None}


def resolved(value: Any, results: Results) -> Any:
    """The nest with tensors in the place of references."""
    if isinstance(value, Ref):
        return results[value.layer, value.node][value.tensor]
    if isinstance(value, Mapping):
        return {name: resolved(entry, results) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(resolved(entry, results) for entry in value)
    return value


def leaves(value: Any, kind: type) -> Iterator[Any]:
    """Everything of that kind in a nest, in order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for entry in value:
            yield from leaves(entry, kind)
    elif isinstance(value, kind):
        yield value


def replace_leaves(value: Any, replaced: Mapping[int, Any]) -> Any:
    """The nest with some of its leaves exchanged."""
    if isinstance(value, list | tuple):
        return type(value)(replace_leaves(entry, replaced) for entry in value)
    return replaced.get(id(value), value)


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
