"""Both halves joined: models in, explain graphs and explanations out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnx import ModelProto

from onnxcam import __version__
from onnxcam.assembly import RAW_OUTPUTS, ExplainGraph, Plan, build, build_multi_target, seal
from onnxcam.autodiff import differentiate
from onnxcam.conventions import CONVENTIONS, DEFAULT
from onnxcam.conversion import to_onnx
from onnxcam.engine import Explainer
from onnxcam.errors import NoPathToScore, UnknownChoice, UnknownLayer
from onnxcam.explanation import Explanation
from onnxcam.facts import author_facts
from onnxcam.graph import LoadedModel, Tape, drop_unused, load
from onnxcam.labels import read_labels
from onnxcam.layer import Layer, find_layers, resolve
from onnxcam.layouts import find_picture, picture_layout
from onnxcam.metadata import Metadata
from onnxcam.methods import METHODS
from onnxcam.preprocessing import Preprocessing, parse
from onnxcam.scores import LOGIT, find_scores

DEFAULT_METHOD = "gradcam"


def convert(
    source: Any,
    example: Any = None,
    *,
    method: str = DEFAULT_METHOD,
    layer: str | Sequence[str] | None = None,
    score: str = LOGIT,
    preprocess: str | Mapping[str, Any] | None = None,
    labels: str | Path | Sequence[str] | None = None,
    normalize: str = DEFAULT,
    multi_target: bool = False,
    outputs: Sequence[str] = (),
) -> ExplainGraph:
    """The explain graph of a model: image in; scores, class and heatmap out.

    Args:
        source: an ONNX file, its bytes, a ModelProto, or what a converter reads (a live torch.nn.Module, …).
        example: one input batch, for converters that trace the model.
        method: a name in `onnxcam.methods.METHODS`.
        layer: one or more names as `onnxcam.layers` lists them; None takes the default. Several are fused.
        score: "logit" (a final softmax or sigmoid is stepped over) or "probability".
        preprocess: how pixels become input: a preset's name or an object; None where the file itself may know.
        labels: class names, or a file of them.
        normalize: the convention by which the raw map becomes a heatmap: "pytorch-grad-cam", "torchcam", "keras",
            "captum".
        multi_target: `target` becomes (N, K), the heatmap (N, K, H, W).
        outputs: also give "activation", "gradient" or "raw_map" of the first layer.

    Raises:
        OnnxCamError: one of its kinds, for a model, layer, method or option that cannot be had.
    """
    for kind, name, known in (("method", method, METHODS), ("normalisation", normalize, CONVENTIONS)):
        _check(kind, name, known)
    for name in outputs:
        _check("output", name, RAW_OUTPUTS)
    loaded = load(to_onnx(source, example))
    plan = _plan(loaded, [layer] if isinstance(layer, str) else layer, method, score=score, normalize=normalize)
    metadata = _describe(plan, loaded, preprocess, labels=labels, multi_target=multi_target)
    model = (build_multi_target if multi_target else build)(plan, outputs)
    return ExplainGraph(seal(model, metadata), metadata)


def _plan(loaded: LoadedModel, layers: Sequence[str] | None, method: str, *, score: str, normalize: str) -> Plan:
    """The parts that were asked for, found in the model; without layers the default one."""
    tape = Tape(loaded.proto)
    scores = find_scores(tape, score)
    known = find_layers(tape, scores.values)
    chosen = tuple(resolve(tape, known, name) for name in layers) if layers else (resolve(tape, known, None),)
    picture = find_picture(tape)
    assert picture is not None  # noqa: S101 - find_layers has found it
    return Plan(tape, picture, scores, chosen, METHODS[method], normalize)


def layers(source: Any, example: Any = None) -> list[Layer]:
    """What can be explained in the model, the default first, then from the last to the first."""
    tape = Tape(load(to_onnx(source, example)).proto)
    return find_layers(tape, find_scores(tape).values)


def explain(
    source: Any, images: Any, target: Any = None, *, providers: Sequence[Any] | None = None, **options: Any
) -> Explanation | list[Explanation]:
    """The explanation of one image, or of each of several: both halves in one call.

    `options` are those of `convert`; who explains more than once converts once and keeps an `Explainer`.
    """
    explainer = explainer_of(convert(source, **options), providers=providers)
    found: Explanation | list[Explanation] = explainer(images, target)
    return found


def explainer_of(graph: ExplainGraph, **options: Any) -> Explainer:
    """The explain graph in ONNX Runtime, without a file of its own. `options` are those of `Explainer`."""
    if not graph.is_large:
        return Explainer(graph.to_bytes(), **options)
    # Over 2 GB there are no bytes to hand over: weights stay in a side file, which is needed until they are loaded.
    with TemporaryDirectory(prefix="onnxcam-") as folder:
        return Explainer(graph.save(Path(folder) / "explain.onnx"), **options)


def gradient(source: Any, of: str | None = None, wrt: Sequence[str] | None = None) -> ModelProto:
    """The model with the gradient of a tensor appended, in stock operators.

    The model's own inputs and outputs stay first and in order. One input is added, `cotangent`, in the shape of `of`;
    and one output for each of `wrt`, in that order, `gradient/<name>`.

    Args:
        source: as for `convert`.
        of: the tensor to differentiate; None: the first output.
        wrt: the tensors to differentiate by, inputs or inner ones; None: every float input.
    """
    tape = Tape(load(to_onnx(source)).proto)
    end = tape.outputs[0] if of is None else tape.value(of)
    by = [x.name for x in tape.inputs if x.dtype is not None and x.dtype.kind in "fV"] if wrt is None else wrt
    for name in (end.name, *by):
        if name not in tape:
            raise UnknownLayer(name, [], len(tape.nodes), exists=False)
    cotangent = tape.add_input("cotangent", end.dtype or "float32", end.shape or ())
    for name, found in zip(by, differentiate({end: cotangent}, [tape.value(name) for name in by]), strict=True):
        if found is None:
            raise NoPathToScore(name, f"no differentiable path leads from it to {end.name!r}")
        tape.add_output(found, f"gradient/{name}", shape=tape.value(name).shape)
    drop_unused(tape.model)
    return tape.model


def _describe(
    plan: Plan, loaded: LoadedModel, preprocess: str | Mapping[str, Any] | None, *, labels: Any, multi_target: bool
) -> Metadata:
    facts = author_facts(loaded.proto)
    spec = preprocess if preprocess is not None else facts.get("preprocessing")
    names = labels if labels is not None else facts.get("labels")
    scores = plan.scores
    return Metadata(
        method=plan.method.name,
        layers=tuple(layer.name for layer in plan.layers),
        score=scores.kind,
        input=plan.picture.name,
        scores=scores.output.name,
        classes=scores.classes,
        sides=scores.has_sides,
        labels=None if names is None else read_labels(names, scores.classes),
        preprocessing=None if spec is None else fit(spec, plan).to_dict(),
        normalize=plan.normalize,
        multi_target=multi_target,
        batch=loaded.batch_reason or None,
        source={"file": loaded.source.file or "", "sha256": loaded.source.sha256},
        versions={"onnxcam": __version__},
    )


def fit(spec: str | Mapping[str, Any] | None, plan: Plan) -> Preprocessing:
    """The specification, completed by what the model's input says: size, layout, channels, element type."""
    layout, shape, dtype = picture_layout(plan.picture) or "NCHW", plan.picture.shape or (), plan.picture.dtype
    h, w, channels = (shape[layout.index(axis)] for axis in "HWC")
    return parse(
        spec,
        size=(h, w) if isinstance(h, int) and isinstance(w, int) else None,
        layout=layout,
        dtype=dtype.name if dtype is not None else None,
        channels=channels if isinstance(channels, int) else None,
    )


def _check(kind: str, name: str, known: Any) -> None:
    if name not in known:
        raise UnknownChoice(kind, name, known)
