"""The concepts of some pictures: where they lie, and what they speak for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.factorization.decomposition import Decomposition
from onnxcam.factorization.drawing import Colour, colours, painted, with_key
from onnxcam.geometry import Geometry
from onnxcam.images import Source, read
from onnxcam.picture import Picture
from onnxcam.targets import Classes

Floats: TypeAlias = NDArray[np.float32]

NAMED = 2  # classes that the key names for a concept


@dataclass(frozen=True, slots=True, eq=False)
class Concept:
    """One concept.

    Attributes:
        colour: RGB.
        vector: (C,), the layer's activation where the concept is strongest.
        share: its part of the sum of all activations, 0 to 1.
        classes: index, name and gain of each class that it speaks for, those first that it speaks for most.
    """

    colour: Colour
    vector: Floats
    share: float
    classes: tuple[tuple[int, str, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Factorization:
    """Some pictures' activations as sums of the same few concepts.

    Attributes:
        sources: the pictures, as they were given.
        geometries: where each lies in the model's input.
        decomposition: vectors, maps and what is left over.
        scores: (N, S), the model's scores of each picture.
        gains: (K, S), what each concept alone adds to the scores: of a picture that shows it everywhere at its
            strongest, over one that shows nothing.
        effects: (N, K, S), what the scores of each picture would lose without the concept.
        classes: what columns of scores are called; None where they are no classes.
        layer: where.
    """

    sources: tuple[Source, ...]
    geometries: tuple[Geometry, ...]
    decomposition: Decomposition
    scores: Floats
    gains: Floats
    effects: Floats
    classes: Classes | None
    layer: str

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def concepts(self) -> list[Concept]:
        """The concepts, the largest first."""
        vectors, maps = self.decomposition.vectors, self.decomposition.maps
        sizes = vectors.sum(1) * sum(part.sum((1, 2)) for part in maps)
        shares = sizes / (sizes.sum() or 1)
        palette = colours(len(vectors))
        return [
            Concept(palette[at], vectors[at], float(shares[at]), self._spoken_for(at)) for at in range(len(vectors))
        ]

    def _spoken_for(self, concept: int) -> tuple[tuple[int, str, float], ...]:
        if self.classes is None:
            return ()
        gains = self.gains[concept]
        order = np.argsort(-gains, kind="stable")
        return tuple((int(i), self._name(int(i)), float(gains[i])) for i in order if gains[i] > 0)

    def _name(self, index: int) -> str:
        label = None if self.classes is None else self.classes.label(index)
        return label if label is not None else f"class {index}"

    def best(self, picture: int) -> int:
        """The index of the picture's best score."""
        return int(self.scores[picture].argmax())

    def heatmaps(self, picture: int) -> Floats:
        """(K, H, W): where each concept lies on the photo's own pixels, 0 to 1; 0 outside a crop."""
        geometry = self.geometries[picture]
        maps = self.decomposition.maps[picture]
        peak = max((float(part.max(initial=0)) for part in self.decomposition.maps), default=0.0) or 1.0
        return np.stack([geometry.to_photo((part / peak).clip(0, 1).astype(np.float32)) for part in maps])

    def picture(self, picture: int = 0, *, alpha: float = 0.75, legend: bool = True) -> Picture:
        """One photo with its concepts in colours, and a key that says what each speaks for.

        Args:
            picture: which, counted from 0.
            alpha: weight of the colours where a concept is strongest, 0 to 1.
            legend: add the key.
        """
        drawn = painted(read(self.sources[picture]), self.heatmaps(picture), alpha=alpha)
        return Picture(with_key(drawn, self._key(picture)) if legend else drawn)

    def _key(self, picture: int) -> list[tuple[Colour, str, str]]:
        entries = []
        for at, concept in enumerate(self.concepts):
            names = ", ".join(name for _, name, _ in concept.classes[:NAMED])
            entries.append((concept.colour, names or f"concept {at + 1}", self._remark(picture, at)))
        return entries

    def _remark(self, picture: int, concept: int) -> str:
        """What the concept does for the picture's best class."""
        if self.classes is None:
            return ""
        best = self.best(picture)
        effect, score = float(self.effects[picture, concept, best]), float(self.scores[picture, best])
        return f"{effect:+.3g} of {score:.3g} for {self._name(best)}"

    def to_dict(self, picture: int) -> dict[str, Any]:
        """One picture's concepts, for machines."""
        best = self.best(picture)
        return {
            "target_index": best,
            "label": None if self.classes is None else self.classes.label(best),
            "score": float(self.scores[picture, best]),
            "layer": self.layer,
            "concepts": [
                {
                    "share": concept.share,
                    "effect": float(self.effects[picture, at, best]),
                    "classes": [
                        {"index": index, "label": name, "gain": gain} for index, name, gain in concept.classes[:NAMED]
                    ],
                }
                for at, concept in enumerate(self.concepts)
            ],
        }

    def __repr__(self) -> str:
        return f"Factorization({len(self)} pictures, {len(self.gains)} concepts at {self.layer})"
