"""Modified backward passes: the walk of differentiation with other tables of rules."""

from onnxcam.autodiff.backward.attention import transformers as transformers
from onnxcam.autodiff.backward.composites import epsilon_alpha2_beta1 as epsilon_alpha2_beta1
from onnxcam.autodiff.backward.composites import epsilon_alpha2_beta1_flat as epsilon_alpha2_beta1_flat
from onnxcam.autodiff.backward.composites import epsilon_gamma_box as epsilon_gamma_box
from onnxcam.autodiff.backward.composites import epsilon_plus as epsilon_plus
from onnxcam.autodiff.backward.composites import epsilon_plus_flat as epsilon_plus_flat
from onnxcam.autodiff.backward.composites import relevance_table as relevance_table
from onnxcam.autodiff.backward.composites import uniform as uniform
from onnxcam.autodiff.backward.passing import MAXIMUM_AS_MEAN as MAXIMUM_AS_MEAN
from onnxcam.autodiff.backward.reference import Reference as Reference
from onnxcam.autodiff.backward.registry import TABLES as TABLES
from onnxcam.autodiff.backward.registry import rules_named as rules_named
from onnxcam.autodiff.backward.rescale import rescale_table as rescale_table
from onnxcam.autodiff.backward.rescale_captum import rescale_table_of_captum as rescale_table_of_captum
from onnxcam.autodiff.backward.table import BackwardTable as BackwardTable
