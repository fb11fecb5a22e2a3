"""Linear layers one output or one channel at a time: what a target reads of the last, what a lost channel changes."""

from onnxcam.columns.following import layout_behind
from onnxcam.columns.linear import Linear, linear_of
from onnxcam.columns.reading import Columns, columns_of

__all__ = ["Columns", "Linear", "columns_of", "layout_behind", "linear_of"]
