"""One picture explained in many ways: methods, layers and classes side by side."""

from onnxcam.comparison.results import Cell, Comparison, Row, gathered
from onnxcam.comparison.running import Wanted, compare, compared, names_of

__all__ = ["Cell", "Comparison", "Row", "Wanted", "compare", "compared", "gathered", "names_of"]
