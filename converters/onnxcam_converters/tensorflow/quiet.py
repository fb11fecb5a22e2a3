"""See `onnxcam_converters.quiet`."""

from __future__ import annotations

from onnxcam_converters.quiet import Remarks, quiet

__all__ = ["Remarks", "quiet"]
