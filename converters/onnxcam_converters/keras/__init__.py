"""Keras models of every era: files are read directly, without Keras; live models go through their file or backend."""

from __future__ import annotations

from pathlib import Path

from onnxcam.conversion import Conversion, Request


def convert(request: Request) -> Conversion:
    """The model that a Keras file, or a live Keras object, holds.

    Raises:
        OnnxCamError: if it cannot be read, or holds what is not understood.
    """
    if isinstance(request.source, str | Path):
        from onnxcam_converters.keras.files import convert_file

        return convert_file(request)
    from onnxcam_converters.keras.live import convert_live

    return convert_live(request)
