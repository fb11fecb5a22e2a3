"""Where the model looked in one photo, for one target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxcam import overlay, regions
from onnxcam.channels import Channel, Parts, gallery, strongest
from onnxcam.errors import NoChannels
from onnxcam.images import Image
from onnxcam.legend import with_legend
from onnxcam.overlay import DEFAULT_COLORMAP
from onnxcam.picture import Picture

OK, ALL_ZERO, NOT_FINITE = "ok", "all-zero", "not-finite"


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """A heatmap, what it stands for, and whether it can be trusted.

    Attributes:
        heatmap: float32 (H, W) on the photo's own pixels; 0 outside a crop and where the map is not finite.
        map: float32 (h, w) at the model's input size, as the graph gave it.
        image: the photo, uint8 RGB (H, W, 3).
        target_index: the class that was explained; from C on "not class index − C".
        target_score: the score that was explained.
        label: what the class is called, if it has a name.
        scores: (C,), the model's own output; empty where it has none.
        status: "ok", "all-zero" or "not-finite".
        reason: what is wrong with the map and what may help; empty when ok.
        method: how it was explained.
        layer: where, several names joined by ", ".
        parts: activation and gradient, where `channels=True` asked for them.
    """

    heatmap: NDArray[np.float32]
    map: NDArray[np.float32]
    image: Image
    target_index: int
    target_score: float
    label: str | None
    scores: NDArray[np.float32]
    status: str
    reason: str
    method: str
    layer: str
    parts: Parts | None = None

    @property
    def name(self) -> str:
        """The label, or the class's number where it has none."""
        return self.label if self.label is not None else f"class {self.target_index}"

    def overlay(
        self,
        alpha: float = 0.5,
        colormap: str = DEFAULT_COLORMAP,
        *,
        blend: str = "alpha",
        contour: bool = False,
        box: bool = False,
        legend: bool = False,
        share: float = regions.HOT_SHARE,
    ) -> Picture:
        """The photo with the heatmap laid over it.

        Args:
            alpha: weight of the heatmap's colours, 0 (only the photo) to 1.
            colormap: any of OpenCV's by name.
            blend: one of `overlay.BLENDS`.
            contour: draw a line around the hot regions.
            box: draw a box around the largest of them.
            legend: add a strip with class, score, method and layer.
            share: what is hot, as a share of the maximum.

        Raises:
            UnknownChoice: for a colour map or blend rule that does not exist.
        """
        shown = drawable(self.heatmap)
        result = overlay.blend(self.image, shown, alpha=alpha, colormap=colormap, rule=blend)
        if contour:
            result = regions.with_contour(result, shown, share=share)
        if box:
            result = regions.with_box(result, shown, share=share)
        if legend:
            lines = [f"{self.name}: {self.target_score:.4g}", f"{self.method} at {self.layer}"]
            result = with_legend(result, lines, colormap=colormap)
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

    def __repr__(self) -> str:
        height, width = self.heatmap.shape
        return (
            f"Explanation({self.name!r}, index {self.target_index}, score {self.target_score:.4g}, "
            f"{self.method} at {self.layer}, {width} x {height}, {self.status})"
        )


def drawable(heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    """The heatmap in [0, 1]: unchanged if it is, else (raw conventions) without what is below 0, over its maximum."""
    if heatmap.min(initial=0) >= 0 and heatmap.max(initial=0) <= 1:
        return heatmap
    positive = heatmap.clip(min=0)
    return np.asarray(positive / (float(positive.max()) or 1.0), np.float32)


def judged(heatmap: NDArray[np.float32], *, layer: str, name: str, score: str) -> tuple[str, str]:
    """Status and reason of a map as the graph gave it."""
    odd = int(np.count_nonzero(~np.isfinite(heatmap)))
    if odd:
        return NOT_FINITE, (
            f"{odd} of {heatmap.size} values of the map are not finite and are shown as 0: a number overflowed in the "
            f"model. Look at the scores; a float16 model may need its float32 original."
        )
    if heatmap.any():
        return OK, ""
    saturated = " A probability near 0 or 1 has no gradient left: convert with the logit as score." * (score != "logit")
    return ALL_ZERO, (
        f"the map is zero everywhere: nothing in {layer} speaks for {name}.{saturated} "
        f"Try another layer, another method, or a class that the model sees in the picture."
    )
