"""Rows for Loop."""

from __future__ import annotations

from typing import Any

import numpy as np
from conformance import Fixed, Row, positive

YES, NO = Fixed(np.array(True)), Fixed(np.array(False))
ONCE, THREE = Fixed(np.array(1)), Fixed(np.array(3))


def loop(name: str, body: str, inputs: str, **tensors: Any) -> Row:
    """`body`: (count, condition, what it carries) => (condition, what it gives) { statements }."""
    outputs = tensors.pop("gives", "y, z")
    return Row(f"Loop, {name}", f"{tensors.pop('before', '')} {outputs} = Loop <body = b {body}> ({inputs})", **tensors)


TURN = "(int64 n, bool c, h) => (d, i, o) { d = Identity(c); m = Mul(h, w); i = Sin(m); o = Mul(i, w) }"
UNTIL = (
    "(int64 n, bool c, h) => (d, i, o) "
    "{ i = Mul(h, w); o = Sin(i); s = ReduceSum <keepdims = 0> (i); d = Less(s, limit) }"
)
BOTH, HUGE = ("y", "z"), Fixed(np.array(1e9))
GROWING: dict[str, Any] = {"x": positive(2, 2), "w": positive(2) + 0.6, "yes": YES}
ROWS = [
    loop("so often", TURN, "three, , x", outputs=BOTH, x=(2, 3), w=(3,), three=THREE),
    loop("so often, and a condition", TURN, "three, yes, x", outputs=BOTH, x=(2, 3), w=(3,), three=THREE, yes=YES),
    loop("not once", TURN, "zero, , x", x=(2, 3), w=(3,), zero=Fixed(np.array(0))),
    loop("not once, by its condition", TURN, ", no, x", x=(2, 3), w=(3,), no=NO),
    loop("until a condition", UNTIL, ", yes, x", outputs=BOTH, limit=Fixed(np.array(20.0)), **GROWING),
    loop(
        "until a condition or so often",
        UNTIL,
        "one, yes, x",
        outputs=BOTH,
        limit=Fixed(np.array(1e9)),
        one=ONCE,
        **GROWING,
    ),
    loop(
        "how often is computed",
        TURN,
        "count, , x",
        before="s = Shape <end = 1> (x); two = Add(s, s); count = Squeeze(two);",
        outputs=BOTH,
        x=(2, 3),
        w=(3,),
    ),
    loop(
        "its count and its condition are read",
        "(int64 n, bool c, h) => (d, i, o) { d = Identity(c); f = CastLike(n, h); g = CastLike(c, h); m = Mul(h, f); "
        "p = Add(m, g); i = Sin(p); o = Mul(i, f) }",
        "three, yes, x",
        outputs=BOTH,
        x=(2, 3),
        three=THREE,
        yes=YES,
    ),
    loop(
        "picks by its count",
        "(int64 n, bool c, h) => (d, i, o) "
        "{ d = Identity(c); e = Gather(x, n); m = Mul(h, e); i = Sin(m); o = Mul(i, e) }",
        "three, , w",
        outputs=BOTH,
        x=(3, 2),
        w=(2,),
        three=THREE,
    ),
    loop(
        "several states, one an integer",
        "(int64 n, bool c, h, int64 j, g) => (d, i, l, p) { d = Identity(c); l = Add(j, n); f = CastLike(j, h); "
        "i = Mul(h, g); q = Add(g, f); p = Sin(q) }",
        "three, , x, zero, w",
        gives="y, k, z",
        outputs=BOTH,
        x=(3,),
        w=(3,),
        three=THREE,
        zero=Fixed(np.array(0)),
    ),
    loop(
        "linear: nothing is saved but the count",
        "(int64 n, bool c, h) => (d, i) { d = Identity(c); i = Add(h, h) }",
        "three, , x",
        gives="y",
        x=(3,),
        three=THREE,
    ),
    loop(
        "no state",
        "(int64 n, bool c) => (d, o) { d = Identity(c); f = CastLike(n, x); m = Mul(x, f); o = Sin(m) }",
        "three, yes",
        gives="y",
        x=(3,),
        three=THREE,
        yes=YES,
    ),
    loop(
        "another within it",
        "(int64 n, bool c, h) => (d, i, s) { d = Identity(c); i, o = Loop <body = e (int64 k, bool r, p) => (j, q, t) "
        "{ j = Identity(r); m = Mul(p, w); q = Sin(m); t = Mul(q, q) }> (n, , h); s = ReduceSum <keepdims = 0> (o) }",
        "three, , x",
        outputs=BOTH,
        x=(3,),
        w=(3,),
        three=THREE,
    ),
    loop(
        "something of another size in every turn",
        "(int64 n, bool c, h) => (d, i) { d = Identity(c); one = Constant <value_ints = [1]> (); end = Add(n, one); "
        "begin = Constant <value_ints = [0]> (); part = Slice(x, begin, end); e = Sin(part); "
        "s = ReduceSum <keepdims = 0> (e); m = Mul(h, s); i = Sin(m) }",
        "three, , w",
        gives="y",
        x=(3,),
        w=(2,),
        three=THREE,
    ),
]
