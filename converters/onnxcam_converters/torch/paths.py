"""The output of every module inside a module, exposed while it is traced: what the names of layers stand for."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch

from onnxcam_converters.torch.outputs import first_tensor, named_tensors


class Exposure:
    """What came out of a module and of those inside it in the last pass.

    Attributes:
        names: of the module's own outputs, in order.
        paths: of the modules whose output follows them, in the order in which they ended.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.paths: list[str] = []
        self._found: dict[str, torch.Tensor] = {}

    def keep(self, path: str, output: Any) -> None:
        """Notes what a module gave; of several calls the last counts."""
        tensor = first_tensor(output)
        if tensor is not None:
            self._found.pop(path, None)
            # A copy: layers that work in place overwrite what they are given, and change it for whoever holds it.
            self._found[path] = tensor.clone()

    def close(self, output: Any) -> tuple[torch.Tensor, ...]:
        """All outputs in one row, the module's own first; the next pass starts anew."""
        own = named_tensors(output)
        self.names, self.paths = list(own), list(self._found)
        found, self._found = self._found, {}
        return (*own.values(), *found.values())


@contextlib.contextmanager
def exposed(module: torch.nn.Module) -> Iterator[Exposure]:
    """While it is entered, the module gives `Exposure.names`, then `Exposure.paths`, as one tuple of tensors."""
    exposure = Exposure()
    hooks = [
        part.register_forward_hook(lambda _module, _given, output, path=path: exposure.keep(path, output))
        for path, part in module.named_modules()
        if path and not isinstance(part, torch.jit.ScriptModule)
    ]
    hooks.append(module.register_forward_hook(lambda _module, _given, output: exposure.close(output)))
    try:
        yield exposure
    finally:
        for hook in hooks:
            hook.remove()


def spread(module: torch.nn.Module, tensors: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The tensor of every module path that has one, and of the others the nearest path that has.

    Args:
        module: whose paths are meant.
        tensors: from the first path of a module to its tensor; shared modules have several paths.
    """
    first: dict[torch.nn.Module, str] = {}
    same = {path: first.setdefault(part, path) for path, part in module.named_modules(remove_duplicate=False) if path}
    layers = {path: tensors[original] for path, original in same.items() if original in tensors}
    return layers, {path: near for path in same if path not in layers and (near := nearest(path, list(same), layers))}


def nearest(path: str, order: Sequence[str], known: Collection[str]) -> str | None:
    """The last known one just inside the path, else the innermost around it, else the one before it, else the first."""
    place = order.index(path)
    inside = [other for other in order if other in known and other.startswith(f"{path}.")]
    around = [other for other in order if other in known and path.startswith(f"{other}.")]
    before = [other for other in order[:place] if other in known]
    after = [other for other in order[place:] if other in known]
    inside = sorted(inside, key=lambda other: -other.count("."))
    return next(iter((*inside[-1:], *around[-1:], *before[-1:], *after)), None)
