"""What is said of each heatmap in one line, what is drawn of it, and what is said of a picture that failed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from onnxcam.errors import OnnxCamError
from onnxcam.remarks import Report, plain


@dataclass(frozen=True, slots=True)
class Record:
    """One line about one heatmap.

    Attributes:
        output: where the picture was written; None where there is nothing to show, as of a rank that does not exist.
        heatmap: where the array was written; None unless it was asked for.
        ms: the heatmap's share of reading the picture and running the graph, in milliseconds.
        reason: what is wrong with the map, for people; empty when it is ok.
        report: what else the method has to say, by name: see `Explanation.report`.
        box, confidence: of a detector: see `Explanation`.
    """

    image: str
    output: str | None
    heatmap: str | None
    target_index: int
    label: str | None
    score: float
    method: str
    layer: str
    status: str
    ms: float
    reason: str = ""
    report: Report = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, without the reason, and without box and confidence where there are no detections."""
        others = ("reason",) if self.confidence is not None else ("reason", "box", "confidence")
        told = {name: value for name, value in asdict(self).items() if name not in others}
        return {**told, "report": plain(self.report)}


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that could not be explained, and why."""

    image: str
    error: OnnxCamError


@dataclass(frozen=True, slots=True)
class Style:
    """What is drawn and written for each heatmap; the fields are those of `Explanation.overlay`.

    Attributes:
        save_heatmap: also write the array.
        channels: also write a gallery of so many channels.
        channel_view: what it shows of them, one of `channels.KINDS`; None for the first.
    """

    alpha: float = 0.5
    colormap: str | None = None
    blend: str | None = None
    contour: bool = False
    box: bool = False
    detection: bool = True
    legend: bool = False
    save_heatmap: bool = False
    channels: int = 0
    channel_view: str | None = None

    def drawing(self) -> dict[str, Any]:
        """The arguments of `Explanation.overlay` that were given."""
        other = ("save_heatmap", "channels", "channel_view")
        return {name: value for name, value in asdict(self).items() if value is not None and name not in other}

    def gallery(self) -> dict[str, Any]:
        """The arguments of `Explanation.gallery` that were given."""
        given = {"count": self.channels, "of": self.channel_view, "alpha": self.alpha, "colormap": self.colormap}
        return {name: value for name, value in given.items() if value is not None}
