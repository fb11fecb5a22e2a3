"""Where the model looked in one photo, for one target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxcam import overlay, regions
from onnxcam.channels import Channel, Parts, gallery, strongest
from onnxcam.errors import NoChannels
from onnxcam.images import Image
from onnxcam.legend import with_legend
from onnxcam.overlay import DEFAULT_COLORMAP, drawable, saturated
from onnxcam.picture import Picture

OK, ALL_ZERO, FLAT = "ok", "all-zero", "flat"
NOT_FINITE, NOT_FOUND, INTERRUPTED = "not-finite", "not-found", "interrupted"
OUTLIERS = 0.01  # of the pixels, as in PAIR's saliency


@dataclass(frozen=True, slots=True, eq=False)
class AnyExplanation:
    """What explanations of photos and of arrays have in common; the fields mean what those of `Explanation` do."""

    heatmap: NDArray[np.float32]
    map: NDArray[np.float32]
    target_index: int
    target_score: float
    label: str | None
    scores: NDArray[np.float32]
    status: str
    reason: str
    method: str
    layer: str
    report: Mapping[str, float | int | str] = field(default_factory=dict, kw_only=True)
    attribution: NDArray[np.float32] | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        """The label, or the class's number where it has none; "nothing" where no detection was found."""
        if self.target_index < 0:
            return "nothing"
        return self.label if self.label is not None else f"class {self.target_index}"

    @property
    def told(self) -> list[str]:
        """The lines of a legend."""
        return [f"{self.name}: {self.target_score:.4g}", f"{self.method} at {self.layer}"]

    @property
    def summary(self) -> dict[str, Any]:
        """What a line about it says, by name, as records and rows of tables call it."""
        return {
            "target_index": self.target_index,
            "label": self.label,
            "score": self.target_score,
            "method": self.method,
            "layer": self.layer,
            "status": self.status,
        }

    @property
    def _sides(self) -> tuple[int, ...]:
        return self.heatmap.shape

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}, index {self.target_index}, score {self.target_score:.4g}, "
            f"{self.method} at {self.layer}, {' x '.join(map(str, self._sides))}, {self.status})"
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Explanation(AnyExplanation):
    """A heatmap, what it stands for, and whether it can be trusted.

    Attributes:
        heatmap: float32 (H, W) on the photo's own pixels; 0 outside a crop and where the map is not finite.
        map: float32 (h, w) at the model's input size, as the graph gave it.
        image: the photo, uint8 RGB (H, W, 3).
        target_index: the class that was explained; from C on "not class index − C".
        target_score: the score that was explained.
        label: what the class is called, if it has a name.
        scores: (C,), the model's own output; empty where it has none.
        status: "ok", "all-zero", "flat" (the same everywhere), "not-finite", "not-found" (there is no such detection),
            or "interrupted" (a method of many passes was stopped and this is what it had by then).
        reason: what is wrong with the map and what may help; empty when ok.
        method: how it was explained.
        layer: where, several names joined by ", ".
        parts: activation and gradient, where `channels=True` asked for them.
        report: by name: "inputs", what the model's other inputs were that nobody gave; of a method of many passes
            "passes", and what else it has to say. Empty where there is nothing.
        attribution: like the model's input without its batch axis, of methods of many passes that have a number for
            each of its values.
        box: of a detector: x0, y0, x1, y1 of the detection that was explained, in the photo's pixels.
        confidence: of a detector: how sure the model is of it, 0 to 1.
    """

    image: Image
    parts: Parts | None = None
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None

    @property
    def told(self) -> list[str]:
        """The lines of a legend."""
        first, *rest = super(Explanation, self).told
        return [first if self.confidence is None else f"{first} (confidence {self.confidence:.2f})", *rest]

    @property
    def summary(self) -> dict[str, Any]:
        """What a line about it says, by name; of detections also where and how sure."""
        detection = {"box": self.box, "confidence": self.confidence} if self.confidence is not None else {}
        return super(Explanation, self).summary | detection

    def overlay(
        self,
        alpha: float = 0.5,
        colormap: str = DEFAULT_COLORMAP,
        *,
        blend: str = "alpha",
        contour: bool = False,
        box: bool = False,
        detection: bool = True,
        legend: bool = False,
        share: float = regions.HOT_SHARE,
        outliers: float | None = None,
    ) -> Picture:
        """The photo with the heatmap laid over it.

        Args:
            alpha: weight of the heatmap's colours, 0 (only the photo) to 1.
            colormap: any of OpenCV's by name.
            blend: one of `overlay.BLENDS`.
            contour: draw a line around the hot regions.
            box: draw a box around the largest of them.
            detection: draw the box of the detection that was explained, in green, where there is one.
            legend: add a strip with class, score, method and layer.
            share: what is hot, as a share of the maximum.
            outliers: share of the pixels that are drawn as if they were the maximum; by default `OUTLIERS` where there
                is an `attribution`, which tends to have few high peaks, else 0. The heatmap itself stays as it is.

        Raises:
            UnknownChoice: for a colour map or blend rule that does not exist.
        """
        peaks = OUTLIERS if outliers is None and self.attribution is not None else outliers or 0.0
        shown = saturated(drawable(self.heatmap), peaks)
        result = overlay.blend(self.image, shown, alpha=alpha, colormap=colormap, rule=blend)
        if contour:
            result = regions.with_contour(result, shown, share=share)
        if box:
            result = regions.with_box(result, shown, share=share)
        if detection and self.box is not None:
            result = regions.with_detection(result, self.box)
        if legend:
            result = with_legend(result, self.told, colormap=colormap)
        return Picture(result)

    def channels(self, count: int | None = None, *, of: str = "contribution") -> list[Channel]:
        """The channels of the layer, those first that weigh most, all or `count` of them.

        Args:
            count: how many.
            of: "contribution": Grad-CAM's weight times activation, whose sum is the raw map; or "activation".

        Raises:
            NoChannels: if the explainer was not called with channels=True.
        """
        if self.parts is None:
            raise NoChannels
        return strongest(self.parts, count, of)

    def gallery(
        self,
        count: int = 16,
        *,
        of: str = "contribution",
        alpha: float = 0.5,
        colormap: str = DEFAULT_COLORMAP,
    ) -> Picture:
        """The photo once for each of the strongest channels; number and weight stand below."""
        shown = self.channels(count, of=of)
        assert self.parts is not None  # noqa: S101 - channels() has seen to it
        return Picture(gallery(self.image, shown, self.parts.geometry, alpha=alpha, colormap=colormap))

    @property
    def _sides(self) -> tuple[int, ...]:
        height, width = self.heatmap.shape
        return width, height
