"""Where did the model look? Answered for any ONNX vision model, by one ONNX file that runs anywhere.

Names are loaded when they are used: `onnxcam.Explainer` brings in the run half only, without the `onnx` package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxcam.api import convert, explain, layers
    from onnxcam.appraisal import evaluate
    from onnxcam.array_explanation import SignalExplanation, VolumeExplanation
    from onnxcam.assembly import ExplainGraph
    from onnxcam.comparison import Comparison, compare
    from onnxcam.engine import Explainer
    from onnxcam.errors import Interrupted, OnnxCamError
    from onnxcam.evaluation import Evaluation
    from onnxcam.explanation import Explanation
    from onnxcam.factorization import Factorization, factorize
    from onnxcam.gradients import gradient
    from onnxcam.layer import Layer
    from onnxcam.methods import Method

__version__ = "0.1.0"
__all__ = [
    "Comparison",
    "Evaluation",
    "ExplainGraph",
    "Explainer",
    "Explanation",
    "Factorization",
    "Interrupted",
    "Layer",
    "Method",
    "OnnxCamError",
    "SignalExplanation",
    "VolumeExplanation",
    "compare",
    "convert",
    "evaluate",
    "explain",
    "factorize",
    "gradient",
    "layers",
]
_HOMES = {
    "Comparison": "comparison",
    "Evaluation": "evaluation",
    "ExplainGraph": "assembly",
    "Explainer": "engine",
    "Explanation": "explanation",
    "Factorization": "factorization",
    "Interrupted": "errors",
    "Layer": "layer",
    "Method": "methods",
    "OnnxCamError": "errors",
    "SignalExplanation": "array_explanation",
    "VolumeExplanation": "array_explanation",
    "compare": "comparison",
    "evaluate": "appraisal",
    "factorize": "factorization",
    "gradient": "gradients",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'onnxcam' has no attribute {name!r}")
    found = getattr(import_module(f"onnxcam.{_HOMES.get(name, 'api')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted((*globals(), *__all__))
