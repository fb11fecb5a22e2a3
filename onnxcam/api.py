"""Both halves joined: models in, explain graphs and explanations out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnxcam.assembly import ExplainGraph, build, seal
from onnxcam.autodiff import custom_domains
from onnxcam.description import describe, preprocessing_of
from onnxcam.engine import Explainer
from onnxcam.explanation import Explanation
from onnxcam.graph import Tape, load
from onnxcam.guides import of_each_target
from onnxcam.layer import Layer, find_layers
from onnxcam.planning import Wish, completed, needed_outputs, plan
from onnxcam.scores import Score, find_scores
from onnxcam.sources import Opened, open_source
from onnxcam.sums import with_sums


def convert(
    source: Any,
    example: Any = None,
    *,
    method: str | None = None,
    layer: str | Sequence[str] | None = None,
    score: Score = None,
    preprocess: str | Mapping[str, Any] | None = None,
    labels: str | Path | Sequence[str] | None = None,
    normalize: str | None = None,
    like: str | None = None,
    options: Mapping[str, Any] | None = None,
    groups: Mapping[str, Sequence[int]] | None = None,
    wrap: str | None = None,
    multi_target: bool = False,
    outputs: Sequence[str] = (),
    weights: str | Path | None = None,
    pretrained: bool = False,
    input_size: tuple[int, int] | None = None,
    dynamic_size: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
    keep_outputs: Sequence[str] = (),
    check: bool = True,
) -> ExplainGraph:
    """The explain graph of a model: image in; scores, class and heatmap out.

    Args:
        source: an ONNX file, its bytes, a ModelProto, or what a converter reads: a live torch.nn.Module or keras.Model,
            a Keras or PyTorch file, a SavedModel folder, a frozen graph, or a factory ("timm:resnet18", "mypkg:build").
        example: one input batch, or a tuple of the arguments of the call, for converters that trace the model.
        method: a name in `onnxcam.methods.METHODS`; None: what suits the scores, "gradcam" for classes.
        layer: one or more names as `onnxcam.layers` lists them; None takes the default. Several are fused.
        score: what is explained: a name in `onnxcam.scores.KINDS` ("logit": a final softmax or sigmoid is stepped over;
            "probability"; "output"; "segmentation"; "detector" …), or an expression over the outputs:
            "output0[:, 4 + 17, 1203]". None: what the model's outputs show.
        preprocess: how pixels become input: a preset's name or an object; None where the file itself may know.
        labels: class names, or a file of them.
        normalize: the convention by which the raw map becomes a heatmap: "pytorch-grad-cam", "torchcam", "keras",
            "captum", "percentile"; None: that of `like`, or the method's.
        like: give the numbers of that library, bugs included: "pytorch-grad-cam", "torchcam", "captum",
            "tf-keras-vis". Without it every method is as its paper has it.
        options: of the method, by name, as `onnxcam methods` lists them; and of what is wrapped around it, as "NAME"
            or, where both have one of that name, "tta.NAME".
        groups: sums of classes that can be asked for by name: {"dog": range(151, 269)}.
        wrap: a method of many passes around this one, which must be of one pass: "tta" or "sess".
        multi_target: `target` becomes (N, K), the heatmap (N, K, H, W).
        outputs: also give "activation", "gradient" or "raw_map" of the first layer, or the "attribution" of the input.
        weights: a file of weights, where the source is an architecture or a factory.
        pretrained: take the weights that the owner of the factory publishes (timm, torchvision).
        input_size: (height, width) of the pictures, where the source leaves them open.
        dynamic_size: leave height and width open in the result.
        custom_objects: Keras classes and functions by the names that a file knows them by.
        keep_outputs: the outputs to keep of a TensorFlow graph that has several.
        check: compare what was converted with the framework's own model, on random inputs.

    Raises:
        OnnxCamError: one of its kinds, for a model, layer, method or option that cannot be had.
    """
    wish = Wish(
        method=method,
        layers=[layer] if isinstance(layer, str) else layer,
        score=score,
        normalize=normalize,
        like=like,
        options=options or {},
        groups=groups or {},
        wrap=wrap,
        outputs=outputs,
    )
    wish.check()
    opened = open_source(
        source,
        example=example,
        is_checked=check,
        weights=None if weights is None else Path(weights),
        pretrained=pretrained,
        input_size=input_size,
        dynamic_size=dynamic_size,
        custom_objects=dict(custom_objects or {}),
        outputs=tuple(keep_outputs),
    )
    return assembled(opened, wish, preprocess=preprocess, labels=labels, multi_target=multi_target)


def assembled(
    opened: Opened,
    wish: Wish,
    *,
    preprocess: str | Mapping[str, Any] | None,
    labels: str | Path | Sequence[str] | None,
    multi_target: bool,
) -> ExplainGraph:
    """The explain graph of a model that is ONNX by now. Arguments and errors as of `convert`."""
    loaded = load(opened.onnx, domains=custom_domains())
    found = plan(loaded, wish)
    preprocessing = preprocessing_of(found, loaded, preprocess)
    found = completed(found, preprocessing)
    metadata = describe(
        found,
        loaded,
        preprocessing=preprocessing,
        labels=labels,
        multi_target=multi_target,
        story=opened.story,
    )
    model = build(found, needed_outputs(found.method, wish.outputs), is_multi=multi_target)
    return ExplainGraph(seal(model, metadata), metadata)


def layers(source: Any, example: Any = None) -> list[Layer]:
    """What can be explained in the model, the default first, then from the last to the first."""
    tape = Tape(load(open_source(source, example=example).onnx, domains=custom_domains()).proto)
    scores = find_scores(tape)
    return find_layers(tape, scores.values, scores.layers)


def explain(
    source: Any,
    images: Any,
    target: Any = None,
    *,
    box: Any = None,
    region: Any = None,
    reference: Any = None,
    inputs: Mapping[str, Any] | None = None,
    providers: Sequence[Any] | None = None,
    threads: int | None = None,
    **options: Any,
) -> Explanation | list[Explanation]:
    """The explanation of one image, or of each of several: both halves in one call.

    A list of targets for one image gives an explanation of each; a sum of classes, "281+282", becomes a group of the
    graph. Who explains more than once converts once and keeps an `Explainer`.

    Args:
        source: what `convert` takes.
        images: see `Explainer.__call__`, as for the next five.
        target: what is explained.
        box: which detection is meant; or one for each of a list of targets.
        region: over what a class is explained.
        reference: what a photo is compared with.
        inputs: the model's other inputs.
        providers: what runs the graph.
        threads: of one run; by default one per core.
        **options: those of `convert`.

    Raises:
        OnnxCamError: one of its kinds, for what cannot be read, converted or explained.
    """
    run = {"providers": providers, "threads": threads}
    explainer, _ = with_sums(lambda given: explainer_of(convert(source, **given), **run), options, target)
    asking: dict[str, Any] = {"region": region, "reference": reference, "inputs": inputs}
    if isinstance(target, list | tuple) and not (explainer.metadata.multi_target or explainer.takes_as_many(images)):
        boxes = of_each_target(box, len(target))
        return [explainer(images, entry, box=own, **asking) for entry, own in zip(target, boxes, strict=True)]
    found: Explanation | list[Explanation] = explainer(images, target, box=box, **asking)
    return found


def explainer_of(graph: ExplainGraph, **options: Any) -> Explainer:
    """The explain graph in ONNX Runtime, without a file of its own. `options` are those of `Explainer`."""
    if not graph.is_large:
        return Explainer(graph.to_bytes(), **options)
    # Over 2 GB there are no bytes to hand over: weights stay in a side file, which is needed until they are loaded.
    with TemporaryDirectory(prefix="onnxcam-") as folder:
        return Explainer(graph.save(Path(folder) / "explain.onnx"), **options)
