"""How activation and gradient become a map: functions in one table."""

from onnxcam.methods import gradient as gradient  # isort: skip - the table lists them in this order
from onnxcam.methods import activation as activation
from onnxcam.methods.places import channels_first
from onnxcam.methods.table import METHODS, Method, method, method_without_gradient

__all__ = ["METHODS", "Method", "channels_first", "method", "method_without_gradient"]
