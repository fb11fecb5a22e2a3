"""An explain graph in ONNX Runtime: pictures in, explanations out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

from numpy.typing import ArrayLike, NDArray

from onnxcam import preprocessing
from onnxcam.asking import Graph
from onnxcam.drivers import Progress
from onnxcam.driving import Driven, aimed, drive, planned
from onnxcam.errors import Interrupted, InvalidPreprocessing, NoDriver
from onnxcam.explaining import Asked, explain_all, others_of
from onnxcam.explanation import Explanation
from onnxcam.guides import guides
from onnxcam.images import Source
from onnxcam.labels import read_labels
from onnxcam.providers import ProviderSpec, open_session, short
from onnxcam.sessions import described, located, own_labels
from onnxcam.shots import is_many
from onnxcam.signature import TARGET_BOX, Signature
from onnxcam.targets import BEST, Classes, Target

BATCH_SIZE = 8


class Asking(TypedDict, total=False):
    """What `Explainer.__call__` takes by name; it says what each means."""

    box: ArrayLike | Sequence[Any] | None
    region: ArrayLike | Sequence[ArrayLike] | None
    reference: Source | ArrayLike | None
    inputs: Mapping[str, ArrayLike] | None
    batch_size: int
    channels: bool
    driver: str | None
    options: Mapping[str, Any] | None
    progress: Progress | None


class Explainer:
    """An explain graph, ready to run; safe to share between threads.

    Attributes:
        metadata: what the graph says about itself.
        preprocessing: how pictures become its input.
        input_size: (h, w) of its input; None where it takes any.
        form: how it takes signals or volumes; None where it takes pictures.
        classes: how targets are named.
        providers: what runs it, the first choice first.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        providers: Sequence[ProviderSpec] | None = None,
        preprocess: str | Mapping[str, Any] | None = None,
        labels: str | Path | Sequence[str] | None = None,
        threads: int | None = None,
        arena: bool = True,
        spinning: bool = False,
    ) -> None:
        """The graph loaded.

        Args:
            source: a file, or its bytes; one with external data must be a file.
            providers: "cpu", "cuda", "tensorrt" …, or (name, options), the first choice first; by default CUDA where
                there is one, and the CPU. One that is missing is an error, never a fallback.
            preprocess: instead of the graph's own: a preset's name, JSON or an object.
            labels: instead of the graph's own: names, or a file of them.
            threads: of one run; by default one per core.
            arena: keep memory between runs, which is faster and larger.
            spinning: let waiting threads burn their cores, for the last few percent of speed.

        Raises:
            OnnxCamError: one of its kinds, for a missing, broken or plain ONNX file, or a provider that does not start.
        """
        self._session = open_session(
            located(source), providers=providers, threads=threads, arena=arena, spinning=spinning
        )
        self.metadata = described(self._session, source)
        signature = Signature(self._session, self.metadata)
        facts = signature.facts()
        self.input_size, self.form = facts.get("size"), signature.form
        if self.form is not None and preprocess is not None:
            raise InvalidPreprocessing(f"the model takes {self.form.wanted}, prepared already")
        self.preprocessing = preprocessing.parse(
            self.metadata.preprocessing if preprocess is None else preprocess, **facts
        )
        if preprocess is not None:
            preprocessing.check_size(self.preprocessing, self.input_size)
        names = own_labels(self.metadata) if labels is None else read_labels(labels, self.metadata.classes)
        known = self.metadata
        self.classes = Classes(known.classes, names, known.sides, known.groups, known.ranks)
        self._graph = Graph(signature, self.metadata, self.preprocessing, self.classes)
        self.providers = tuple(short(self._session.get_providers()))

    @overload
    def __call__(
        self, image: list[Any] | tuple[Any, ...], target: Any = None, **asking: Unpack[Asking]
    ) -> list[Any]: ...

    @overload
    def __call__(self, image: Source, target: Target | None = None, **asking: Unpack[Asking]) -> Explanation: ...

    @overload
    def __call__(self, image: Source, target: Sequence[Any], **asking: Unpack[Asking]) -> list[Explanation]: ...

    def __call__(
        self,
        image: Any,
        target: Any = None,
        *,
        box: ArrayLike | Sequence[Any] | None = None,
        region: ArrayLike | Sequence[ArrayLike] | None = None,
        reference: Source | ArrayLike | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        batch_size: int = BATCH_SIZE,
        channels: bool = False,
        driver: str | None = None,
        options: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """The explanation of a picture, or a list of them for a list, a tuple or an array (N, H, W, C).

        Args:
            image: what `images.read` takes; for a model of signals or volumes what `arrays.read_array` takes, with an
                `ArrayExplanation` as the result; or several of them.
            target: an index, a label, a sum or difference ("A+B", "A-B"), "not:" before these, or a rank (−1 the best,
                and the default); or a list, one for each picture. With a multi_target graph a list of K targets gives K
                explanations of each picture, and a list of such lists different ones.
            box: x0, y0, x1, y1 in the photo's pixels: which detection is meant; or such or None for each of K targets;
                or one of these for each photo.
            region: a mask (H, W) of the photo's size, or its file, or one for each photo: over what a class is
                explained.
            reference: a picture, or a vector (D,), or one for each photo: what a photo is compared with.
            inputs: the model's other inputs by name, with a row for each picture or one for all.
            batch_size: pictures in one run, where the model takes several at once.
            channels: keep activation and gradient, for `Explanation.channels` and `gallery`.
            driver: a method of many passes to run instead of the graph's own: "rise", "occlusion", "tta" …, where the
                graph gives what it asks for; any graph does for those that need nothing but the score.
            options: of the method of many passes, by name; the others are as at conversion.
            progress: called with the passes done and those expected, for each picture and target anew.

        A KeyboardInterrupt ends many passes: what is known by then comes back with the status "interrupted", the last
        of what was asked for; what was not begun is left out. Where it comes between pictures, or in methods of one
        pass, it is raised as `Interrupted`, a KeyboardInterrupt whose `done` are the explanations finished by then.

        Raises:
            OnnxCamError: one of its kinds, for a picture, target or input that does not fit.
        """
        graph, signature = self._graph, self._graph.signature
        several = is_many(graph, image)
        images = list(image) if several else [image]
        rows, is_row = signature.spread(target, len(images), self.classes)
        guided = guides(signature.known, self.metadata.score, box=box, region=region, rows=rows, is_one=not several)
        others = others_of(graph, inputs, reference, count=len(images))
        plan = planned(graph, driver, options=options or {}, batch_size=batch_size, progress=progress)
        asked = Asked(rows, others, guided, channels)
        results: list[Any] = []
        told = signature.told(others)
        try:
            for row in explain_all(graph, images, asked, plan=plan, batch_size=batch_size):
                noted = [replace(one, report={**one.report, "inputs": told}) for one in row] if told else row
                results.append(noted if is_row else noted[0])
        except KeyboardInterrupt as stop:
            done = results[0] if results and is_row and not several else results
            if not done:
                raise
            raise Interrupted(done, len(images) if several else len(rows[0])) from stop
        return results if several else results[0]

    def run(
        self,
        batch: NDArray[Any],
        target: ArrayLike | None = None,
        *,
        inputs: Mapping[str, ArrayLike] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """The graph's outputs by name, all or those asked for, on arrays that are prepared already.

        Args:
            batch: the picture's input with its batch axis, (N, C, H, W) or (N, H, W, C).
            target: the graph's numbers, (N,), or (N, K) with multi_target; one number stands for all.
            inputs: the model's other inputs by name.
            outputs: names of those wanted; what nobody wants is not copied.
        """
        return self._graph.run(batch, target, inputs or {}, outputs)

    def takes_as_many(self, image: Any) -> bool:
        """Whether a call takes it as several pictures: a list, a tuple, or an array with a batch axis."""
        return is_many(self._graph, image)

    def beside(
        self, x: NDArray[Any], inputs: Mapping[str, ArrayLike] | None = None, *, reference: Any = None
    ) -> dict[str, NDArray[Any]]:
        """The model's other inputs in a run on `x`, prepared, without its batch axis: as given, or else filled in.

        Raises:
            UnknownChoice, InputMismatch, NotGuided, InvalidReference: as for a call.
        """
        name, signature = self.metadata.input, self._graph.signature
        given = {name: signature.picture(x[None]), **others_of(self._graph, inputs, reference, count=1)}
        return {other: array for other, array in signature.completed(given).items() if other != name}

    def drive(
        self,
        x: NDArray[Any],
        target: int | None = None,
        *,
        driver: str | None = None,
        options: Mapping[str, Any] | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
    ) -> Driven:
        """What a method of many passes gives for an array that is prepared already.

        Args:
            x: the picture's input without its batch axis.
            target: the graph's number.
            driver: the method, where it is not the graph's own.
            options: of the method, by name.
            inputs: the model's other inputs by name, with one row each.
            batch_size: inputs in one pass.
            progress: called with the passes done and those expected.

        Raises:
            NoDriver: if neither the graph names a method of many passes nor `driver` does.
        """
        graph, number = self._graph, BEST if target is None else target
        plan = planned(graph, driver, options=options or {}, batch_size=batch_size, progress=progress)
        if plan is None:
            raise NoDriver(self.metadata.method)
        numbers = [[number]] if self.metadata.multi_target else [number]
        outputs = ["target_index", "target_score", *([TARGET_BOX] if graph.signature.gives(TARGET_BOX) else [])]
        found = graph.run(x[None], numbers, inputs or {}, outputs)
        return drive(plan, graph, aimed(number, found, graph.signature.others(inputs or {})), x=x)

    def __repr__(self) -> str:
        layer = ", ".join(self.metadata.layers)
        return f"Explainer({self.metadata.method} at {layer}, on {', '.join(self.providers)})"
