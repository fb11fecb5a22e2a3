"""Gradients of the top logit by torch.autograd: by the picture, and by any tensor that is known by what it holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode
from torch_support import torch

Array = NDArray[Any]
SAME = 1e-3  # relative L2 below which two tensors are the same; one is in float32
LEFT_ALONE = frozenset(("__get__", "__set__", "retain_grad", "requires_grad_", "detach", "detach_"))


@dataclass(frozen=True)
class Place:
    """Which tensor of a run it is: the member of what a call gave, its axes, how near it is, and by which call."""

    call: int
    member: int
    axes: tuple[int, ...]
    distance: float
    function: str = ""


class Watch(TorchFunctionMode):
    """Shows every tensor that a call gives to `visit`, which may give another in its stead."""

    def __init__(self, visit: Callable[[int, int, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.visit, self.calls, self.function = visit, 0, ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What the call gives."""
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in LEFT_ALONE:
            return result
        self.calls, self.function = self.calls + 1, getattr(func, "__name__", "")
        if isinstance(result, torch.Tensor):
            return self.visit(self.calls, 0, result) if is_active(result) else result
        if type(result) in (tuple, list):
            parts = [
                self.visit(self.calls, place, part) if is_active(part) else part for place, part in enumerate(result)
            ]
            return type(result)(parts)
        return result


def is_active(x: Any) -> bool:
    """Whether gradients pass through it."""
    return isinstance(x, torch.Tensor) and x.requires_grad and x.is_floating_point()


def find_places(module: Callable[..., Any], x: torch.Tensor, wanted: Array, op_type: str = "") -> list[Place]:
    """Where an eager run holds that tensor, in the order of the run, whatever the order of its axes.

    Those that a function of the op's name made come first, of these the last: of what is nowhere negative ReLU is the
    identity, but not its derivative at zero, and so is a norm of what is normalised already.

    The nearest, and what equals them: a tensor before a ReLU may differ from the one behind it by very little.
    """
    target = np.asarray(wanted, np.float64)
    found: list[Place] = []

    def visit(call: int, member: int, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.numel() == target.size and (known := alignment(tensor.detach().double().numpy(), target)):
            found.append(Place(call, member, *known, watch.function))
        return tensor

    leaf = x.clone().requires_grad_()
    watch = Watch(visit)
    with watch:
        module(leaf)
    best = min((place.distance for place in found), default=0.0)
    nearest = [place for place in found if place.distance <= 1.01 * best]
    return sorted(nearest, key=lambda place: (place.function.rstrip("_") != op_type.lower(), -place.call))


def alignment(tensor: Array, target: Array) -> tuple[tuple[int, ...], float] | None:
    """The order of axes in which the tensor has the target's numbers, row by row, and how nearly it has."""
    scale = float(np.linalg.norm(target)) or 1.0
    if abs(float(np.linalg.norm(tensor)) - scale) > SAME * scale:
        return None
    flat = target.reshape(-1)
    for axes in itertools.permutations(range(tensor.ndim)) if tensor.ndim < 6 else [tuple(range(tensor.ndim))]:
        distance = float(np.linalg.norm(tensor.transpose(axes).reshape(-1) - flat)) / scale
        if distance <= SAME:
            return axes, distance
    return None


def gradients(
    module: Callable[..., Any], x: torch.Tensor, cotangent: Array, place: Place | None
) -> tuple[Array, Array | None]:
    """Of Σ cotangent · output, by the picture and by the tensor at that place; None where none reaches it."""
    kept: list[torch.Tensor] = []

    def visit(call: int, member: int, tensor: torch.Tensor) -> torch.Tensor:
        if place is None or (call, member) != (place.call, place.member):
            return tensor
        kept.append(torch.zeros_like(tensor, requires_grad=True))
        return tensor + kept[-1]

    leaf = x.clone().requires_grad_()
    with Watch(visit):
        output = module(leaf)
    found = torch.autograd.grad(output, [leaf, *kept], torch.from_numpy(cotangent).to(output.dtype), allow_unused=True)
    by_layer = found[1].permute(place.axes).numpy() if place and len(found) > 1 and found[1] is not None else None
    return found[0].numpy(), by_layer


def top_cotangents(outputs: Array) -> Array:
    """For each image one where its output is largest, else zero."""
    flat = outputs.reshape(len(outputs), -1)
    chosen = np.zeros_like(flat)
    chosen[np.arange(len(flat)), flat.argmax(axis=1)] = 1
    return chosen.reshape(outputs.shape)


def without_overwriting(module: torch.nn.Module) -> torch.nn.Module:
    """The module with nothing in place: a tensor's gradient is that of what it first held."""
    for part in module.modules():
        if getattr(part, "inplace", False) is True:
            part.inplace = False
    return module
