"""ONNX models in float64, for which ONNX Runtime lacks kernels: by PyTorch and numpy, which share no code with it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import onnx
from backend_float64 import as_double
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_pad import Pad_18 as SlowPad
from onnx.reference.ops.op_resize import Resize as SlowResize
from reference_ops import REFERENCE_OPS
from torch_support import torch

Array = NDArray[Any]
functional = torch.nn.functional


def tensor(x: Array) -> torch.Tensor:
    """The array for PyTorch, without a copy where there need be none."""
    return torch.from_numpy(np.ascontiguousarray(x))


def padded(x: torch.Tensor, pads: Sequence[int] | None, value: float = 0.0) -> torch.Tensor:
    """The tensor with ONNX's pads (all beginnings, then all ends) around its spatial axes."""
    if pads is None or not any(pads):
        return x
    rank = len(pads) // 2
    pairs = [n for axis in reversed(range(rank)) for n in (pads[axis], pads[axis + rank])]
    return functional.pad(x, pairs, value=value)


def same_pads(x: torch.Tensor, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], auto: str):
    """The pads that auto_pad stands for."""
    totals = [
        max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        for n, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True)
    ]
    less, more = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return [*less, *more] if auto == "SAME_UPPER" else [*more, *less]


class Conv(OpRun):
    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=None, kernel_shape=None, pads=None, strides=None):
        rank = x.ndim - 2
        strides, dilations = strides or [1] * rank, dilations or [1] * rank
        given = tensor(x)
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            pads = same_pads(given, w.shape[2:], strides, dilations, auto_pad)
        convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
        bias = None if b is None else tensor(b)
        return (convolve(padded(given, pads), tensor(w), bias, strides, 0, dilations, group or 1).numpy(),)


class ConvTranspose(OpRun):
    def _run(
        self, x, w, b=None, auto_pad=None, dilations=None, group=None, kernel_shape=None,
        output_padding=None, output_shape=None, pads=None, strides=None,
    ):  # fmt: skip
        if output_shape or auto_pad not in (None, "NOTSET"):
            raise ValueError("ConvTranspose by output_shape or auto_pad is not evaluated here")
        rank = x.ndim - 2
        strides, dilations, pads = strides or [1] * rank, dilations or [1] * rank, pads or [0] * 2 * rank
        more = output_padding or [0] * rank
        convolve = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)[rank - 1]
        # All of it, then cut: PyTorch wants output_padding below the stride, and equal pads.
        whole = convolve(tensor(x), tensor(w), None, strides, 0, 0, group or 1, dilations)
        cut = padded(whole, [-p for p in pads[:rank]] + [m - p for m, p in zip(more, pads[rank:], strict=True)])
        if b is not None:
            cut = cut + tensor(b).reshape(1, -1, *[1] * rank)
        return (cut.numpy(),)


class MaxPool(OpRun):
    def _run(
        self, x, auto_pad=None, ceil_mode=None, dilations=None, kernel_shape=None, pads=None, storage_order=None,
        strides=None,
    ):  # fmt: skip
        rank = x.ndim - 2
        strides, dilations = strides or [1] * rank, dilations or [1] * rank
        given = tensor(x)
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            pads = same_pads(given, kernel_shape, strides, dilations, auto_pad)
        pads = padded(given, pads, -torch.inf)
        pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[rank - 1]
        result = pool(pads, kernel_shape, strides, 0, dilations, bool(ceil_mode), False)
        if len(self.onnx_node.output) > 1:
            raise ValueError("MaxPool with indices is not evaluated here")
        return (result.numpy(),)


class AveragePool(OpRun):
    def _run(
        self, x, auto_pad=None, ceil_mode=None, count_include_pad=None, dilations=None, kernel_shape=None, pads=None,
        strides=None,
    ):  # fmt: skip
        rank = x.ndim - 2
        strides, pads = strides or [1] * rank, pads or [0] * 2 * rank
        given = tensor(x)
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            pads = same_pads(given, kernel_shape, strides, [1] * rank, auto_pad)
        pool = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[rank - 1]
        if ceil_mode:
            if pads[:rank] != pads[rank:]:
                raise ValueError("AveragePool with ceil_mode and uneven pads is not evaluated here")
            result = pool(given, kernel_shape, strides, list(pads[:rank]), True, bool(count_include_pad))
            return (result.numpy(),)
        total = pool(padded(given, pads), kernel_shape, strides)
        if count_include_pad or not any(pads):
            return (total.numpy(),)
        return ((total / pool(padded(torch.ones_like(given), pads), kernel_shape, strides)).numpy(),)


class Erf(OpRun):
    def _run(self, x):
        return (torch.erf(tensor(x)).numpy(),)


class LayerNormalization(OpRun):
    """ONNX's own knows no accumulation in float64."""

    def _run(self, x, scale, bias=None, axis=None, epsilon=None, stash_type=None):
        axis = -1 if axis is None else axis
        axes = tuple(range(axis % x.ndim, x.ndim))
        mean = x.mean(axes, keepdims=True)
        inverse = 1 / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + (1e-5 if epsilon is None else epsilon))
        normal = (x - mean) * inverse * scale
        return (normal if bias is None else normal + bias, mean, inverse)[: len(self.onnx_node.output)]


