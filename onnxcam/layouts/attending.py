"""Tensors that say how much each token of a picture looks at each other one."""

from __future__ import annotations

from dataclasses import dataclass

from onnxcam.graph import Value
from onnxcam.layouts.axes import BATCH, Atom, Axes, channels, is_spatial, size_of
from onnxcam.layouts.forms import Form, form_of


@dataclass(frozen=True, slots=True)
class Attending:
    """How a map of attention holds the grid, on its last axis and on the one before.

    Attributes:
        form: with the layout "NCQT", each token by each; "NQT" where heads lie on the axis of the images.
        heads: how many lie there; 0 where they have an axis of their own.
    """

    form: Form
    heads: int


def form_of_attention(value: Value, axes: Axes) -> Attending | None:
    """How the tensor holds the grid; None where it is not between all tokens of a picture, but a window's, or a few."""
    if len(axes) not in (3, 4) or axes[-1] != axes[-2] or any(map(is_spatial, axes[:-2])):
        return None
    form = form_of(value, ((Atom(BATCH, None),), axes[-1], channels(None)))
    heads = size_of(axes[0][1:]) if len(axes) == 3 else 0
    if form is None or not isinstance(heads, int) or any(atom.kind != BATCH for atom in axes[0][:1]):
        return None
    return Attending(Form("NQT" if heads else "NCQT", form.grid, form.prefix, form.order), heads)
