"""Which axis of a tensor is what, followed through the graph from the picture on; and where space ends."""

from onnxcam.layouts import mixing as mixing
from onnxcam.layouts import picking as picking
from onnxcam.layouts import plane as plane
from onnxcam.layouts import rearranging as rearranging
from onnxcam.layouts.attending import form_of_attention
from onnxcam.layouts.choosing import Choice, choose
from onnxcam.layouts.following import Followed
from onnxcam.layouts.forms import Form, form_of
from onnxcam.layouts.pictures import find_picture, is_plane, picture_layout, space_axes, space_sides, space_size
from onnxcam.layouts.reach import Reach
from onnxcam.layouts.stream import junctions

__all__ = [
    "Choice", "Followed", "Form", "Reach", "choose", "find_picture", "form_of", "form_of_attention", "is_plane",
    "junctions", "picture_layout", "space_axes", "space_sides", "space_size",
]  # fmt: skip
