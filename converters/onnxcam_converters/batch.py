"""The name of the batch axis."""

from __future__ import annotations

from onnx import ModelProto

BATCH = "N"


def name_batch(model: ModelProto) -> None:
    """Calls the open first dimension of inputs and outputs N; forgets the names that exporters give other open ones."""
    for value in (*model.graph.input, *model.graph.output):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.Clear()
                if axis == 0:
                    dim.dim_param = BATCH
