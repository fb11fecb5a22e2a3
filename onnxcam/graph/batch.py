"""A model exported for one image at a time, or for any other fixed number, opened up for any number of them.

The batch is followed from the inputs to the outputs: which axis of each tensor counts the images (batch_rules.py holds
what each op does to it). Where an exporter baked the number into a target shape it is taken out, and of a constant that
repeats one row for each image the row is left; where an op would mix images, such as a Softmax over them or
NonMaxSuppression, the model stays as it is and the op is named as the reason.
"""

from __future__ import annotations

import onnx.shape_inference
from onnx import GraphProto, ModelProto, TypeProto, ValueInfoProto

import onnxcam.graph.batch_axes
import onnxcam.graph.batch_rules  # noqa: F401  (both fill the table of rules)
from onnxcam.graph.batch_trace import MixesImages, Trace
from onnxcam.graph.shapes import skeleton


def open_batch(model: ModelProto) -> str:
    """Why the batch must stay as it is; "" when it is open, or was already. Unchanged in the first case.

    The first input whose leading dimension is 1 and that has at least three is the picture, or where there is none the
    first of three dimensions; every other input of two or more dimensions that leads with the same number belongs to it
    (sizes, masks), one for each image. An input of one dimension is a parameter of all images.
    """
    inputs = _real_inputs(model.graph)
    if not inputs or any(_leading(info) is None and _rank(info) > 1 for info in inputs):
        return ""
    count = _batch(inputs)
    if not count:
        return f"input {inputs[0].name!r} has the shape {_shape(inputs[0])}, and pictures have three dimensions or more"
    trial = skeleton(model)
    opened = [info.name for info in inputs if _leading(info) == count and _rank(info) > 1]
    try:
        trace = Trace(trial, count, {tensor.name: tensor for tensor in model.graph.initializer})
        trace.follow(opened)
        _check_outputs(trial.graph, trace)
    except MixesImages as reason:
        return str(reason)
    _open_ends(trial.graph, opened, trace)
    if failure := _fails_in_trial(trial, opened, trace):
        return failure
    _take_over(model.graph, trial.graph, trace)
    return ""


def _real_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """Without those that are mere defaults."""
    defaults = {tensor.name for tensor in graph.initializer}
    return [info for info in graph.input if info.name not in defaults]


def _batch(inputs: list[ValueInfoProto]) -> int | None:
    """How many images the model takes; None where no input has the shape of any."""
    leading = [_leading(info) for info in inputs if _rank(info) >= 3]
    return 1 if 1 in leading else next(iter(leading), None)


def _rank(info: ValueInfoProto) -> int:
    return len(info.type.tensor_type.shape.dim)


def _leading(info: ValueInfoProto) -> int | None:
    """The first dimension; None where it is symbolic or there is none."""
    dims = info.type.tensor_type.shape.dim
    return dims[0].dim_value if dims and dims[0].HasField("dim_value") else None


def _shape(info: ValueInfoProto) -> list[int | str]:
    return [dim.dim_value or dim.dim_param for dim in info.type.tensor_type.shape.dim]


def _check_outputs(graph: GraphProto, trace: Trace) -> None:
    for info in graph.output:
        digit = trace.digits.get(info.name)
        if digit is None:
            raise MixesImages(f"output {info.name!r} does not depend on the picture")
        if digit.axis or digit.outer != 1:
            raise MixesImages(f"output {info.name!r} counts the images on axis {digit.axis}, not on the first one")
        if digit.inner != 1 and _rank(info) == 1:
            raise MixesImages(f"output {info.name!r} lays what belongs to one image behind another's")


def _open_ends(graph: GraphProto, opened: list[str], trace: Trace) -> None:
    """The first dimension of inputs and outputs gets a name."""
    symbol = _symbol(graph)
    for info in (*graph.input, *graph.output):
        dims = info.type.tensor_type.shape.dim
        if info.name in opened or (dims and info.name in trace.digits):
            dims[0].Clear()
            if trace.digits[info.name].inner == 1:
                dims[0].dim_param = symbol


def _symbol(graph: GraphProto) -> str:
    """N, or batch where another axis is called N already."""
    others = {dim.dim_param for i in (*graph.input, *graph.output) for dim in i.type.tensor_type.shape.dim[1:]}
    return next(name for name in ("N", "batch", "onnxcam_batch") if name not in others)


def _fails_in_trial(trial: ModelProto, opened: list[str], trace: Trace) -> str:
    """What shape inference finds wrong with another number of images; "" when the outputs come out as expected.

    It has no divisor in common with the number that the model was exported for, so that no shape fits by chance.
    """
    count = 2 * trace.count + 1
    copy = ModelProto()
    copy.CopyFrom(trial)
    del copy.graph.value_info[:]
    for info in copy.graph.input:
        if info.name in opened:
            info.type.tensor_type.shape.dim[0].dim_value = count
    for info in copy.graph.output:
        info.type.CopyFrom(TypeProto(tensor_type=TypeProto.Tensor(elem_type=info.type.tensor_type.elem_type)))
    try:
        inferred = onnx.shape_inference.infer_shapes(copy, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        return f"with {count} images its shapes do not fit: {str(error).splitlines()[0]}"
    for info in inferred.graph.output:
        size = _leading(info)
        if size is not None and size != count * trace.digits[info.name].inner:
            return f"with {count} images output {info.name!r} would have the shape {_shape(info)}"
    return ""


def _take_over(graph: GraphProto, trial: GraphProto, trace: Trace) -> None:
    """What the trial changed, for the model that has the weights."""
    own = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(tensor for tensor in trial.initializer if tensor.name not in own)
    for field in ("node", "input", "output"):
        items = getattr(graph, field)
        del items[:]
        items.extend(getattr(trial, field))
    for index in reversed(range(len(graph.value_info))):
        if graph.value_info[index].name in trace.digits:
            del graph.value_info[index]
