"""Evaluations that cannot be made of what is given."""

from __future__ import annotations

from collections.abc import Iterable

from onnxcam.errors.base import OnnxCamError

__all__ = [
    "InvalidBoxes",
    "MetricNeedsBoxes",
    "MetricNeedsModel",
    "MetricNotMeasured",
    "NamelessClasses",
    "NothingToRandomise",
]


class InvalidBoxes(OnnxCamError):
    """Boxes that cannot be read, or do not fit the pictures."""

    REMEDY = (
        'Give a JSON file, either {"photo.jpg": {"objects": [{"label": "dog", "box": [left, top, right, bottom]}]}} '
        "or COCO's."
    )

    def __init__(self, where: str, reason: str, *, remedy: str = REMEDY) -> None:
        super().__init__(f"{where} cannot be taken as boxes: {reason}. {remedy}")


class MetricNeedsBoxes(OnnxCamError):
    """A metric is asked for that compares maps with boxes, and there are none."""

    def __init__(self, metric: str) -> None:
        super().__init__(
            f"the metric {metric!r} compares the map with where things are, which nobody has said. Give boxes: "
            f"--boxes FILE.json (boxes= in Python)."
        )


class MetricNeedsModel(OnnxCamError):
    """A metric is asked for that changes the model's weights, and only an explain graph is there."""

    def __init__(self, metric: str) -> None:
        super().__init__(
            f"the metric {metric!r} explains the model with other weights, so it needs the model itself, not its "
            f"explain graph. Give the model that the graph was made from."
        )


class MetricNotMeasured(OnnxCamError):
    """Options are given for a metric that is not among those to measure."""

    def __init__(self, metric: str, measured: Iterable[str]) -> None:
        super().__init__(
            f"there are options for the metric {metric!r}, which is not measured: the metrics are "
            f"{', '.join(measured)}. Name it among them (metrics=[…, {metric!r}]), or leave its options out."
        )


class NamelessClasses(OnnxCamError):
    """The boxes go by labels, and the model's classes have none."""

    def __init__(self, labels: Iterable[str]) -> None:
        names = list(labels)
        shown = ", ".join(map(repr, names[:3])) + " …" * (len(names) > 3)
        super().__init__(
            f"the boxes are of {shown}, and the model's classes have no names, so no class is known to mean one of "
            f"them. Give names: --labels FILE (build={{'labels': …}} in Python), or write the indices of the classes "
            f'beside the boxes: "classes": [281, [282, 285]].'
        )


class NothingToRandomise(OnnxCamError):
    """A model without weights, or with all of them outside its file."""

    def __init__(self) -> None:
        super().__init__(
            "the model holds no layer with weights (those of models over 2 GB lie elsewhere), so there is nothing "
            "to randomise. Leave the metrics of randomisation out."
        )
