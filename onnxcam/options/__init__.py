"""The options of the command line, each said once: by themselves, or in groups that several commands take."""

from onnxcam.options.building import Building, Scoring, Shaping
from onnxcam.options.converting import Conversion, Opening
from onnxcam.options.drawing import Colouring, Drawing, refuse_of_arrays, refuse_of_films
from onnxcam.options.grouping import expanded
from onnxcam.options.pointing import Accompanying, OtherInputs, Pointing, inputs_of
from onnxcam.options.running import Describing, Running
from onnxcam.options.single import (
    SOURCE,
    Alpha,
    AsJson,
    DynamicSize,
    Folder,
    KeepOutputs,
    Providers,
    Report,
    Score,
    Targets,
    Wrap,
    asked,
    refuse_own_source,
    target_of,
    targets_of,
)

__all__ = [
    "SOURCE", "Accompanying", "Alpha", "AsJson", "Building", "Colouring", "Conversion", "Describing", "Drawing",
    "DynamicSize", "Folder", "KeepOutputs", "Opening", "OtherInputs", "Pointing", "Providers", "Report", "Running",
    "Score", "Scoring", "Shaping", "Targets", "Wrap", "asked", "expanded", "inputs_of", "refuse_of_arrays",
    "refuse_of_films", "refuse_own_source", "target_of", "targets_of",
]  # fmt: skip
