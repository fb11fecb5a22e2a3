"""Differentiation of ONNX graphs: the walk, and the rules by family."""

from onnxcam.autodiff import activations as activations
from onnxcam.autodiff import averagepool as averagepool
from onnxcam.autodiff import contrib as contrib
from onnxcam.autodiff import convolution as convolution
from onnxcam.autodiff import einsum as einsum
from onnxcam.autodiff import elementary as elementary
from onnxcam.autodiff import elementwise as elementwise
from onnxcam.autodiff import indexing as indexing
from onnxcam.autodiff import joining as joining
from onnxcam.autodiff import linear as linear
from onnxcam.autodiff import maxpool as maxpool
from onnxcam.autodiff import normalization as normalization
from onnxcam.autodiff import padding as padding
from onnxcam.autodiff import quantization as quantization
from onnxcam.autodiff import reductions as reductions
from onnxcam.autodiff import resizing as resizing
from onnxcam.autodiff import shaping as shaping
from onnxcam.autodiff import slicing as slicing
from onnxcam.autodiff import softmax as softmax
from onnxcam.autodiff.core import FLAT, RULES, Rule, differentiate, no_gradient, vjp, vjp_of_outputs

__all__ = ["FLAT", "RULES", "Rule", "differentiate", "no_gradient", "vjp", "vjp_of_outputs"]
