"""One HTML page for many heatmaps: what it shows, and how it is written."""

from onnxcam.reports.album import Album, Line
from onnxcam.reports.facts import facts
from onnxcam.reports.page import check_extra, render, save

__all__ = ["Album", "Line", "check_extra", "facts", "render", "save"]
