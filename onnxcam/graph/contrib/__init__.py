"""ONNX Runtime's own ops (com.microsoft, its blocked layout), each as nodes of the default domain that do the same."""

from onnxcam.graph.contrib.conversion import DOMAINS, adopt, lower_contrib

__all__ = ["DOMAINS", "adopt", "lower_contrib"]
