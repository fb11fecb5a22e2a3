"""A module as it is used: in evaluation mode, on arrays, and left as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch

from onnxcam.conversion import Arrays
from onnxcam_converters.torch.outputs import named_tensors

Run: TypeAlias = Callable[[Arrays], Arrays]
WRAPPERS = {
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
}


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """The author's own module, without what spreads it over devices or compiles it."""
    attribute = WRAPPERS.get(f"{type(module).__module__}.{type(module).__qualname__}")
    return unwrapped(getattr(module, attribute)) if attribute else module


def device_of(module: torch.nn.Module) -> torch.device:
    """Where its weights are."""
    tensors = (*module.parameters(), *module.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


@contextlib.contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """While it is entered, the module and all inside it are in evaluation mode, and nothing is noted for gradients."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, was_training in modes.items():
            part.training = was_training


def runner(module: torch.nn.Module) -> Run:
    """The module on arrays: one for each input, in order; one comes back for each output."""

    def run(arrays: Arrays) -> Arrays:
        device = device_of(module)
        with evaluating(module):
            output = module(*(torch.as_tensor(array).to(device) for array in arrays))
        return [tensor.cpu().numpy() for tensor in named_tensors(output).values()]

    return run
