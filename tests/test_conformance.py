"""Every rule against central differences in float64, and no rule without a row."""

from __future__ import annotations

import cases_activations
import cases_contrib
import cases_control
import cases_convolution
import cases_determinant
import cases_elementwise
import cases_fourier
import cases_indexing
import cases_linear
import cases_loops
import cases_normalization
import cases_pooling
import cases_recurrent
import cases_reductions
import cases_resizing
import cases_sampling
import cases_scatters
import cases_shaping
import cases_windows
import pytest
from conformance import Row, errors

from onnxcam.autodiff import RULES

ROWS: list[Row] = [
    *cases_activations.ROWS,
    *cases_contrib.ROWS,
    *cases_control.ROWS,
    *cases_convolution.ROWS,
    *cases_determinant.ROWS,
    *cases_elementwise.ROWS,
    *cases_fourier.ROWS,
    *cases_indexing.ROWS,
    *cases_linear.ROWS,
    *cases_loops.ROWS,
    *cases_normalization.ROWS,
    *cases_pooling.ROWS,
    *cases_recurrent.ROWS,
    *cases_reductions.ROWS,
    *cases_resizing.ROWS,
    *cases_sampling.ROWS,
    *cases_scatters.ROWS,
    *cases_shaping.ROWS,
    *cases_windows.ROWS,
]
TOLERANCE = 1e-6
# Steps, which no difference can follow: compared with PyTorch's fake quantisation in test_quantization_rules.py.
STRAIGHT_THROUGH = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
# The same in int32: compared with PyTorch in test_dynamic_quantization.py.
STRAIGHT_THROUGH |= {"ConvInteger", "MatMulInteger"}
STRAIGHT_THROUGH |= {"com.microsoft.DynamicQuantizeMatMul", "com.microsoft.MatMulIntegerToFloat"}
# Lists of tensors that loading could not do without: always refused, see test_sequences.py.
ON_LISTS = {
    "ConcatFromSequence", "Optional", "OptionalGetElement", "SequenceAt", "SequenceConstruct", "SequenceErase",
    "SequenceInsert", "SequenceMap", "SplitToSequence",
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=repr)
def test_gradient_equals_central_differences(row: Row):
    found = errors(row)
    assert max(found.values()) <= TOLERANCE, found


@pytest.mark.parametrize("row", [row for row in ROWS if not row.skip_dynamic], ids=repr)
def test_gradient_is_the_same_when_no_size_is_known(row: Row):
    found = errors(row, dynamic=True)
    assert max(found.values()) <= TOLERANCE, found


def test_every_rule_has_a_row():
    assert set(RULES) <= set().union(*(row.ops for row in ROWS)) | STRAIGHT_THROUGH | ON_LISTS


def test_no_two_rows_share_a_name():
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))
