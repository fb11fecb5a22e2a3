"""Every error that onnxcam raises on purpose: what happened, why it matters here, what to do.

Each module of the package says in its `__all__` what it adds.
"""
# ruff: noqa: F403

from onnxcam.errors.arrays import *
from onnxcam.errors.asking import *
from onnxcam.errors.base import *
from onnxcam.errors.comparing import *
from onnxcam.errors.conversion import *
from onnxcam.errors.detecting import *
from onnxcam.errors.driving import *
from onnxcam.errors.evaluation import *
from onnxcam.errors.files import *
from onnxcam.errors.gradients import *
from onnxcam.errors.guiding import *
from onnxcam.errors.models import *
from onnxcam.errors.pictures import *
from onnxcam.errors.running import *
