"""The MODEL of a command as an explainer: explain graphs as they are, other models converted on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onnxcam import console
from onnxcam.check import Check
from onnxcam.engine import Explainer
from onnxcam.errors import AlreadyExplainGraph, BuildOptionsUnused, NoLayerChannels, NotRepeatable
from onnxcam.fillings import KINDS
from onnxcam.metadata import is_explain_graph
from onnxcam.other_names import spelled
from onnxcam.preprocessing import PRESET_SIZE, default_preset
from onnxcam.signature import PARTS
from onnxcam.sums import with_sums

if TYPE_CHECKING:
    from onnxcam.assembly import ExplainGraph
    from onnxcam.metadata import Metadata


def open_explainer(
    model: str, build: dict[str, Any], run: dict[str, Any], *, several: bool, targets: Sequence[Any] = ()
) -> Explainer:
    """An explainer of the file: as it is when it is an explain graph, else of what is built from it.

    Sums of classes among the targets become groups of what is built.
    """
    if is_explain_graph(model):
        explainer = Explainer(model, **run)
        if build:
            made = f"{explainer.metadata.method} at {', '.join(explainer.metadata.layers)}"
            raise BuildOptionsUnused(model, build, made)
    else:
        from onnxcam import api

        described: dict[str, Any] = {name: run[name] for name in ("preprocess", "labels") if name in run}
        rest = {name: run[name] for name in run.keys() - described.keys()}
        with console.without_native_noise():
            explainer, _ = with_sums(
                lambda options: api.explainer_of(built(model, options, several=several), **rest),
                build | described,
                targets,
            )
        tell_story(explainer.metadata)
    tell_what_was_assumed(explainer, run.get("preprocess"))
    if "labels" not in run:
        tell_label_list(explainer.metadata)
    return explainer


def built(model: str, options: dict[str, Any], *, several: bool) -> ExplainGraph:
    """The model's explain graph, for several targets in one run where that can be had."""
    from onnxcam import api

    if several:
        try:
            return api.convert(model, **options, multi_target=True)
        except NotRepeatable:
            console.note("this model takes one target a run: each target is a run of its own")
    return api.convert(model, **options)


def tell_what_was_assumed(explainer: Explainer, preprocess: str | None) -> None:
    """Notes on preprocessing and other inputs that neither the file nor the user has said."""
    spec = explainer.preprocessing
    for name, kind in explainer.metadata.fillings.items():
        console.note(f"the model also takes {name!r}; it is {KINDS[kind]} where nothing else is given")
    if explainer.form is not None:
        console.note(f"the model takes {explainer.form.wanted}, which must be prepared as in training")
        return
    if explainer.metadata.preprocessing is None and preprocess is None:
        name = default_preset(spec.dtype, 1 if spec.channels == "GRAY" else 3, spec.layout)
        console.note(f'no preprocessing is known for this model; taking "{name}" (--preprocess says otherwise)')
    if explainer.input_size is None and spec.size == PRESET_SIZE and '"size"' not in (preprocess or ""):
        height, width = PRESET_SIZE
        console.note(
            f"the model takes pictures of any size; taking {width} x {height} "
            f'(--preprocess \'{{"preset": "…", "size": [HEIGHT, WIDTH]}}\' says otherwise)'
        )


def parts_for(method: str | None) -> list[str]:
    """The further outputs that show the channels of a method."""
    from onnxcam.methods import METHODS

    known = METHODS.get(spelled(method or "", METHODS))
    return ["activation"] if known and not known.needs_gradient else list(PARTS)


def check_channels(metadata: Metadata) -> None:
    """Refuses channels of a layer where the method looks at none.

    Raises:
        NoLayerChannels: if it looks at the picture itself.
    """
    if metadata.layers == (metadata.input,):
        raise NoLayerChannels(metadata.method)


def tell_story(metadata: Metadata) -> None:
    """Notes on how the model was converted: what failed before, what the check found, what its author should know."""
    for attempt in metadata.conversion.get("attempts", ()):
        console.note(f"tried first: {attempt}")
    found = metadata.conversion.get("check")
    if found:
        check = Check(**found)
        console.note(f"{'the converted model DIFFERS: ' if check.is_notable else 'checked: '}{check}")
    for note in metadata.notes:
        console.note(note)


def tell_label_list(metadata: Metadata) -> None:
    """Notes whose class names were taken where nobody gave any."""
    if metadata.label_list:
        count = (metadata.classes or 0) - len(metadata.groups)
        console.note(
            f"class names: {metadata.label_list}'s, because the model has {count} classes (--labels says otherwise)"
        )


def refuse_explain_graph(model: str) -> None:
    """Refuses what has been converted already."""
    if is_explain_graph(model):
        raise AlreadyExplainGraph(model)
