"""What each axis counts, followed through every way in which nets lay out their places."""

from __future__ import annotations

from dataclasses import dataclass

import onnx.parser
import pytest

from onnxcam.graph import Tape, load
from onnxcam.layouts import Followed, find_picture
from onnxcam.layouts.axes import Axes


@dataclass(frozen=True)
class Case:
    """Nodes that make `y` of `x`, (N, 8, 4, 6) rows and columns, and what the axes of `y` count then."""

    name: str
    body: str
    axes: str
    picture: str = "float[N,3,4,6]"

    def __repr__(self) -> str:
        return self.name


TO_X = "w0 = Constant<value_ints=[8,3,1,1]>() w1 = ConstantOfShape<value = float[1] {1}>(w0) x = Conv(p0, w1)"
FLAT = "t = Constant<value_ints=[0, 8, 24]>() f = Reshape(x, t) k = Transpose<perm=[0,2,1]>(f)"
WITH_CLASS = FLAT + " c = Constant<value = float[1,1,8] {1,1,1,1,1,1,1,1}>() n = Shape<start=0, end=1>(x)"
WITH_CLASS += " o = Constant<value_ints=[1, 8]>() s = Concat<axis=0>(n, o) e = Expand(c, s) p = Concat<axis=1>(e, k)"
HEADS = FLAT + " h = Constant<value_ints=[0, 24, 2, 4]>() q = Reshape(k, h) a = Transpose<perm=[0,2,1,3]>(q)"
WINDOWS = (
    "l = Transpose<perm=[0,2,3,1]>(x) v = Constant<value_ints=[-1, 2, 2, 2, 3, 8]>() r = Reshape(l, v)"
    " m = Transpose<perm=[0,1,3,2,4,5]>(r) u = Constant<value_ints=[-1, 6, 8]>() w = Reshape(m, u)"
)
BACK = (
    " b = Constant<value_ints=[-1, 2, 2, 2, 3, 8]>() d = Reshape(w, b) g = Transpose<perm=[0,1,3,2,4,5]>(d)"
    " j = Constant<value_ints=[-1, 4, 6, 8]>() y = Reshape(g, j)"
)
SQUARE = " z = Constant<value_ints=[8, 8]>() i = ConstantOfShape<value = float[1] {1}>(z)"
ALONG_TOKENS = " z = Constant<value_ints=[24, 24]>() i = ConstantOfShape<value = float[1] {1}>(z)"

