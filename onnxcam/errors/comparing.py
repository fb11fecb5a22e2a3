"""Heatmaps side by side of which there are none, or that were not reached."""

from __future__ import annotations

from onnxcam.errors.base import OnnxCamError

__all__ = [
    "NoHeatmaps",
    "NotBegun",
]


class NotBegun(OnnxCamError):
    """A heatmap of a comparison that Ctrl-C came before."""

    brief = "not begun: interrupted"

    def __init__(self) -> None:
        super().__init__("it was not begun: the comparison was interrupted. Compare again for the rest.")


class NoHeatmaps(OnnxCamError):
    """A comparison in which the model sees nothing of what was asked for."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"No heatmap of the comparison can be had: {reason}")
