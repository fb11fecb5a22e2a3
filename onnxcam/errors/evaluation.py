"""Evaluations that cannot be made of what is given."""

from __future__ import annotations

from onnxcam.errors.base import OnnxCamError

__all__ = [
    "InvalidBoxes",
    "MetricNeedsBoxes",
    "MetricNeedsModel",
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


class NothingToRandomise(OnnxCamError):
    """A model without weights, or with all of them outside its file."""

    def __init__(self) -> None:
        super().__init__(
            "the model holds no layer with weights (those of models over 2 GB lie elsewhere), so there is nothing "
            "to randomise. Leave the metrics of randomisation out."
        )
