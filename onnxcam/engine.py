"""An explain graph in ONNX Runtime: pictures in, explanations out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxcam import preprocessing
from onnxcam.channels import parts_of
from onnxcam.explanation import Explanation, judged
from onnxcam.geometry import Geometry
from onnxcam.images import Image, Source, read
from onnxcam.labels import read_labels
from onnxcam.preprocessing import prepare
from onnxcam.providers import ProviderSpec, open_session, short
from onnxcam.sessions import described, located, own_labels
from onnxcam.signature import Signature
from onnxcam.targets import BEST, Classes, Target

BATCH_SIZE = 8


class Explainer:
    """An explain graph, ready to run; safe to share between threads.

    Attributes:
        metadata: what the graph says about itself.
        preprocessing: how pictures become its input.
        input_size: (h, w) of its input; None where it takes any.
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
        self._signature = Signature(self._session, self.metadata)
        facts = self._signature.facts()
        self.input_size = facts.get("size")
        self.preprocessing = preprocessing.parse(
            self.metadata.preprocessing if preprocess is None else preprocess, **facts
        )
        names = own_labels(self.metadata) if labels is None else read_labels(labels, self.metadata.classes)
        self.classes = Classes(self.metadata.classes, names, self.metadata.sides)
        self.providers = tuple(short(self._session.get_providers()))

    @overload
    def __call__(
        self,
        image: list[Any] | tuple[Any, ...],
        target: Any = None,
        *,
        inputs: Mapping[str, ArrayLike] | None = None,
        batch_size: int = BATCH_SIZE,
        channels: bool = False,
    ) -> list[Any]: ...

    @overload
    def __call__(
        self,
        image: Source,
        target: Target | None = None,
        *,
        inputs: Mapping[str, ArrayLike] | None = None,
        batch_size: int = BATCH_SIZE,
        channels: bool = False,
    ) -> Explanation: ...

    @overload
    def __call__(
        self,
        image: Source,
        target: Sequence[Any],
        *,
        inputs: Mapping[str, ArrayLike] | None = None,
        batch_size: int = BATCH_SIZE,
        channels: bool = False,
    ) -> list[Explanation]: ...

    def __call__(
        self,
        image: Any,
        target: Any = None,
        *,
        inputs: Mapping[str, ArrayLike] | None = None,
        batch_size: int = BATCH_SIZE,
        channels: bool = False,
    ) -> Any:
        """The explanation of a picture, or a list of them for a list, a tuple or an array (N, H, W, C).

        Args:
            image: what `images.read` takes, or several of them.
            target: an index, a label, "not:" before either, a rank (−1 the best, and the default); or a list, one for
                each picture. With a multi_target graph a list of K targets gives K explanations of each picture, and a
                list of such lists different ones.
            inputs: the model's other inputs by name, with a row for each picture.
            batch_size: pictures in one run, where the model takes several at once.
            channels: keep activation and gradient, for `Explanation.channels` and `gallery`.

        Raises:
            OnnxCamError: one of its kinds, for a picture, target or input that does not fit.
        """
        is_many = isinstance(image, list | tuple) or (isinstance(image, np.ndarray) and image.ndim == 4)
        images = list(image) if is_many else [image]
        rows, is_row = self._signature.spread(target, len(images), self.classes)
        others = self._signature.others(inputs or {})
        step = max(1, min(batch_size, self._signature.batch or batch_size))
        results = []
        for at in range(0, len(images), step):
            part = slice(at, at + step)
            results += self._explain(images[part], rows[part], rows_of(others, part, len(images)), channels=channels)
        flat = [row if is_row else row[0] for row in results]
        return flat if is_many else flat[0]

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
        picture = self._signature.picture(batch)
        numbers = self._signature.numbers(BEST if target is None else target, len(picture), self.classes)
        feed = {self.metadata.input: picture, "target": numbers, **self._signature.others(inputs or {})}
        return self._signature.run(feed, outputs)

    def _explain(
        self,
        images: Sequence[Source],
        rows: Sequence[Sequence[int]],
        others: Mapping[str, NDArray[Any]],
        *,
        channels: bool,
    ) -> list[list[Explanation]]:
        """One row of explanations for each picture: in one run if their arrays are of one size."""
        photos = [read(image) for image in images]
        prepared = [prepare(photo, self.preprocessing) for photo in photos]
        if len({array.shape for array, _ in prepared}) > 1:
            parts = [slice(at, at + 1) for at in range(len(images))]
            split = [
                self._explain(photos[at], rows[at], rows_of(others, at, len(images)), channels=channels) for at in parts
            ]
            return [row for single in split for row in single]
        numbers = np.array(rows, np.int64)
        batch = np.stack([array for array, _ in prepared])
        targets = numbers if self.metadata.multi_target else numbers[:, 0]
        found = self.run(batch, targets, inputs=others, outputs=self._signature.wanted(channels=channels))
        return [
            [
                self._explanation(found, (index, place), photo, geometry=geometry, channels=channels)
                for place in range(numbers.shape[1])
            ]
            for index, (photo, (_, geometry)) in enumerate(zip(photos, prepared, strict=True))
        ]

    def _explanation(
        self,
        found: Mapping[str, NDArray[Any]],
        at: tuple[int, int],
        photo: Image,
        *,
        geometry: Geometry,
        channels: bool,
    ) -> Explanation:
        """One picture's explanation for one target, out of the graph's outputs."""
        place = at if self.metadata.multi_target else at[:1]
        heatmap = found["heatmap"][place].astype(np.float32)
        index = int(found["target_index"][place])
        label, layer = self.classes.label(index), ", ".join(self.metadata.layers)
        status, reason = judged(heatmap, layer=layer, name=label or f"class {index}", score=self.metadata.score)
        scores = found[self.metadata.scores][at[0]].reshape(-1) if self.metadata.scores else np.zeros(0)
        return Explanation(
            heatmap=geometry.to_photo(np.where(np.isfinite(heatmap), heatmap, np.float32(0))),
            map=heatmap,
            image=photo,
            target_index=index,
            target_score=float(found["target_score"][place]),
            label=label,
            scores=scores.astype(np.float32),
            status=status,
            reason=reason,
            method=self.metadata.method,
            layer=layer,
            parts=parts_of(found, at, geometry=geometry, targets=self.metadata.multi_target) if channels else None,
        )

    def __repr__(self) -> str:
        layer = ", ".join(self.metadata.layers)
        return f"Explainer({self.metadata.method} at {layer}, on {', '.join(self.providers)})"


def rows_of(arrays: Mapping[str, NDArray[Any]], part: slice, count: int) -> dict[str, NDArray[Any]]:
    """The rows of some pictures, from arrays that have one for each of `count`; other arrays as they are."""
    return {name: array[part] if array.shape[:1] == (count,) else array for name, array in arrays.items()}
