"""Which tensors can be explained, which is the default, and by which names they go."""

from __future__ import annotations

import onnx
import pytest
from small_nets import CNN, cnn, net

import onnxcam
from onnxcam.errors import NeedsLayers, NoClassScores, NoSpatialLayer, UnknownLayer, UnknownScore
from onnxcam.graph import Tape, load
from onnxcam.layer import Layer, find_layers, resolve
from onnxcam.naming import module_paths
from onnxcam.scores import find_scores


def found(model: onnx.ModelProto) -> tuple[Tape, list[Layer]]:
    tape = Tape(load(model).proto)
    return tape, find_layers(tape, find_scores(tape).values)


def tensors(model: onnx.ModelProto) -> list[str]:
    return [layer.tensor for layer in onnxcam.layers(model)]


def named(model: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    """The model with its nodes named by their outputs."""
    for node in model.graph.node:
        node.name = names.get(node.output[0], "")
    return model


def test_all_spatial_tensors_are_listed_the_default_first_then_from_last_to_first():
    assert tensors(cnn()) == ["r2", "c2", "p1", "r1", "c1"]


@pytest.mark.parametrize("method", ["gradcam", "ablationcam", "guided-gradcam", "scorecam"])
def test_two_names_of_one_layer_are_one_layer(method: str):
    model = named(cnn(), {"r1": "stem"})
    assert onnxcam.convert(model, layer=["r1", "r1"], method=method).metadata.layers[0] == "r1"
    layers = onnxcam.convert(model, layer=["stem", "r1"], method=method).metadata.layers
    assert [name for name in layers if name != "x"] == ["r1"]


def test_refinecam_does_not_count_a_layer_twice():
    with pytest.raises(NeedsLayers, match="only 'r1'"):
        onnxcam.convert(cnn(), layer=["r1", "r1"], method="refinecam")


def test_exactly_one_layer_is_the_default():
    assert [layer.is_default for layer in onnxcam.layers(cnn())] == [True, False, False, False, False]


def test_shape_and_layout_are_told():
    layer = onnxcam.layers(cnn())[0]
    assert layer.shape == ("N", 8, 8, 8)
    assert layer.layout == "NCHW"


def test_a_pool_at_the_end_is_not_the_default_but_what_lies_before_it():
    ending = "p2 = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r2)\n d = Dropout(p2)\n g2 = GlobalAveragePool(d)\n"
    body = CNN + ending + "f2 = Flatten(g2)\n y = Gemm(f2, w3, b3)"
    assert tensors(net(body))[0] == "r2"


def test_what_the_scores_do_not_depend_on_is_not_listed():
    assert "side" not in tensors(net(CNN + "y = Gemm(flat, w3, b3)\n side = Relu(r2)"))


def test_squeezed_attention_without_space_is_not_listed():
    body = CNN.replace("gap = Glob", "s = GlobalAveragePool(r2)\n e = Sigmoid(s)\n m = Mul(r2, e)\n gap = Glob")
    body = body.replace("GlobalAveragePool(r2)\n  flat", "GlobalAveragePool(m)\n  flat")
    listed = tensors(net(body + "y = Gemm(flat, w3, b3)"))
    assert listed[0] == "m"
    assert not {"s", "e"} & set(listed)


def test_layers_behind_a_channel_shuffle_are_found():
    shuffle = (
        "five = Reshape(r2, split)\n turned = Transpose<perm=[0,2,1,3,4]>(five)\n joined = Reshape(turned, join)\n"
        "gap = GlobalAveragePool(joined)\n flat = Flatten(gap)\n y = Gemm(flat, w3, b3)"
    )
    body = CNN[: CNN.index("gap")] + shuffle
    model = net(body)
    for name, sizes in (("split", [-1, 2, 4, 8, 8]), ("join", [-1, 8, 8, 8])):
        model.graph.initializer.append(onnx.helper.make_tensor(name, 7, [len(sizes)], sizes))
    assert tensors(model)[0] == "joined"
    assert "turned" not in tensors(model)


def test_a_layer_goes_by_its_tensor_or_node_name():
    tape, layers = found(named(cnn(), {"r1": "activation_1"}))
    assert resolve(tape, layers, "r1").tensor == "r1"
    assert resolve(tape, layers, "activation_1").tensor == "r1"


def test_a_module_goes_by_its_path_in_torchscript_names():
    paths = {
        "c1": "/stem/conv/Conv", "r1": "/stem/act/Relu",
        "c2": "/stages/stages.0/conv/Conv", "r2": "/stages/stages.0/act/Relu",
    }  # fmt: skip
    tape, layers = found(named(cnn(), paths))
    assert layers[0].name == "stages"
    assert resolve(tape, layers, "stages.0").tensor == "r2"
    assert resolve(tape, layers, "stages.0.conv").tensor == "c2"
    assert resolve(tape, layers, "stem").tensor == "r1"


def test_a_module_is_the_last_that_it_computes_whichever_is_the_default():
    """The default of a transformer is a norm in its last block, and stands first."""
    tape, layers = found(named(cnn(), {"c2": "/blocks.1/norm/Conv", "r2": "/blocks.1/Relu"}))
    default = next(layer for layer in layers if layer.tensor == "c2")
    assert resolve(tape, [default, *(layer for layer in layers if layer is not default)], "blocks.1").tensor == "r2"


def test_a_keras_layer_goes_by_its_name_in_tensorflow_names():
    paths = {"c1": "model/block1_conv1/Conv2D", "r1": "model/block1_conv1/Relu", "r2": "model/top_conv/Relu"}
    tape, layers = found(named(cnn(), paths))
    assert resolve(tape, layers, "block1_conv1").tensor == "r1"
    assert resolve(tape, layers, "model/top_conv").tensor == "r2"


def test_the_dynamo_exporters_scopes_are_module_paths():
    model = cnn()
    node = next(node for node in model.graph.node if node.output[0] == "r2")
    node.metadata_props.add(
        key="pkg.torch.onnx.name_scopes", value="['', 'layer4', 'layer4.1', 'layer4.1.relu', 'relu_1']"
    )
    tape, layers = found(model)
    assert module_paths(next(n for n in tape.nodes if n.output.name == "r2")) == ["layer4", "layer4.1", "layer4.1.relu"]
    assert layers[0].name == "layer4"
    assert resolve(tape, layers, "layer4.1").tensor == "r2"


def test_an_unknown_layer_names_the_near_ones():
    tape, layers = found(named(cnn(), {"r2": "/layer4/relu/Relu"}))
    with pytest.raises(UnknownLayer, match=r"no layer named 'layer5'.*'layer4'.*lists all 5"):
        resolve(tape, layers, "layer5")


def test_a_tensor_that_cannot_be_explained_is_said_to_be_there():
    tape, layers = found(cnn())
    with pytest.raises(UnknownLayer, match="'flat' is in the model"):
        resolve(tape, layers, "flat")


def test_an_ending_that_several_layers_share_is_not_guessed():
    tape, layers = found(named(cnn(), {"r1": "/a/relu/Relu", "r2": "/b/relu/Relu"}))
    with pytest.raises(UnknownLayer, match=r"'a\.relu'|'b\.relu'"):
        resolve(tape, layers, "relu")


def test_a_net_of_dense_layers_has_none():
    with pytest.raises(NoSpatialLayer, match="no tensor has height and width"):
        onnxcam.layers(net("f = Flatten(x)\n y = Gemm(f, w5)", x="float[N,3,16,16] x"))


def test_an_input_that_holds_no_pictures_is_said():
    with pytest.raises(NoSpatialLayer, match="no input of the model can hold pictures"):
        onnxcam.layers(net("y = Gemm(x, w3, b3)", x="float[N,8] x"))


def test_a_model_without_class_scores_is_refused():
    with pytest.raises(NoClassScores, match=r"'y'.*--score 'y\[:, 0\]'"):
        onnxcam.convert(net("z = Relu(x)  y = Flatten<axis=0>(z)", y="float[1,M] y"))


def test_a_single_axis_that_counts_no_pictures_is_no_score_and_no_rows_are_taken_of_it():
    with pytest.raises(NoClassScores, match=r"--score 'y'"):
        onnxcam.convert(net("z = Relu(x)  s = Constant<value_ints=[-1]>() y = Reshape(z, s)", y="float[M] y"))


def test_an_unknown_score_is_refused():
    with pytest.raises(UnknownScore, match=r"'odds'.*logit, probability"):
        onnxcam.convert(cnn(), score="odds")
