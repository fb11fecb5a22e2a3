"""ONNX's own test cases, a quick part of what scripts/backend_conformance.py judges; every operator accounted for."""

from __future__ import annotations

import numpy as np
import pytest
from backend_cases import node_cases
from backend_conformance import error_of, gradients, judge
from backend_float64 import evaluating_in_double
from backend_problem import TOLERANCE, posed
from onnx import ModelProto

from onnxcam.autodiff import FLAT, RULES
from onnxcam.autodiff.operators import operators
from onnxcam.graph.loaded_operators import loaded_operators

# One case of every operator that has a derivative.
QUICK = """
abs acos_example acosh_example add_bcast affine_grid_2d asin_example asinh_example atan_example atanh_example
attention_bidirectional_window averagepool_2d_ceil_last_window_starts_on_pad basic_conv_with_padding
basic_deform_conv_without_padding batchnorm_example cast_FLOAT_to_FLOAT16 castlike_FLOAT_to_DOUBLE
causal_conv_with_state_b1_c1_degenerate celu center_crop_pad_pad clip_default_inbounds col2im_dilations compress_1
concat_1d_axis_0 constant_pad_axes convtranspose_1d cos_example cosh_example cumprod_1d cumsum_1d
depthtospace_example dequantizelinear det_2d dft_opset19 div_example dropout_default_old einsum_scalar elu_example
erf exp_example expand_dim_unchanged flatten_axis0 gather_2d_indices gather_elements_0 gathernd_example_float32
gelu_tanh_1 gemm_default_scalar_bias globalaveragepool_precomputed globalmaxpool_precomputed
gridsample_zeros_padding group_normalization_example gru_with_initial_bias hardsigmoid_example hardswish identity
instancenorm_example l1normalization_axis_0 layer_normalization_2d_axis1 leakyrelu_example
linear_attention_linear_t1_no_past log_example logsoftmax_example_1 loop11 lppool_2d_dilations lrn lstm_defaults
matmul_1d_1d max_one_input maxpool_2d_ceil_output_size_reduce_by_one maxunpool_export_without_output_shape
mean_one_input min_one_input mish mod_mixed_sign_float64 mul_example mvn neg_example nllloss_NC
onehot_negative_indices optional_get_element_tensor pow_bcast_scalar prelu_broadcast reciprocal_example
reduce_l1_default_axes_keepdims_example reduce_l2_default_axes_keepdims_example reduce_log_sum_default
reduce_log_sum_exp_default_axes_keepdims_example reduce_max_default_axes_keepdim_example
reduce_mean_default_axes_keepdims_example reduce_min_default_axes_keepdims_example
reduce_prod_default_axes_keepdims_example reduce_sum_default_axes_keepdims_example
reduce_sum_square_default_axes_keepdims_example relu reshape_one_dim resize_upsample_scales_nearest_axes_2_3
reversesequence_time rms_normalization_2d_axis1 roialign_aligned_false rotary_embedding_no_position_ids_rotary_dim
scan9_scalar scatter_elements_with_axis scatter_with_axis scatternd_max_with_element_indices sce_none selu_example
shrink_hard sigmoid_example simple_rnn_defaults sin_example sinh_example slice_neg softmax_example softplus_example
softsign_example spacetodepth_example split_equal_parts_1d_opset13 sqrt_example squeeze_negative_axes stft
sub_example sum_one_input swiglu swish tan_example tanh_example tensorscatter thresholdedrelu_example
tile_precomputed top_k transpose_default unsqueeze_negative_axes upsample_nearest where_example
""".split()
# Cases that have been wrong or refused before.
MENDED = ("resize_tf_crop_and_resize", "maxpool_2d_ceil_output_size_reduce_by_one", "affine_grid_3d_expanded",
          "attention_causal_boolmask_nan_robustness", "mod_float_edge_cases_fmod_0_float32", "sce_mean_weight_ii_4d",
          "dequantizelinear_blocked", "spacetodepth_crd_mode_example", "center_crop_pad_crop_axes_chw")  # fmt: skip
# Ops whose cases have no derivative, or none that is compared so: integers, sequences, steps.
WITHOUT_DERIVATIVE = {
    "ConvInteger", "DynamicQuantizeLinear", "If", "MatMulInteger", "QuantizeLinear", "Range", "SequenceInsert",
    "SequenceMap", "SplitToSequence", "Trilu",
}  # fmt: skip
# Each dimension but the heads and features is a symbol: batch and sequence lengths.
OPEN = ("attention_3d", "attention_3d_gqa_causal", "attention_4d_attn_mask", "attention_4d_with_past_and_present",
        "attention_4d_causal_padded_kv_bf16", "rotary_embedding", "rms_normalization_3d_axis1_epsilon",
        "linear_attention_gated", "swish", "averagepool_2d_dilations")  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # ONNX's code for its cases warns
@pytest.mark.parametrize("name", [*QUICK, *MENDED])
def test_a_case_of_onnx_has_the_gradient_that_differences_give(name: str):
    verdict = judge(node_cases()[name])
    assert (verdict.verdict, verdict.forward) == ("passed", "equal"), verdict


def opened(model: ModelProto) -> ModelProto:
    """The model with a symbol for the batch and for the second-last axis of every input that has one."""
    free = ModelProto()
    free.CopyFrom(model)
    for info in free.graph.input:
        dims = info.type.tensor_type.shape.dim
        for axis in {0, len(dims) - 2} & set(range(len(dims))):
            dims[axis].dim_param = "N" if axis == 0 and len(dims) > 2 else f"{info.name}{axis}"
    for info in free.graph.output:
        info.type.tensor_type.ClearField("shape")
    return free


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OPEN)
def test_what_came_after_opset_18_is_exact_with_batch_and_length_left_open(name: str):
    with evaluating_in_double(), np.errstate(all="ignore"):
        problem, slopes = posed(node_cases()[name])
        found = gradients(problem, opened(problem.wide))
    assert error_of(slopes, found, is_finite=problem.is_finite)[0] <= TOLERANCE


@pytest.mark.filterwarnings("ignore")
def test_a_gradient_that_is_wrong_fails(monkeypatch: pytest.MonkeyPatch):
    sine = RULES["Sin"]
    monkeypatch.setitem(RULES, "Sin", RULES["Cos"])
    assert judge(node_cases()["sin"]).verdict == "failed"
    monkeypatch.setitem(RULES, "Sin", sine)
    assert judge(node_cases()["sin"]).verdict == "passed"


def test_every_operator_of_onnx_is_accounted_for():
    assert [op.name for op in operators() if op.gradient == "none"] == []


def test_no_operator_is_accounted_for_twice():
    assert not set(RULES) & FLAT
    gone = {op.name for op in loaded_operators() if op.becomes != "kept"}
    assert not gone & (set(RULES) | FLAT)


def test_what_is_said_of_each_operator_is_not_empty():
    assert [op.name for op in operators() if not op.note and op.gradient != "zero"] == []


@pytest.mark.filterwarnings("ignore")
def test_every_rule_of_an_operator_that_onnx_has_cases_of_is_in_the_quick_part():
    judged = {node_cases()[name].op for name in QUICK}
    known = {case.op for case in node_cases().values()}
    assert known & set(RULES) - judged <= WITHOUT_DERIVATIVE
