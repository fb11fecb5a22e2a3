"""How activation and gradient become a map: functions in one table."""

from onnxcam.methods import gradient as gradient  # isort: skip - the table lists them in this order
from onnxcam.methods import ablation as ablation
from onnxcam.methods import activation as activation
from onnxcam.methods import components as components
from onnxcam.methods import contrast as contrast
from onnxcam.methods import detection as detection
from onnxcam.methods import fullgrad as fullgrad
from onnxcam.methods import guided as guided
from onnxcam.methods import legrad as legrad
from onnxcam.methods import peers as peers
from onnxcam.methods import pixels as pixels
from onnxcam.methods import recipro as recipro
from onnxcam.methods import refinement as refinement
from onnxcam.methods import relevance as relevance
from onnxcam.methods import rescaling as rescaling
from onnxcam.methods import rollout as rollout
from onnxcam.methods import statistics as statistics

from onnxcam.methods import driven as driven  # isort: skip - behind those of one pass
from onnxcam.methods.finding import explainable, of_picture
from onnxcam.methods.likes import HAVE
from onnxcam.methods.sharing import shared_options
from onnxcam.methods.table import (
    METHODS,
    VARIANTS,
    Method,
    check_had,
    find_method,
    method,
    method_of_question,
    method_without_gradient,
    suiting,
)
from onnxcam.places import channels_first

__all__ = [
    "HAVE", "METHODS", "VARIANTS", "Method", "channels_first", "check_had", "explainable", "find_method", "method",
    "method_of_question", "method_without_gradient", "of_picture", "shared_options",
    "suiting",
]  # fmt: skip