CASES = [
    # name,                            nodes,                                                        axes of y
    Case("activation",                 "y = Relu(x)",                                                "N C8 H4 W6"),
    Case("pool",                       "y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)",          "N C8 H2 W3"),
    Case("pool over all",              "y = GlobalAveragePool(x)",                                   "N C8 1 1"),
    Case("channels last",              "y = Transpose<perm=[0,2,3,1]>(x)",                           "N H4 W6 C8"),
    Case("grid to tokens",             FLAT + " y = Relu(k)",                                        "N H4·W6 C8"),
    Case("tokens to grid",             FLAT + " u = Constant<value_ints=[-1,4,6,8]>() y = Reshape(k, u)", "N H4 W6 C8"),
    Case("class token before",         WITH_CLASS + " y = Relu(p)",                                  "N T25+1 C8"),
    Case("two tokens before",          WITH_CLASS + " y = Concat<axis=1>(e, p)",                     "N T26+2 C8"),
    Case("token behind",               WITH_CLASS + " y = Concat<axis=1>(k, e)",                     "N T25+0 C8"),
    Case("class token taken",          WITH_CLASS + " u = Constant<value_int=0>() y = Gather<axis=1>(p, u)", "N C8"),
    Case("class token cut out",
         WITH_CLASS + " u = Constant<value_ints=[0]>() d = Constant<value_ints=[1]>() y = Slice(p, u, d, d)", "N 1 C8"),
    Case("class token cut off",
         WITH_CLASS + " u = Constant<value_ints=[1]>() d = Constant<value_ints=[99]>() y = Slice(p, u, d, u)",
         "N H4·W6 C8"),
    Case("tokens split off",
         WITH_CLASS + " u = Constant<value_ints=[1, 24]>() d, y = Split<axis=1>(p, u)",              "N H4·W6 C8"),
    Case("some tokens",
         WITH_CLASS + " u = Constant<value_ints=[0]>() d = Constant<value_ints=[9]>() b = Constant<value_ints=[1]>()"
         " y = Slice(p, u, d, b)",                                                                   "N ?9 C8"),
    Case("heads",                      HEADS + " y = Relu(a)",                                       "N C2 H4·W6 C4"),
    Case("attention between places",
         HEADS + " b = Transpose<perm=[0,1,3,2]>(a) y = MatMul(a, b)", "N C2 H4·W6 H4·W6"),
    Case("attention applied",
         HEADS + " b = Transpose<perm=[0,1,3,2]>(a) d = MatMul(a, b) y = MatMul(d, a)",              "N C2 H4·W6 C4"),
    Case("heads joined",
         HEADS + " b = Transpose<perm=[0,2,1,3]>(a) u = Constant<value_ints=[0,0,-1]>() y = Reshape(b, u)",
         "N H4·W6 C8"),
    Case("batch and heads as one",
         HEADS + " u = Constant<value_ints=[-1,24,4]>() y = Reshape(a, u)",                          "N·C2 H4·W6 C4"),
    Case("dense layer on channels",    FLAT + SQUARE + " y = MatMul(k, i)",                          "N H4·W6 C8"),
    Case("dense layer on places",      FLAT + ALONG_TOKENS + " y = MatMul(f, i)",                    "N C8 C24"),
    Case("dense layer on places, and what was there",
         FLAT + ALONG_TOKENS + " b = MatMul(f, i) y = Add(b, f)",                                    "N C8 H4·W6"),
    Case("einsum",                     "y = Einsum<equation=\"nchw->nhwc\">(x)",                     "N H4 W6 C8"),
    Case("windows",                    WINDOWS + " y = Relu(w)", "N·H2·W2 H2·W3 C8"),
    Case("windows put together",       WINDOWS + BACK,                                               "N H4 W6 C8"),
    Case("a map rolled around its edge",
         "o = Constant<value_ints=[1]>() e = Constant<value_ints=[99]>() b = Constant<value_ints=[0]>()"
         " d = Constant<value_ints=[2]>() f = Slice(x, o, e, d) g = Slice(x, b, o, d) y = Concat<axis=2>(f, g)",
         "N C8 H4 W6"),
    Case("every second row",
         "o = Constant<value_ints=[0]>() e = Constant<value_ints=[99]>() b = Constant<value_ints=[2]>()"
         " y = Slice(x, o, e, b, b)",                                                                "N C8 H2 W6"),
    Case("patches merged into channels",
         "u = Constant<value_ints=[0,8,2,2,3,2]>() r = Reshape(x, u) m = Transpose<perm=[0,2,4,3,5,1]>(r)"
         " d = Constant<value_ints=[0,2,3,32]>() y = Reshape(m, d)", "N H2 W3 H2·W2·C8"),
    Case("channel shuffle",
         "u = Constant<value_ints=[0,2,4,4,6]>() r = Reshape(x, u) m = Transpose<perm=[0,2,1,3,4]>(r)"
         " d = Constant<value_ints=[0,8,4,6]>() y = Reshape(m, d)",                                  "N C8 H4 W6"),
    Case("mean over tokens",           FLAT + " u = Constant<value_ints=[1]>() y = ReduceMean<keepdims=0>(k, u)",
         "N C8"),
    Case("axes of one come and go",
         "u = Constant<value_ints=[2]>() b = Unsqueeze(x, u) y = Squeeze(b, u)",                     "N C8 H4 W6"),
    Case("flattened",                  "y = Flatten(x)",                                             "N C8·H4·W6"),
    Case("padded",
         "u = Constant<value_ints=[0,0,1,1,0,0,1,1]>() y = Pad(x, u)",                               "N C8 H6 W8"),
    Case("a row of zeros for the class token",
         FLAT + " u = Constant<value_ints=[0,1,0,0,0,0]>() y = Pad(k, u)",                           "N T25+1 C8"),
    Case("resized",
         "u = Constant<value_floats=[1.0,1.0,2.0,2.0]>() y = Resize(x, , u)",                        "N C8 H8 W12"),
    Case("one image at a time",        "y = Transpose<perm=[0,2,3,1]>(x)", "N H4 W6 C8", picture="float[1,3,4,6]"),
    Case("any size", "u = Constant<value_ints=[0,0,-1]>() y = Reshape(x, u)", "N C8 H·W", picture="float[N,3,H,W]"),
]  # fmt: skip


def followed(case: Case) -> tuple[Tape, Followed]:
    text = f'<ir_version: 8, opset_import: ["" : 18]> g ({case.picture} p0) => (float y) {{ {TO_X} {case.body} }}'
    model = onnx.parser.parse_model(text)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    tape = Tape(load(model).proto)
    picture = find_picture(tape)
    assert picture is not None
    return tape, Followed(tape, picture)


def told(axes: Axes) -> str:
    """Axes as the table writes them: sizes that are symbols left out."""

    def atom(kind: str, size: object, before: int) -> str:
        return f"{kind}{size if isinstance(size, int) and kind != 'N' else ''}" + (f"+{before}" if kind == "T" else "")

    return " ".join("·".join(atom(x.kind, x.size, x.before) for x in axis) or "1" for axis in axes)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_axes_are_followed(case: Case):
    tape, known = followed(case)
    assert told(known.axes[tape.value("y")]) == case.axes
