"""Which axis of a tensor is what, followed through the graph from the picture on; and where space ends."""

from onnxcam.layouts import mixing as mixing
from onnxcam.layouts import picking as picking
from onnxcam.layouts import plane as plane
from onnxcam.layouts import rearranging as rearranging
from onnxcam.layouts.choosing import Choice, choose
from onnxcam.layouts.following import Followed
from onnxcam.layouts.forms import Form, form_of
from onnxcam.layouts.pictures import find_picture, picture_layout
from onnxcam.layouts.reach import Reach

__all__ = ["Choice", "Followed", "Form", "Reach", "choose", "find_picture", "form_of", "picture_layout"]
