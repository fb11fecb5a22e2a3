"""What is explained, as the model takes it: a picture, or a signal or volume; and the way back from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxcam.array_explanation import ArrayExplanation, SignalExplanation, VolumeExplanation
from onnxcam.arrays import Form, read_array
from onnxcam.asking import Graph
from onnxcam.channels import parts_of
from onnxcam.errors import OnlyForPictures
from onnxcam.explanation import Explanation
from onnxcam.geometry import Geometry
from onnxcam.guides import Guides
from onnxcam.images import Image, read
from onnxcam.metadata import Metadata
from onnxcam.preprocessing import prepare
from onnxcam.signature import TARGET_BOX, TARGET_CONFIDENCE

Found: TypeAlias = Mapping[str, NDArray[Any]]
Result: TypeAlias = Explanation | ArrayExplanation
IMAGE_AXES = 4  # of an array of pictures


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A picture, what the model sees of it, and where."""

    photo: Image
    x: NDArray[Any]
    geometry: Geometry

    def explained(self, heatmap: NDArray[np.float32], facts: Mapping[str, Any]) -> Explanation:
        """The explanation with a heatmap as the graph gave it, and the other fields by name."""
        return Explanation(heatmap=self.geometry.to_photo(_finite(heatmap)), map=heatmap, image=self.photo, **facts)

    def own(self, graph: Graph, found: Found, at: tuple[int, int], *, channels: bool) -> dict[str, Any]:
        """The fields that only pictures have."""
        parts = parts_of(found, at, geometry=self.geometry, targets=graph.metadata.multi_target) if channels else None
        place = place_of(at, graph.metadata)
        confidence = float(found[TARGET_CONFIDENCE][place]) if TARGET_CONFIDENCE in found else None
        return {"parts": parts, "box": self._box(found, place), "confidence": confidence}

    def _box(self, found: Found, place: tuple[int, ...]) -> tuple[float, float, float, float] | None:
        """The box of the detection on the photo, within it; None where there is none."""
        if TARGET_BOX not in found or int(found["target_index"][place]) < 0:
            return None
        height, width = self.geometry.photo
        edges = self.geometry.box_to_photo(found[TARGET_BOX][place].astype(np.float32))
        x0, y0, x1, y1 = np.clip(edges, 0, [width, height, width, height]).tolist()
        return x0, y0, x1, y1


@dataclass(frozen=True, slots=True, eq=False)
class ArrayShot:
    """A signal or volume in the model's own layout."""

    x: NDArray[np.float32]
    form: Form

    def explained(self, heatmap: NDArray[np.float32], facts: Mapping[str, Any]) -> ArrayExplanation:
        """The explanation with a heatmap as the graph gave it, and the other fields by name."""
        kind = SignalExplanation if self.form.is_signal else VolumeExplanation
        array = np.moveaxis(self.x, self.form.channel_axis, 0)
        return kind(heatmap=_finite(heatmap), map=heatmap, array=array, **facts)


AnyShot: TypeAlias = Shot | ArrayShot


def shot_of(graph: Graph, source: Any) -> AnyShot:
    """The source read and prepared; signals and volumes are taken as they are.

    Raises:
        ImageError, ArrayError: if it cannot be read.
        ArrayMismatch, ImageSizeMismatch: if it does not fit.
    """
    form = graph.signature.form
    if form is not None:
        return ArrayShot(read_array(source, form), form)
    photo = read(source)
    x, geometry = prepare(photo, graph.spec)
    return Shot(photo, x, geometry)


def is_many(graph: Graph, source: Any) -> bool:
    """Whether it is several pictures or arrays: a list, a tuple, or an array with a batch axis."""
    form = graph.signature.form
    axes = IMAGE_AXES if form is None else len(form.layout) + 1
    return isinstance(source, list | tuple) or (isinstance(source, np.ndarray) and source.ndim == axes)


def own_fields(graph: Graph, found: Found, at: tuple[int, int], shot: AnyShot, *, channels: bool) -> dict[str, Any]:
    """The fields of an explanation that not all have."""
    return shot.own(graph, found, at, channels=channels) if isinstance(shot, Shot) else {}


def refuse_for_arrays(graph: Graph, guides: Guides, *, channels: bool) -> None:
    """Refuses what a model of signals or volumes cannot be asked.

    Raises:
        OnlyForPictures: for a box, a region or channels.
    """
    form = graph.signature.form
    asked = {
        "A box": guides.boxes is not None,
        "A region": guides.regions is not None,
        "Looking at single channels": channels,
    }
    for what, is_asked in asked.items():
        if form is not None and is_asked:
            raise OnlyForPictures(what, form.wanted)


def guided(guides: Guides, shots: Sequence[AnyShot], *, targets: int | None) -> dict[str, NDArray[Any]]:
    """The boxes and regions of the pictures as inputs of a run."""
    geometries = [shot.geometry for shot in shots if isinstance(shot, Shot)]
    return guides.inputs(geometries, targets=targets) if geometries else {}


def place_of(at: tuple[int, int], metadata: Metadata) -> tuple[int, ...]:
    """Where the row of a picture and target lies in an output."""
    return at if metadata.multi_target else at[:1]


def _finite(heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.isfinite(heatmap), heatmap, np.float32(0))
