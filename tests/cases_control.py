"""Rows for If and Scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from conformance import Fixed, Row

YES, NO = Fixed(np.array(True)), Fixed(np.array(False))


def if_(name: str, then: str, other: str, *, before: str = "", **tensors: Any) -> Row:
    """y = u of the one branch where c is true, v of the other where it is not."""
    branches = f"then_branch = some () => (u) {{ {then} }}, else_branch = other () => (v) {{ {other} }}"
    return Row(f"If, {name}", f"{before} y = If <{branches}> (c)", **tensors)


def scan(name: str, body: str, inputs: str = "x, a", *, takes: int = 1, options: str = "", **tensors: Any) -> Row:
    """`body`: (what it takes) => (what it gives) { statements }."""
    outputs = tensors.pop("gives", "y, z")
    given = f"num_scan_inputs = {takes}, {options}{', ' if options else ''}body = b {body}"
    return Row(f"Scan, {name}", f"{tensors.pop('before', '')} {outputs} = Scan <{given}> ({inputs})", **tensors)


BRANCHES = [
    if_("taken", "u = Mul(x, w)", "v = Sin(x)", x=(2, 3), w=(2, 3), c=YES),
    if_("not taken: w has no part", "u = Mul(x, w)", "v = Sin(x)", x=(2, 3), w=(2, 3), c=NO),
    if_("one branch constant", "u = Sin(x)", "v = Identity(k)", x=(2, 3), c=YES, k=Fixed(np.ones((2, 3)))),
    if_("branches of different shapes", "u = Concat<axis=0>(x, x)", "v = Sin(x)", x=(2, 3), c=YES),
    if_(
        "decided by what goes into it",
        "u = Mul(x, x)",
        "e = Exp(x); v = Neg(e)",
        before="s = ReduceSum<keepdims=0>(x); zero = Sub(s, s); c = GreaterOrEqual(s, zero);",
        x=(2, 3),
    ),
    Row(
        "If, several outputs, one of them an integer",
        "y, n, z = If <then_branch = some () => (u, k, s) { u = Mul(x, w); k = Shape(x); s = Sin(u) }, "
        "else_branch = other () => (v, l, t) { v = Mul(x, x); l = Shape(w); t = Cos(x) }> (c)",
        outputs=("y", "z"),
        x=(2, 3),
        w=(2, 3),
        c=YES,
    ),
    Row(
        "If, only the second output matters",
        "a, z = If <then_branch = some () => (u, s) { u = Mul(x, x); s = Sin(x) }, "
        "else_branch = other () => (v, t) { v = Mul(x, x); t = Cos(x) }> (c); y = Mul(z, z)",
        x=(2, 3),
        c=NO,
    ),
    if_(
        "another within it",
        "u = If <then_branch = f () => (p) { p = Mul(x, x) }, else_branch = g () => (q) { q = Sin(x) }> (d)",
        "v = Neg(x)",
        x=(2, 3),
        c=YES,
        d=NO,
    ),
    if_(
        "a Scan within it",
        "u, s = Scan <num_scan_inputs = 1, body = b (h, e) => (i, o) "
        "{ m = Mul(h, e); i = Sin(m); o = Mul(i, w) }> (w, x)",
        "v = Neg(w)",
        x=(3, 2),
        w=(2,),
        c=YES,
    ),
    if_(
        "constants and a new shape within it",
        "t = Constant <value_ints = [-1]> (); r = Reshape(x, t); u = Mul(r, w)",
        "m = Neg(w); v = Mul(m, w)",
        x=(2, 3),
        w=(6,),
        c=YES,
    ),
]

BOTH = ("y", "z")
CELL = "(h, e) => (i, o) { m = Mul(h, e); i = Tanh(m); o = Mul(i, e) }"
CROSSING = "(h, e, f) => (i, o, p) { m = Mul(h, e); n = Add(m, f); i = Tanh(n); o = Mul(i, f); p = Sin(i) }"
SCANS = [
    scan("the states and what is laid together", CELL, outputs=BOTH, x=(2, 3), a=(4, 2, 3)),
    scan("only the last state matters", CELL, x=(2, 3), a=(4, 2, 3)),
    scan("only what is laid together matters", CELL, gives="z, y", x=(2, 3), a=(4, 2, 3)),
    scan(
        "a tensor from around",
        "(h, e) => (i, o) { m = Mul(h, w); n = Add(m, e); i = Tanh(n); o = Mul(i, w) }",
        outputs=BOTH,
        x=(2, 3),
        a=(4, 2, 3),
        w=(3,),
    ),
    scan(
        "forwards and backwards",
        CROSSING,
        "x, a, b",
        takes=2,
        options="scan_input_directions = [0, 1], scan_output_directions = [1, 0]",
        gives="y, z, q",
        outputs=("y", "z", "q"),
        x=(2,),
        a=(3, 2),
        b=(3, 2),
    ),
    scan(
        "along other axes",
        CROSSING,
        "x, a, b",
        takes=2,
        options="scan_input_axes = [1, -1], scan_output_axes = [-1, 1]",
        gives="y, z, q",
        outputs=("y", "z", "q"),
        x=(2,),
        a=(2, 3),
        b=(2, 3),
    ),
    scan(
        "several states that mix",
        "(g, h, e) => (i, j) { i = Mul(h, e); m = Add(g, e); j = Sin(m) }",
        "x, w, a",
        outputs=BOTH,
        x=(3,),
        w=(3,),
        a=(4, 3),
    ),
    scan(
        "a state that starts as a constant",
        "(g, h, e) => (i, j) { i = Mul(g, e); j = Sin(i) }",
        "x, w, a",
        outputs=("z",),
        x=(3,),
        a=(4, 3),
        w=Fixed(np.ones(3)),
    ),
    scan(
        "a count among the states",
        "(h, k, e) => (i, l) { one = Constant <value_int = 1> (); l = Add(k, one); f = CastLike(k, e); m = Mul(h, e); "
        "i = Add(m, f) }",
        "x, zero, a",
        x=(3,),
        a=(4, 3),
        zero=Fixed(np.array(0)),
    ),
    scan("linear: no state is saved", "(h, e) => (i) { m = Add(h, e); i = Add(m, m) }", gives="y", x=(3,), a=(4, 3)),
    scan(
        "one tensor in every role",
        "(h, e) => (i) { d = MatMul(x, h); i = Add(d, e) }",
        "x, r",
        before="r = Unsqueeze(x, axis);",
        gives="y",
        x=(2, 2),
        axis=Fixed(np.array([0])),
    ),
    scan(
        "another within it",
        "(h, e) => (i, o) { i, o = Scan <num_scan_inputs = 1, body = d (p, f) => (q, r) "
        "{ m = Mul(p, f); n = Add(m, w); q = Sin(n); r = Mul(q, w) }> (h, e) }",
        outputs=BOTH,
        x=(2,),
        a=(2, 3, 2),
        w=(2,),
    ),
    scan(
        "an If within it",
        "(h, e) => (i) { s = ReduceSum <keepdims = 0> (e); zero = Sub(s, s); c = Greater(s, zero); "
        "i = If <then_branch = t () => (u) { u = Mul(h, e) }, "
        "else_branch = f () => (v) { n = Sin(h); v = Mul(n, w) }> (c) }",
        gives="y",
        x=(2,),
        a=(4, 2),
        w=(2,),
    ),
    scan(
        "an initializer of its own and a new shape",
        "(h, e) => (i) <int64[1] t = {-1}> { f = Reshape(e, t); m = Mul(h, f); i = Sin(m) }",
        gives="y",
        x=(4,),
        a=(3, 2, 2),
    ),
    scan(
        "slices that nobody reads",
        "(h, e, f) => (i) { m = Mul(h, e); i = Sin(m) }",
        "x, a, k",
        takes=2,
        gives="y",
        x=(2,),
        a=(3, 2),
        k=Fixed(np.ones((3, 2))),
    ),
]

ROWS = [*BRANCHES, *SCANS]
