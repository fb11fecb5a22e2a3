"""The making of a factorisation: look at every picture, factorise, ask the model about each concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxcam import api
from onnxcam.errors import OnlyExplained
from onnxcam.explaining import rows_of
from onnxcam.factorization.decomposition import Decomposition, Floats, decompose
from onnxcam.factorization.results import Factorization
from onnxcam.factorization.tail import Tail
from onnxcam.geometry import Geometry
from onnxcam.images import Source, read
from onnxcam.planning import Wish
from onnxcam.preprocessing import prepare
from onnxcam.providers import ProviderSpec
from onnxcam.sources import open_once

CONCEPTS = 5
METHOD = "activation-mean"  # any that gives the activation and takes no gradient


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the layer saw in a picture, (C, h, w), and what went into the model: an array, and others beside it."""

    source: Source
    prepared: NDArray[Any]
    others: Mapping[str, NDArray[Any]]
    activation: Floats
    geometry: Geometry


class Factorizer:
    """A model at one layer, ready to look at pictures.

    Attributes:
        explainer: gives the layer's activation.
        tail: gives the scores for another.
    """

    def __init__(
        self,
        model: Any,
        *,
        layer: str | None = None,
        score: str | None = None,
        providers: Sequence[ProviderSpec] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """The model; `options` are those of `onnxcam.convert`.

        Raises:
            OnnxCamError: as for `onnxcam.convert`.
            NotRepeatable: if control flow lies above the layer.
            OnlyExplained: if the model takes signals or volumes.
        """
        wished: dict[str, Any] = {"method": METHOD, "score": score}
        graph = api.convert(model, layer=layer, outputs=["activation"], **wished, **(options or {}))
        self.explainer = api.explainer_of(graph, providers=providers)
        if self.explainer.form is not None:
            raise OnlyExplained("A factorisation", self.explainer.form.wanted)
        self.tail = Tail(model, Wish(layers=[layer] if layer else None, **wished), providers=providers)

    def look(self, source: Source, inputs: Mapping[str, ArrayLike] | None = None) -> Seen:
        """What the layer sees in the picture. `inputs`: the model's other inputs by name, with one row each."""
        found = self.explainer(source, inputs=inputs, channels=True)
        assert found.parts is not None  # noqa: S101 - channels=True has seen to it
        array, _ = prepare(read(source), self.explainer.preprocessing)
        others = self.explainer.beside(array, inputs)
        return Seen(source, array, others, found.parts.activation, found.parts.geometry)

    def factorized(
        self, seen: Sequence[Seen], concepts: int = CONCEPTS, *, seed: int = 0, like: str | None = None
    ) -> Factorization:
        """The concepts that the pictures share. Arguments and errors are those of `decompose`."""
        found = decompose([entry.activation for entry in seen], concepts, seed=seed, like=like)
        answers = [self._asked(entry, found, at) for at, entry in enumerate(seen)]
        known = self.explainer.metadata
        return Factorization(
            sources=tuple(entry.source for entry in seen),
            geometries=tuple(entry.geometry for entry in seen),
            decomposition=found,
            scores=np.stack([scores for scores, _, _ in answers]),
            gains=np.mean([gains for _, gains, _ in answers if gains is not None], axis=0, dtype=np.float32),
            effects=np.stack([effects for _, _, effects in answers]),
            classes=self.explainer.classes if answers[0][0].shape == (known.classes,) else None,
            layer=known.layers[0],
        )

    def _asked(self, entry: Seen, found: Decomposition, at: int) -> tuple[Floats, Floats | None, Floats]:
        """The picture's scores (S,), what each concept adds (K, S), and what it would lose without it (K, S)."""
        a, maps = entry.activation, found.maps[at]
        without = a - np.einsum("kc,khw->kchw", found.vectors, maps)
        asked = [a[None], without]
        # Where nothing goes around the layer, all pictures would get the same answer.
        is_new = at == 0 or not self.tail.is_closed
        if is_new:
            vectors = np.concatenate([np.zeros_like(found.vectors[:1]), found.vectors]) + found.offset
            asked.append(np.broadcast_to(vectors[:, :, None, None], (len(vectors), *a.shape)).astype(np.float32))
        scores = self.tail(entry.prepared, np.concatenate(asked), inputs=entry.others)
        count = len(without)
        own, lost, alone = scores[0], scores[1 : count + 1], scores[count + 1 :]
        return own, alone[1:] - alone[0] if is_new else None, own - lost


def factorize(
    model: Any,
    images: Any,
    *,
    concepts: int = CONCEPTS,
    layer: str | None = None,
    score: str | None = None,
    seed: int = 0,
    like: str | None = None,
    inputs: Mapping[str, ArrayLike] | None = None,
    providers: Sequence[ProviderSpec] | None = None,
    **options: Any,
) -> Factorization:
    """Deep feature factorisation: the few concepts that a layer sees in some pictures, and what each speaks for.

    Args:
        model: what `onnxcam.convert` takes.
        images: one picture or several, which share their concepts.
        concepts: how many.
        layer: where; by default the model's default.
        score: what the concepts are asked for, as for `onnxcam.convert`.
        seed: of the draws.
        like: "pytorch-grad-cam": its numbers, see `decompose`.
        inputs: the model's other inputs by name, with a row for each picture or one for all.
        providers: what runs the model.
        options: further ones of `onnxcam.convert`: preprocess, labels …

    Raises:
        OnnxCamError: one of its kinds.
    """
    several = list(images) if isinstance(images, list | tuple) else [images]
    opened, rest = open_once(model, options)
    factorizer = Factorizer(opened.onnx, layer=layer, score=score, providers=providers, options=rest)
    pairs = zip(several, of_each(inputs or {}, len(several)), strict=True)
    return factorizer.factorized([factorizer.look(*pair) for pair in pairs], concepts, seed=seed, like=like)


def of_each(inputs: Mapping[str, ArrayLike], count: int) -> list[dict[str, NDArray[Any]]]:
    """The other inputs of each of so many pictures: their rows of arrays that have one for each, other arrays whole."""
    arrays = {name: np.asarray(given) for name, given in inputs.items()}
    return [rows_of(arrays, slice(at, at + 1), count) for at in range(count)]