class MatMul(OpRun):
    def _run(self, a, b):
        return (torch.matmul(tensor(a), tensor(b)).numpy(),)


class Einsum(OpRun):
    def _run(self, *operands, equation=None):
        return (torch.einsum(equation, *map(tensor, operands)).numpy(),)


class Pad(SlowPad):
    """ONNX's own knows no negative pads, which cut."""

    def _run(self, x, pads, constant_value=None, axes=None, mode=None):
        places = [axis % x.ndim for axis in (range(x.ndim) if axes is None else axes)]
        kept = [slice(None)] * x.ndim
        for place, axis in enumerate(places):
            before, after = int(pads[place]), int(pads[place + len(places)])
            kept[axis] = slice(max(-before, 0), x.shape[axis] - max(-after, 0))
        return super()._run(x[tuple(kept)], np.maximum(pads, 0), constant_value, axes, mode)


class Resize(SlowResize):
    """ONNX's own for one row of an axis at a time, which is a matrix, instead of for each number."""

    known: ClassVar[dict[Any, Array]] = {}

    def _run(self, x, roi=None, scales=None, sizes=None, axes=None, **options):
        policy, mode = options.get("keep_aspect_ratio_policy"), options.get("coordinate_transformation_mode")
        if policy not in (None, "stretch") or mode == "tf_crop_and_resize":
            return super()._run(x, roi, scales, sizes, axes=axes, **options)
        for place, axis in enumerate(range(x.ndim) if axes is None else axes):
            wanted = [
                None if given is None or not len(given) else given[place : place + 1] for given in (scales, sizes)
            ]
            if (wanted[0] is not None and wanted[0][0] == 1) or (
                wanted[1] is not None and wanted[1][0] == x.shape[axis]
            ):
                continue
            x = np.moveaxis(np.tensordot(x, self._matrix(x.shape[axis], *wanted, options), (axis, 0)), -1, axis)
        return (np.ascontiguousarray(x),)

    def _matrix(self, size: int, scale: Array | None, wanted: Array | None, options: dict[str, Any]) -> Array:
        """What each place of the row contributes to each place of the result."""
        key = (size, *(None if given is None else float(given[0]) for given in (scale, wanted)), str(options))
        if key not in self.known:
            (self.known[key],) = super()._run(np.eye(size), None, scale, wanted, axes=[1], **options)
        return self.known[key]


class ScatterElements(OpRun):
    def _run(self, data, indices, updates, axis=None, reduction=None):
        at = list(np.indices(indices.shape, sparse=True))
        at[axis or 0] = np.where(indices < 0, indices + data.shape[axis or 0], indices)
        result = data.copy()
        if reduction in (None, "none"):
            result[tuple(at)] = updates
        else:
            {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[reduction].at(
                result, tuple(at), updates
            )
        return (result,)


OPS: list[type[OpRun]] = [
    *(Conv, ConvTranspose, MaxPool, AveragePool, Erf, LayerNormalization, MatMul, Pad, Resize, Einsum, ScatterElements),
    *(op for op in REFERENCE_OPS if op.__name__ not in {"Erf"}),
]


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in float64, but for the scales of Resize, which ONNX wants in float32."""
    wide = as_double(model)
    nodes = []
    for node in wide.graph.node:
        if node.op_type == "Resize" and len(node.input) > 2 and node.input[2]:
            narrow = f"{node.output[0]}/scales"
            nodes.append(onnx.helper.make_node("Cast", [node.input[2]], [narrow], to=onnx.TensorProto.FLOAT))
            node.input[2] = narrow
        nodes.append(node)
    wide.graph.ClearField("node")
    wide.graph.node.extend(nodes)
    return wide


def evaluate(model: onnx.ModelProto, feeds: Mapping[str, Array], wanted: Sequence[str]) -> list[Array]:
    """The outputs; what no later node reads is let go at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = ReferenceEvaluator(model, new_ops=OPS)
    reads = Counter(name for node in evaluator.rt_nodes_ for name in all_reads(node))
    reads.update(wanted)
    known: dict[str, Any] = {"": None, **feeds, **evaluator.rt_inits_}
    for node in evaluator.rt_nodes_:
        given = [known[name] for name in node.input]
        more = {"context": dict(known)} if node.need_context() else {}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            results = node.run(*given, **more)
        known.update(zip(node.output, results, strict=False))
        for name in all_reads(node):
            reads[name] -= 1
            if name and not reads[name]:
                known.pop(name, None)  # names of inner graphs were never known here
    return [known[name] for name in wanted]


def all_reads(node: Any) -> list[str]:
    """What the node reads, and what the graphs in its attributes read from outside."""
    inner = [
        name
        for attribute in node.onnx_node.attribute
        if attribute.HasField("g")
        for part in attribute.g.node
        for name in part.input
    ]
    return [*node.input, *inner]
