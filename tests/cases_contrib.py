"""Rows for com.microsoft's activations. No float64 kernels: evaluated by reference_ops, which test_contrib compares."""

from conformance import Row

ROWS = [
    Row("Gelu", "y = com.microsoft.Gelu(x)", x=(2, 3)),
    Row("BiasGelu", "y = com.microsoft.BiasGelu(x, b)", x=(2, 3), b=(3,)),
    Row("FastGelu", "y = com.microsoft.FastGelu(x)", x=(2, 3)),
    Row("FastGelu, bias", "y = com.microsoft.FastGelu(x, b)", x=(2, 2, 3), b=(3,)),
    Row("QuickGelu", "y = com.microsoft.QuickGelu(x)", x=(2, 3)),
    Row("QuickGelu, alpha", "y = com.microsoft.QuickGelu<alpha=1.2>(x)", x=(2, 3)),
]
