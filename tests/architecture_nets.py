"""Small nets of several architectures as ONNX text, with random weights: what methods are tried on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
from small_nets import CNN, cnn
from small_nets import net as small_net

TOKENS, WIDTH, HEADS = 16, 8, 2
SIZES = """
    i0 = Constant<value_ints=[0]>()  i1 = Constant<value_ints=[1]>()  i2 = Constant<value_ints=[2]>()
    to_tokens = Constant<value_ints=[0, 8, -1]>()  to_heads = Constant<value_ints=[0, -1, 2, 4]>()
    from_heads = Constant<value_ints=[0, -1, 8]>()  first = Constant<value_int=0>()
"""
# A convolution whose 4 x 4 patches become 16 tokens of 8 channels.
PATCHES = """
    patches = Conv<strides=[4,4]>(x, embed)  flat = Reshape(patches, to_tokens)
    t = Transpose<perm=[0,2,1]>(flat)
"""
PATCH_WEIGHTS = {"embed": (8, 3, 4, 4)}


def model(text: str, weights: Mapping[str, tuple[int, ...]], *, seed: int = 0) -> onnx.ModelProto:
    """The graph, with random weights of these shapes; those called scale… are near 1."""
    found = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}')
    rng = np.random.default_rng(seed)
    for name, shape in weights.items():
        values = rng.normal(1.0 if name.startswith("scale") else 0.0, 0.4, shape).astype(np.float32)
        found.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return found


def attention(i: int, mask: str = "") -> str:
    """A block of a transformer: t{i} to t{i+1}, of two heads of four channels each."""
    heads = "".join(
        f"{x}a{i} = MatMul(n{i}, {x}w{i})  {x}h{i} = Reshape({x}a{i}, to_heads)  "
        f"{x}{i} = Transpose<perm={'[0,2,3,1]' if x == 'k' else '[0,2,1,3]'}>({x}h{i})\n"
        for x in "qkv"
    )
    masked = f"e{i} = Add(d{i}, {mask})" if mask else f"e{i} = Identity(d{i})"
    return f"""
    n{i} = LayerNormalization(t{i}, scale{i})
    {heads}
    d{i} = MatMul(q{i}, k{i})  {masked}  a{i} = Softmax<axis=-1>(e{i})
    o{i} = MatMul(a{i}, v{i})  p{i} = Transpose<perm=[0,2,1,3]>(o{i})  r{i} = Reshape(p{i}, from_heads)
    w{i} = MatMul(r{i}, ow{i})  s{i} = Add(t{i}, w{i})
    m{i} = LayerNormalization(s{i}, scales{i})  u{i} = MatMul(m{i}, up{i})  z{i} = Relu(u{i})
    g{i} = MatMul(z{i}, down{i})  t{i + 1} = Add(s{i}, g{i})
    """


def attention_weights(i: int) -> dict[str, tuple[int, ...]]:
    square = {f"{x}w{i}": (8, 8) for x in "qkvo"}
    return {**square, f"scale{i}": (8,), f"scales{i}": (8,), f"up{i}": (8, 16), f"down{i}": (16, 8)}


def vit() -> onnx.ModelProto:
    """A class token before 16 tokens of the picture, two blocks, a norm, a dense layer on the class token."""
    text = f"""g (float[N,3,16,16] x) => (float[N,5] y) {{ {SIZES} {PATCHES}
    n = Shape<start=0, end=1>(x)  ones = Constant<value_ints=[1, 8]>()  size = Concat<axis=0>(n, ones)
    many = Expand(token, size)  with = Concat<axis=1>(many, t)  t0 = Add(with, places)
    {attention(0)} {attention(1)}
    last = LayerNormalization(t2, scale)  c = Gather<axis=1>(last, first)  y = Gemm(c, head, bias)
    }}"""
    own = {"token": (1, 1, 8), "places": (1, 17, 8), "scale": (8,), "head": (8, 5), "bias": (5,)}
    return model(text, {**PATCH_WEIGHTS, **own, **attention_weights(0), **attention_weights(1)})


def windows() -> onnx.ModelProto:
    """Attention within the four windows of four places each, with a mask for each window of each picture."""
    text = f"""g (float[N,3,16,16] x) => (float[N,5] y) {{ {SIZES}
    patches = Conv<strides=[4,4]>(x, embed)  rows = Transpose<perm=[0,2,3,1]>(patches)
    parted = Constant<value_ints=[0, 2, 2, 2, 2, 8]>()  w6 = Reshape(rows, parted)
    apart = Transpose<perm=[0,1,3,2,4,5]>(w6)
    windowed = Constant<value_ints=[-1, 4, 8]>()  t0 = Reshape(apart, windowed)
    n = Shape<start=0, end=1>(x)  fixed = Constant<value_ints=[1, 1, 1, 1]>()  size = Concat<axis=0>(n, fixed)
    all = Expand(mask, size)  as_rows = Constant<value_ints=[-1, 1, 4, 4]>()  masks = Reshape(all, as_rows)
    {attention(0, "masks")}
    together = Constant<value_ints=[-1, 2, 2, 2, 2, 8]>()  b6 = Reshape(t1, together)
    joined = Transpose<perm=[0,1,3,2,4,5]>(b6)  as_tokens = Constant<value_ints=[0, 16, 8]>()
    back = Reshape(joined, as_tokens)  last = LayerNormalization(back, scale)
    c = ReduceMean<keepdims=0>(last, i1)  y = Gemm(c, head, bias)
    }}"""
    own = {"mask": (1, 4, 1, 4, 4), "scale": (8,), "head": (8, 5), "bias": (5,)}
    return model(text, {**PATCH_WEIGHTS, **own, **attention_weights(0)})


def interrupted() -> onnx.ModelProto:
    """Attention between all places, then within rows of them, then between all again."""
    text = f"""g (float[N,3,16,16] x) => (float[N,5] y) {{ {SIZES} {PATCHES}
    t0 = Identity(t)  {attention(0)}
    by_row = Constant<value_ints=[-1, 4, 8]>()  rows = Reshape(t1, by_row)
    {attention(2).replace("(t2,", "(rows,")}
    as_tokens = Constant<value_ints=[-1, 16, 8]>()  t4 = Reshape(t3, as_tokens)  {attention(4)}
    c = ReduceMean<keepdims=0>(t5, i1)  y = Gemm(c, head, bias)
    }}"""
    blocks = {**attention_weights(0), **attention_weights(2), **attention_weights(4)}
    return model(text, {**PATCH_WEIGHTS, "head": (8, 5), "bias": (5,), **blocks})


def late_token() -> onnx.ModelProto:
    """A class token that comes in behind the first of two blocks, as in ConViT."""
    text = f"""g (float[N,3,16,16] x) => (float[N,5] y) {{ {SIZES} {PATCHES}
    t0 = Identity(t)  {attention(0)}
    n = Shape<start=0, end=1>(x)  ones = Constant<value_ints=[1, 8]>()  size = Concat<axis=0>(n, ones)
    many = Expand(token, size)  t2 = Concat<axis=1>(many, t1)  {attention(2)}
    c = Gather<axis=1>(t3, first)  y = Gemm(c, head, bias)
    }}"""
    own = {"token": (1, 1, 8), "head": (8, 5), "bias": (5,)}
    return model(text, {**PATCH_WEIGHTS, **own, **attention_weights(0), **attention_weights(2)})


def planes() -> onnx.ModelProto:
    """Attention between all places whose result is laid back on rows and columns, before it is added."""
    text = f"""g (float[N,3,16,16] x) => (float[N,5] y) {{ {SIZES} {PATCHES}
    t0 = Identity(t)  {attention(0)}
    turned = Transpose<perm=[0,2,1]>(w0)  as_plane = Constant<value_ints=[0, 8, 4, 4]>()
    plane = Reshape(turned, as_plane)  s = Add(patches, plane)  u = Conv(s, wide)  z = Relu(u)  d = Conv(z, narrow)
    b = Add(s, d)  m = GlobalAveragePool(b)  f = Flatten(m)  y = Gemm(f, head, bias)
    }}"""
    own = {"wide": (16, 8, 1, 1), "narrow": (8, 16, 1, 1), "head": (8, 5), "bias": (5,)}
    return model(text, {**PATCH_WEIGHTS, **own, **attention_weights(0)})


def mixer() -> onnx.ModelProto:
    """A block that mixes places, then channels; the mean over places; a dense layer."""
    text = f"""g (float[N,3,16,16] x) => (float[N,5] y) {{ {SIZES} {PATCHES}
    n0 = LayerNormalization(t, scale0)  turned = Transpose<perm=[0,2,1]>(n0)
    u0 = MatMul(turned, up0)  z0 = Relu(u0)  d0 = MatMul(z0, down0)  back = Transpose<perm=[0,2,1]>(d0)
    s0 = Add(t, back)  n1 = LayerNormalization(s0, scale1)
    u1 = MatMul(n1, up1)  z1 = Relu(u1)  d1 = MatMul(z1, down1)  s1 = Add(s0, d1)
    last = LayerNormalization(s1, scale)  c = ReduceMean<keepdims=0>(last, i1)  y = Gemm(c, head, bias)
    }}"""
    own = {"scale0": (8,), "scale1": (8,), "scale": (8,), "head": (8, 5), "bias": (5,)}
    mlps = {"up0": (16, 24), "down0": (24, 16), "up1": (8, 24), "down1": (24, 8)}
    return model(text, {**PATCH_WEIGHTS, **own, **mlps})


def channels_last() -> onnx.ModelProto:
    """A net of pictures (N, H, W, C) that keeps its activations so, but within convolutions."""
    text = """g (float[N,16,16,3] x) => (float[N,5] y) {
    x0 = Transpose<perm=[0,3,1,2]>(x)  c1 = Conv<pads=[1,1,1,1]>(x0, w1, b1)  h1 = Transpose<perm=[0,2,3,1]>(c1)
    r1 = Relu(h1)  x1 = Transpose<perm=[0,3,1,2]>(r1)  c2 = Conv<pads=[1,1,1,1], strides=[2,2]>(x1, w2, b2)
    h2 = Transpose<perm=[0,2,3,1]>(c2)  r2 = Relu(h2)
    space = Constant<value_ints=[1, 2]>()  m = ReduceMean<keepdims=0>(r2, space)  y = Gemm(m, head, bias)
    }"""
    weights = {"w1": (6, 3, 3, 3), "b1": (6,), "w2": (8, 6, 3, 3), "b2": (8,), "head": (8, 5), "bias": (5,)}
    return model(text, weights)


def two_inputs() -> onnx.ModelProto:
    """A convolutional net that takes a mask of the picture's places beside it."""
    start = "m = Cast<to=1>(pixel_mask)  i = Constant<value_ints=[1]>()  m4 = Unsqueeze(m, i)  xm = Mul(x, m4)"
    body = start + CNN.replace("(x, w1, b1)", "(xm, w1, b1)") + "y = Gemm(flat, w3, b3)"
    return small_net(body, x="float[N,3,16,16] x, int64[N,H,W] pixel_mask")


def dense() -> onnx.ModelProto:
    """No layer with places: the pixels themselves are all that can be explained."""
    text = """g (float[N,3,16,16] x) => (float[N,5] y) {
    f = Flatten(x)  u = Gemm(f, w1, b1)  r = Relu(u)  y = Gemm(r, w2, b2)
    }"""
    return model(text, {"w1": (768, 12), "b1": (12,), "w2": (12, 5), "b2": (5,)})


NETS = {
    "cnn": cnn,
    "vit": vit,
    "windows": windows,
    "mixer": mixer,
    "channels last": channels_last,
    "two inputs": two_inputs,
    "dense": dense,
}
