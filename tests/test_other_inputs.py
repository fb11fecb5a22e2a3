"""Inputs beside the picture: given, or filled in with what they mean, and said either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import Command
from numpy.typing import NDArray
from small_nets import CNN, cnn, pictures
from small_nets import net as small_net

import onnxcam
from onnxcam.api import explainer_of
from onnxcam.errors import InputMismatch, NotAPair, UnknownChoice
from onnxcam.options import inputs_of
from onnxcam.picture import Picture

Array = NDArray[Any]
PICTURE = "float[N,3,16,24] x"
HEIGHT, WIDTH = 16, 24
PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
LOGITS = "y = Gemm(flat, w3, b3)"
# Four numbers of each picture as a box, in shares of its sides.
CORNERS = (
    f"{LOGITS}  zero = Constant<value_ints=[0]>()  four = Constant<value_ints=[4]>()  one = Constant<value_ints=[1]>() "
)
SHARES = "shares = Slice(y, zero, four, one)  sides = Cast<to=1>(size) "


def net(ending: str, other: str, *, outputs: str = "float[N,5] y") -> onnx.ModelProto:
    return cnn(ending, x=f"{PICTURE}, {other}", y=outputs)


def sized(name: str, stretching: str, *, kind: str = "int64[N,2]") -> onnx.ModelProto:
    """A net that gives boxes in pixels of a size that it takes beside the picture."""
    body = f"{CORNERS}{SHARES.replace('size', name)}{stretching}  boxes = Mul(shares, stretch)"
    return net(body, f"{kind} {name}", outputs="float[N,5] y, float[N,4] boxes")


AS_GIVEN = "stretch = Concat<axis=1>(sides, sides)"
AS_TILED = "twice = Constant<value_ints=[1,2]>()  stretch = Tile(sides, twice)"
TURNED = "h, w = Split<axis=1, num_outputs=2>(sides)  stretch = Concat<axis=1>(w, h, w, h)"
SIZES = [
    # name,              what becomes of it, type,         the row that belongs there
    ("orig_target_sizes", AS_GIVEN, "int64[N,2]", [WIDTH, HEIGHT]),
    ("orig_target_sizes", AS_TILED, "int64[N,2]", [WIDTH, HEIGHT]),
    ("orig_target_sizes", TURNED, "int64[N,2]", [HEIGHT, WIDTH]),
    ("im_shape", TURNED, "float[N,2]", [HEIGHT, WIDTH]),
    ("image_size", AS_GIVEN, "float[1,2]", [WIDTH, HEIGHT]),
]


@pytest.mark.parametrize(("name", "stretching", "kind", "row"), SIZES)
def test_a_size_is_the_input_s_own_in_the_order_that_stretches_boxes(name: str, stretching: str, kind: str, row: Any):
    explainer = explainer_of(onnxcam.convert(sized(name, stretching, kind=kind)))
    x = pictures(2, 3, HEIGHT, WIDTH)
    rows = np.array([row] * (1 if "[1" in kind else 2), np.int64 if "int" in kind else np.float32)
    found = explainer.run(x, outputs=["boxes", "y"])
    np.testing.assert_allclose(found["boxes"], found["y"][:, :4] * [WIDTH, HEIGHT, WIDTH, HEIGHT], rtol=1e-5)
    np.testing.assert_array_equal(explainer.run(x, inputs={name: rows}, outputs=["boxes"])["boxes"], found["boxes"])


NAMED = [
    # inputs that nothing shows the order of, and what they are by their names
    ("orig_target_sizes", "int64[N,2]", "width, height"),
    ("img_shape", "float[N,2]", "height, width"),
    ("orig_size", "int64[2]", "height, width"),
    ("scale_factor", "float[N,2]", "ones"),
    ("pixel_mask", "int64[N,H,W]", "ones"),
    ("attention_mask", "float[N,7]", "ones"),
    ("mask_input", "float[N,1,8,8]", "zeros"),
    ("tokens", "int64[N,M]", "zeros"),
]


@pytest.mark.parametrize(("name", "kind", "filling"), NAMED)
def test_what_is_filled_in_is_written_in_the_file(name: str, kind: str, filling: str):
    model = net(f"{LOGITS}  n = Cast<to=1>({name})  z = ReduceSum<keepdims=0>(n)", f"{kind} {name}")
    model.graph.output.add().CopyFrom(onnx.helper.make_tensor_value_info("z", 1, []))
    assert onnxcam.convert(model).metadata.fillings == {name: filling}


# The picture times a mask, and a sum of further numbers added to all logits.
MASKED = (
    "m = Cast<to=1>(pixel_mask)  i = Constant<value_ints=[1]>()  m4 = Unsqueeze(m, i)  xm = Mul(x, m4)"
    + CNN.replace("(x, w1, b1)", "(xm, w1, b1)")
    + "y0 = Gemm(flat, w3, b3)  s = ReduceSum<keepdims=1>(hint, i)  y = Add(y0, s)"
)


def masked(method: str = "gradcam") -> onnxcam.Explainer:
    model = small_net(MASKED, x=f"{PICTURE}, int64[N,H,W] pixel_mask, float[N,M] hint")
    return explainer_of(onnxcam.convert(model, method=method, preprocess="unit"))


def test_a_mask_that_nobody_gives_masks_nothing_and_other_numbers_are_nought():
    x = pictures(2, 3, HEIGHT, WIDTH)
    plain = explainer_of(onnxcam.convert(cnn(x=PICTURE))).run(x)
    found = masked().run(x)
    np.testing.assert_allclose(found["y"], plain["y"], rtol=1e-6)
    np.testing.assert_allclose(found["heatmap"], plain["heatmap"], atol=1e-6)


def test_what_is_given_goes_before_what_would_be_filled_in():
    x, hint = pictures(2, 3, HEIGHT, WIDTH), np.array([[1, 2, 3], [4, 5, 6]])
    found, plain = masked().run(x, inputs={"hint": hint}), masked().run(x)
    np.testing.assert_allclose(found["y"] - plain["y"], np.tile([[6], [15]], (1, 5)), rtol=1e-5)


def test_an_explanation_tells_what_was_filled_in():
    explainer = masked()
    assert explainer(PHOTO).report["inputs"] == "pixel_mask: all ones; hint: all zeros"
    assert explainer(PHOTO, inputs={"hint": [[1.0]]}).report["inputs"] == "pixel_mask: all ones"
    mask = np.ones((1, HEIGHT, WIDTH), np.int64)
    assert not explainer(PHOTO, inputs={"hint": [[1.0]], "pixel_mask": mask}).report


def test_methods_of_many_passes_fill_in_as_well():
    plain = explainer_of(onnxcam.convert(cnn(x=PICTURE), method="occlusion", preprocess="unit"))
    found, right = masked("occlusion")(PHOTO, 1), plain(PHOTO, 1)
    np.testing.assert_allclose(found.map, right.map, atol=1e-6)
    assert found.report["inputs"] == "pixel_mask: all ones; hint: all zeros"


def test_a_single_number_is_for_the_user_to_say():
    model = net(f"{LOGITS.replace('y =', 'y0 =')}  y = Mul(y0, temperature)", "float temperature")
    explainer = explainer_of(onnxcam.convert(model))
    with pytest.raises(InputMismatch, match="input 'temperature' is missing"):
        explainer.run(pictures(1, 3, HEIGHT, WIDTH))


BAD = [
    ({"hint": [1.0, 2.0]}, InputMismatch, r"input 'hint' has shape \(2,\), but the model takes \(N, M\)"),
    ({"pixel_mask": np.full((1, 16, 24), 0.5)}, InputMismatch, "holds float64, but the model takes int64"),
    ({"hint": [["a"]]}, InputMismatch, "holds <U1, but the model takes float32"),
    ({"mask": [[1]]}, UnknownChoice, "Did you mean 'pixel_mask'"),
]


@pytest.mark.parametrize(("inputs", "kind", "words"), BAD)
def test_what_does_not_fit_is_an_error_of_ours(inputs: Any, kind: type[Exception], words: str):
    with pytest.raises(kind, match=words):
        masked()(PHOTO, inputs=inputs)


def test_whole_numbers_of_another_type_are_taken():
    explainer, x = masked(), pictures(1, 3, HEIGHT, WIDTH)
    half = np.zeros((1, HEIGHT, WIDTH), bool)
    half[:, :8] = True
    found = explainer.run(x, inputs={"pixel_mask": half})
    np.testing.assert_array_equal(found["y"], explainer.run(x, inputs={"pixel_mask": half.astype(np.int64)})["y"])


# on the command line


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_the_command_says_what_is_filled_in(command: Command, tmp_path: Path):
    model = small_net(MASKED, x=f"{PICTURE}, int64[N,H,W] pixel_mask, float[N,M] hint")
    onnx.save(model, tmp_path / "m.onnx")
    Picture(PHOTO).save(tmp_path / "p.png")
    ran = command("explain", tmp_path / "m.onnx", tmp_path / "p.png", "-o", tmp_path / "out")
    assert ran.code == 0
    assert "note: the model also takes 'pixel_mask'; it is all ones where nothing else is given" in ran.err


def test_inputs_are_read_from_files(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    found = inputs_of([f"hint={tmp_path / 'a.npy'}"])
    np.testing.assert_array_equal(found["hint"], [[0, 1, 2], [3, 4, 5]])


def test_inputs_that_cannot_be_read_are_an_error_of_ours(tmp_path: Path):
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    for text in ("hint", "=a.npy"):
        with pytest.raises(NotAPair, match="NAME=VALUE"):
            inputs_of([text])
    for name in ("text.npy", "empty.npy", "two.npz", "objects.npy", "missing.npy", ""):
        with pytest.raises(InputMismatch, match=r"input 'hint' cannot be read from .* Check the path; the file"):
            inputs_of([f"hint={tmp_path / name}"])


def test_one_row_stands_for_all_pictures_and_another_number_is_refused():
    """Whatever comes to the runtime has a row for each picture of the batch."""
    model = net(f"{LOGITS.replace('y =', 'z =')}  y = Add(z, meta)", "float[N,5] meta")
    explain = explainer_of(onnxcam.convert(model), preprocess="unit")
    row = np.arange(5, dtype=np.float32)[None]
    together = explain([PHOTO] * 3, 4, inputs={"meta": row})
    alone = explain(PHOTO, 4, inputs={"meta": row})
    assert [one.target_score for one in together] == pytest.approx([alone.target_score] * 3)
    own = explain([PHOTO] * 3, 4, inputs={"meta": row * [[0], [1], [2]]})
    assert own[2].target_score - own[0].target_score == pytest.approx(8, rel=1e-5)
    with pytest.raises(InputMismatch, match="2 rows for 3 pictures"):
        explain([PHOTO] * 3, 4, inputs={"meta": np.repeat(row, 2, 0)})
