"""The default layer: the last tensor with a grid before space comes to its end on the way to the score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from onnxcam.graph import Node, Value
from onnxcam.layouts.forms import Form
from onnxcam.layouts.reach import MAXIMA, Reach

# A pool only repeats what lies before it at a lower resolution; others move it, or pass it on.
POOLS = frozenset("MaxPool AveragePool LpPool Dropout Identity Transpose Cast QuantizeLinear DequantizeLinear".split())
PRODUCTS = frozenset(("MatMul", "Gemm", "Conv", "Einsum", "MatMulInteger", "ConvInteger"))
# What an attention does to its input before places meet: a product with weights, a bias, heads parted from one another.
PROJECTING = PRODUCTS | frozenset(
    (
        "Add",
        "Mul",
        "Div",
        "Reshape",
        "Transpose",
        "Split",
        "Slice",
        "Gather",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        "Cast",
        "DynamicQuantizeLinear",
    )
)
AVERAGED = "the last spatial activation before space is averaged or flattened away"
ATTENDED = "the last spatial activation before a last attention gathers its places: behind it none reaches the score"


@dataclass(frozen=True, slots=True)
class Choice:
    """The tensor taken when none is named, and why."""

    value: Value
    reason: str


def choose(reach: Reach, forms: Mapping[Value, Form]) -> Choice | None:
    """The default layer; None if no tensor with a grid reaches the score.

    Space ends where an op gives the score something of which no place can be told any more: a mean, a flattening with
    a dense layer, an attention of which only the class token goes on. The default is the last tensor that all places
    pass on their way to such ends, has rows and columns that can be told, and still has a gradient at every place:

    - of a convolutional net, or one that averages its tokens, the last activation before the mean (behind a last norm);
      of one that closes with a pool, what lies before that.
    - of a net with a class token, the input of the last attention that reads tokens of the picture: of ViT the output
      of the last block's first norm. Queries, keys and values that are projected from it are passed over.
    - where each frame of a video has class tokens, the same of the attention that they gather the frame's places with.
    - beside another way to the score a maximum over all places is none: only one of them has a gradient there.
    - where several maps go to the score on separate ways, as of two scales, the last map of the last way; what lies
      before they part only if it has the same grid.
    """
    forms = {value: form for value, form in forms.items() if not reach.dead.get(value)}
    found = _chosen(reach, forms)
    if found is None or not any(end.op_type in MAXIMA for end in reach.ends()):
        return found
    beside = _chosen(reach.without_maxima(), forms)
    return found if beside is None or forms[beside.value].grid != forms[found.value].grid else beside


def _chosen(reach: Reach, forms: Mapping[Value, Form]) -> Choice | None:
    ends = [node for end in reach.ends() for node in _gathering(end, reach, forms) or [end]]
    last = (_last_common(reach, forms, ends[:1]) or _last(reach, forms, ends[0])) if ends else None
    if last is None:
        return None
    common = _last_common(reach, forms, ends)
    if common is not None and forms[common].grid == forms[last].grid:
        last = common
    return Choice(_before_pools(last, forms), ATTENDED if any(_is_attention(end, reach) for end in ends) else AVERAGED)


def _last_common(reach: Reach, forms: Mapping[Value, Form], ends: Sequence[Node]) -> Value | None:
    """The last tensor with a grid that all places pass on their way to the ends."""
    cuts = list[Value]()
    for value, is_alone in _back(reach, ends):
        if is_alone:
            cuts.append(value)
        if is_alone and value in forms and not _is_projection(value, reach):
            break
    known = [value for value in cuts if value in forms]
    if any(_is_attention(end, reach) for end in ends):
        known = _projected_from(cuts, forms) or known
    return next(iter(known), None)


def _last(reach: Reach, forms: Mapping[Value, Form], end: Node) -> Value | None:
    """The last tensor with a grid on any of the ways to the end."""
    return next((value for value, _ in _back(reach, [end]) if value in forms), None)


def _back(reach: Reach, ends: Sequence[Node]) -> Iterator[tuple[Value, bool]]:
    """The tensors whose places go to the ends, the last first, up to where a way begins at the picture itself.

    With each comes whether it is alone: then all places pass it.
    """
    order = {value: index for index, node in enumerate(reach.nodes) for value in node.outputs}
    front = {value for end in ends for value in reach.live_inputs(end)}
    while front:
        value = max(front, key=order.__getitem__)
        yield value, len(front) == 1
        before = reach.live_inputs(value.producer) if value.producer is not None else []
        front = (front - {value}).union(before) if before else set()


def _projected_from(cuts: Sequence[Value], forms: Mapping[Value, Form]) -> list[Value]:
    """What queries, keys and values are made of in one product: the tensors with a grid before it."""
    products = (i for i, value in enumerate(cuts) if value.producer is not None and value.producer.op_type in PRODUCTS)
    first = next(products, None)
    return [] if first is None else [value for value in cuts[first + 1 :] if value in forms]


def _is_projection(value: Value, reach: Reach) -> bool:
    """Whether it is made of one tensor of the picture's by what projects."""
    node = value.producer
    return node is not None and node.op_type in PROJECTING and len(reach.live_inputs(node)) == 1


def _gathering(end: Node, reach: Reach, forms: Mapping[Value, Form]) -> list[Node]:
    """The attention by which class tokens of the frames have gathered their places, where frames end later; or none."""
    if _is_attention(end, reach):
        return []
    behind = takewhile(lambda value: value not in forms, (value for value, _ in _back(reach, [end])))
    makers = (value.producer for value in behind if reach.dead.get(value))
    return [node for node in makers if node is not None and _is_attention(node, reach)][:1]


def _is_attention(end: Node, reach: Reach) -> bool:
    """Whether places are weighed with weights that come from the picture too."""
    return end.op_type in ("MatMul", "Einsum") and sum(x in reach.followed.reached for x in end.inputs) > 1


def _before_pools(value: Value, forms: Mapping[Value, Form]) -> Value:
    while value.producer is not None and value.producer.op_type in POOLS and value.producer.inputs[0] in forms:
        value = value.producer.x
    return value
