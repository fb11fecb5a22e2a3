"""Maps brought to the size of the picture, in the graph."""

from __future__ import annotations

from onnxcam.graph import Dim, Value


def resize(raw: Value, size: Value, *, places: str = "half_pixel") -> Value:
    """(N, h, w) → (N, H, W), bilinear with half-pixel centres, as cv2 and torch do it; of signals and volumes likewise.

    As a product with a matrix for each axis, a third of the time of a Resize in ONNX Runtime; but of signals by a
    Resize, since a minute of sound would have a matrix of gigabytes.

    Args:
        raw: (N, …), with one, two or three axes of space.
        size: how long these are to be, int64.
        places: where a sample lies, as Resize calls it.
    """
    shape, wanted = raw.shape or (None,) * 3, _sides(size)
    if len(shape) == 2:
        return raw if shape[1] is not None and shape[1] == wanted[0] else _lengthened(raw, size, places)
    for axis in reversed(range(1, len(shape))):
        if shape[axis] is None or shape[axis] != wanted[axis - 1]:
            raw = _stretched(raw, axis, _stretching(raw, axis, _entry(size, axis - 1), (shape[axis], places)))
    return raw


def in_blocks(raw: Value, size: Value) -> Value:
    """(N, h, w) → (N, H, W), place k of an axis being place ⌊k·h/H⌋ of before, as PyTorch's nearest has it.

    By whole numbers, for Resize divides by a rounded scale. Of signals and volumes likewise.
    """
    op = raw.tape
    for axis, given in enumerate((raw.shape or (None,) * 3)[1:], start=1):
        wanted = _entry(size, axis - 1)
        if wanted.constant is None or wanted.constant.tolist() != [given]:
            count = op.ints(given) if isinstance(given, int) else op.Shape(raw, start=axis, end=axis + 1)
            first, last, step = (op.Squeeze(end) for end in (op.ints(0), wanted, op.ints(1)))
            raw = op.Gather(raw, op.Range(first, last, step) * count / wanted, axis=axis)
    return raw


def _lengthened(raw: Value, size: Value, places: str) -> Value:
    """(N, l) → (N, L): the rows of a picture, each made longer."""
    op = raw.tape
    sizes = _joined(op.ints(1, 1), op.Shape(raw, start=0, end=1), _entry(size, 0))
    picture, how = op.Unsqueeze(raw, op.ints(0, 1)), {"mode": "linear", "coordinate_transformation_mode": places}
    return op.Squeeze(op.Resize(picture, None, None, sizes, **how), op.ints(0, 1))


def _sides(size: Value) -> tuple[Dim, ...]:
    """What is known of the entries: numbers, and the symbols of the tensor that they were measured of."""
    if size.constant is not None:
        return tuple(size.constant.tolist())
    node, count = size.producer, (size.shape or (0,))[0]
    if node is not None and node.op_type == "Gather" and (places := node.input(1).constant) is not None:
        sides = _sides(node.x)  # their axes do not lie beside one another
        return tuple(sides[place] for place in places.tolist())
    if node is None or node.op_type != "Shape" or node.x.shape is None:
        return (None,) * (count if isinstance(count, int) else 3)
    return node.x.shape[node.attributes.get("start", 0) : node.attributes.get("end")]


def _entry(size: Value, index: int) -> Value:
    """One of the sizes, int64 [1]: a constant where they are."""
    op = size.tape
    if size.constant is not None:
        return op.ints(int(size.constant[index]))
    return op.Slice(size, op.ints(index), op.ints(index + 1), op.ints(0))


def _stretched(raw: Value, axis: int, matrix: Value) -> Value:
    """The axis multiplied by a matrix (H, h)."""
    op, rank = raw.tape, len(raw.shape or (None,) * 3)
    if axis == rank - 1:
        return op.MatMul(raw, op.Transpose(matrix, perm=[1, 0]))
    if axis == rank - 2:
        return op.MatMul(matrix, raw)
    flat = op.Reshape(raw, op.ints(0, 0, -1))
    return op.Reshape(op.MatMul(matrix, flat), op.Concat(op.ints(0, -1), op.Shape(raw, start=axis + 1), axis=0))


def _stretching(raw: Value, axis: int, wanted: Value, how: tuple[Dim, str]) -> Value:
    """The matrix (H, h) that stretches an axis: what Resize makes of the identity. ONNX Runtime folds it at load."""
    op, (given, places) = raw.tape, how
    count = op.ints(given) if isinstance(given, int) else op.Shape(raw, start=axis, end=axis + 1)
    identity = op.EyeLike(op.Expand(op.number(0.0, raw), _joined(count, count)))
    plane = op.Unsqueeze(identity, op.ints(0, 1))
    stretched = op.Resize(
        plane,
        None,
        None,
        _joined(op.ints(1, 1), wanted, count),
        mode="linear",
        coordinate_transformation_mode=places,
    )
    return op.Squeeze(stretched, op.ints(0, 1))


def _joined(*sizes: Value) -> Value:
    """Lists of sizes as one: a constant where all are, which keeps the file small."""
    op, known = sizes[0].tape, [size.constant for size in sizes]
    if all(numbers is not None for numbers in known):
        return op.ints(*(int(n) for numbers in known if numbers is not None for n in numbers))
    return op.Concat(*sizes, axis=0)
