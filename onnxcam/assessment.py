"""Methods and layers of a model measured on pictures: which of them give maps that are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from onnxcam.api import convert, explainer_of
from onnxcam.assembly import ExplainGraph
from onnxcam.autodiff import custom_domains
from onnxcam.engine import Explainer
from onnxcam.errors import BuildOptionsUnused, InvalidGroup, OnlyExplained, OnnxCamError, UnknownChoice
from onnxcam.evaluation import Metric
from onnxcam.evaluation.results import Row
from onnxcam.evaluation.running import Skipped, check_metrics, check_things, measure
from onnxcam.evaluation.sample import Sample
from onnxcam.evaluation.subject import BATCH_SIZE, Subject
from onnxcam.graph import load
from onnxcam.metadata import is_explain_graph
from onnxcam.methods import shared_options
from onnxcam.randomization import randomised
from onnxcam.sources import open_once
from onnxcam.sums import with_sums

FREE_METHOD = "activation-mean"  # explains at no cost, for graphs that are only asked for scores


@dataclass(frozen=True, slots=True)
class Unfit:
    """A method that cannot be had at a layer, and why."""

    name: str
    error: OnnxCamError


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What is to be measured, and on what.

    Attributes:
        model: an `Explainer`, an explain graph or its file, or any source that `onnxcam.convert` takes.
        samples: the pictures.
        metrics: what is measured.
        methods: how the model is explained; by default Grad-CAM.
        layers: where, each for itself; None: the default layer.
        target: see `onnxcam.evaluation.running.measure`.
        options: of metrics, by metric and name.
        build: further options of `onnxcam.convert`.
        run: options of `onnxcam.Explainer`.
        batch_size: altered pictures in one run.
        seed: of every random draw.
        has_boxes: whether anybody has said where things are.
    """

    model: Any
    samples: Sequence[Sample]
    metrics: Sequence[Metric]
    methods: Sequence[str] = ()
    layers: Sequence[str] = ()
    target: Any = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    build: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = BATCH_SIZE
    seed: int = 0
    has_boxes: bool = False

    @property
    def count(self) -> int:
        """How many results there will be, if all goes well."""
        return len(self.samples) * len(self.ways)

    @property
    def ways(self) -> list[tuple[str | None, str | None]]:
        """Each method at each layer, once; None stands for the default."""
        return list(product(dict.fromkeys(self.methods) or [None], dict.fromkeys(self.layers) or [None]))

    def results(self, ready: Callable[[Explainer], None] | None = None) -> Iterator[list[Row] | Skipped | Unfit]:
        """The rows of one picture at a time, method after method.

        `ready` is called with each explainer before it is used. Of two names for one method, or one layer, the first
        counts.
        """
        known: set[tuple[str, str]] = set()
        for subject in self.subjects():
            if isinstance(subject, Unfit):
                yield subject
                continue
            if (subject.method, subject.layer) in known:
                continue
            known.add((subject.method, subject.layer))
            if subject.explainer.form is not None:
                raise OnlyExplained("An evaluation", subject.explainer.form.wanted)
            check_metrics(self.metrics, subject, has_boxes=self.has_boxes)
            check_things(self.samples, subject)
            if ready:
                ready(subject.explainer)
            yield from measure(
                subject, self.samples, self.metrics, target=self.target, options=self.options, seed=self.seed
            )

    def subjects(self) -> Iterator[Subject | Unfit]:
        """The model under each method at each layer, one in memory at a time."""
        explainer = self.finished()
        if explainer is not None:
            yield Subject(explainer, batch_size=self.batch_size)
            return
        options, like, wrap = (self.build.get(name) for name in ("options", "like", "wrap"))
        own = shared_options(self.methods, options or {}, like, wrap) if self.methods else {}
        source, shared = open_once(self.model, self.build)
        scorer, shared = self.scorer(source.onnx, shared)
        for method, layer in self.ways:
            mine = {"options": own[method]} if method is not None else {}
            yield self.subject(source.onnx, shared | mine | given(method=method, layer=layer), scorer)

    def scorer(self, opened: Any, build: Mapping[str, Any]) -> tuple[Explainer | None, dict[str, Any]]:
        """What is asked for scores, and the options, with a group where the target is a sum; None if it cannot be had.

        It is the model with an explanation that costs nothing.
        """
        kept = {name: value for name, value in build.items() if name in SCORING}

        def make(options: Mapping[str, Any]) -> Explainer:
            return explainer_of(convert(opened, **options, method=FREE_METHOD), **self.run)

        try:
            found, options = with_sums(make, kept, self.target)
        except OnnxCamError:  # whoever asks for a map says what is wrong
            return None, dict(build)
        return found, {**build, **options}

    def subject(self, opened: Any, build: dict[str, Any], scorer: Explainer | None) -> Subject | Unfit:
        """The model under one method at one layer."""
        try:
            explainer, build = with_sums(
                lambda options: explainer_of(convert(opened, **options), **self.run), build, self.target
            )
        except (InvalidGroup, UnknownChoice):
            raise
        except OnnxCamError as error:
            return Unfit(" at ".join(build[name] for name in ("method", "layer") if name in build), error)
        is_alike = scorer is not None and scorer.metadata.score == explainer.metadata.score
        again = build | given(layer=list(explainer.metadata.layers))
        model = load(opened, domains=custom_domains()).proto if self.needs_model else None
        return Subject(
            explainer,
            scorer if is_alike else None,
            randomised(model, again, self.run, seed=self.seed) if model is not None else None,
            batch_size=self.batch_size,
        )

    @property
    def needs_model(self) -> bool:
        """Whether a metric explains the model with other weights."""
        return any(metric.needs == "model" for metric in self.metrics)

    def finished(self) -> Explainer | None:
        """The explainer, where the model comes as one or as an explain graph; None where it is to be built.

        Raises:
            BuildOptionsUnused: if options are given that shape an explain graph.
        """
        source = self.model
        is_file = isinstance(source, str | Path) and is_explain_graph(source)
        if not (isinstance(source, Explainer | ExplainGraph) or is_file):
            return None
        asked = {"method": self.methods, "layer": self.layers}
        asked |= {name: value for name, value in self.build.items() if name not in ("preprocess", "labels")}
        unused = [name for name, value in asked.items() if value]
        found = source if isinstance(source, Explainer) else self.loaded(source)
        if unused:
            made = f"{found.metadata.method} at {', '.join(found.metadata.layers)}"
            raise BuildOptionsUnused(str(source) if is_file else "the model given", unused, made)
        return found

    def loaded(self, source: ExplainGraph | str | Path) -> Explainer:
        """The explain graph in ONNX Runtime."""
        said = {name: self.build[name] for name in ("preprocess", "labels") if name in self.build}
        options = {**self.run, **said}
        return explainer_of(source, **options) if isinstance(source, ExplainGraph) else Explainer(source, **options)


def given(**options: Any) -> dict[str, Any]:
    """The options that were given, so that the library's own defaults hold for the others."""
    return {name: value for name, value in options.items() if value}


SCORING = frozenset({"score", "preprocess", "labels", "groups"})
