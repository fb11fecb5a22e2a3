"""The direct reader: from a Keras file to ONNX with json, h5py and numpy."""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto, OperatorSetIdProto

from onnxcam.conversion import Conversion, Request
from onnxcam.errors import InvalidSource, UnsupportedLayer
from onnxcam.facts import note
from onnxcam.graph import Tape
from onnxcam.graph.shapes import IR_VERSION, OPSET
from onnxcam_converters.keras import layers as _rules  # noqa: F401 - enters the rules
from onnxcam_converters.keras.architecture import parse_architecture, read_spec
from onnxcam_converters.keras.archive import Archive, opened
from onnxcam_converters.keras.building import CUSTOM, leaves, make_layer, run
from onnxcam_converters.keras.inputs import add_inputs, is_channels_first
from onnxcam_converters.keras.knowledge import preprocessing
from onnxcam_converters.keras.naming import add_output, finish
from onnxcam_converters.keras.reference import reference_of
from onnxcam_converters.keras.safety import classes_in, refuse_code
from onnxcam_converters.keras.story import Story
from onnxcam_converters.keras.tensor import Tensor

ROUTE = "Keras file, read directly"


def convert_file(request: Request) -> Conversion:
    """The model in the file.

    Raises:
        OnnxCamError: InvalidSource, MissingWeights, StateMismatch, UnsafeSource, UnsupportedLayer or WrongInputSize.
    """
    with opened(Path(request.source), request.weights) as archive:
        refuse_code(archive.model, archive.source)
        if request.custom_objects.keys() & set(classes_in(archive.model)):
            from onnxcam_converters.keras.live import convert_with_custom_objects

            return convert_with_custom_objects(request)
        return Conversion(read(archive, request), ROUTE, reference=reference_of(archive, request))


def read(archive: Archive, request: Request) -> ModelProto:
    """The model with what its file knows noted in."""
    spec = read_spec(archive.model)
    if not spec.is_model or spec.is_foreign:
        name = str(spec.config.get("name", spec.kind))
        raise UnsupportedLayer(name, spec.kind, "it is a subclassed model, whose file has no architecture", CUSTOM)
    story = Story(archive.source, archive.backend, notes=[*archive.notes])
    proto = ModelProto(ir_version=IR_VERSION, opset_import=[OperatorSetIdProto(version=OPSET)])
    proto.producer_name, proto.graph.name = "onnxcam", spec.name
    tape = Tape(proto)
    architecture = parse_architecture(spec.kind, archive.model["config"])
    inputs = add_inputs(tape, architecture, request)
    story.pixels.update(x.value.name for x in inputs if x.rank == 4)
    root = make_layer(spec, "", archive.weights, tape=tape, keras=archive.keras, story=story)
    outputs = list(leaves(run(root, architecture, inputs), Tensor))
    if not outputs:
        raise InvalidSource(archive.source, "its model gives nothing")
    for x in outputs:
        add_output(tape, x, story)
    is_first = is_channels_first(architecture.layers)
    facts = preprocessing(story, spec, inputs, is_first=is_first)
    note(proto, layers=finish(proto, story), preprocessing=facts, notes=story.notes)
    return proto
