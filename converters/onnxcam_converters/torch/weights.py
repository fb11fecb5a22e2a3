"""Weights from files into modules."""

from __future__ import annotations

import argparse
import pickle
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch

from onnxcam.errors import InvalidSource, StateMismatch
from onnxcam_converters.torch.vetting import kind_of, refused_pickle, weights_only

State: TypeAlias = dict[str, torch.Tensor]
# Where training scripts keep the weights in their checkpoints, the likeliest first.
NESTED = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "params", "weights")
# Running averages of the weights: taken where there is nothing else.
AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema")
# Counters of training steps, which files of PyTorch before 0.4.1 lack.
COUNTERS = ("num_batches_tracked", "n_averaged")
# Records without behaviour, which checkpoints hold beside the weights.
RECORDS = [argparse.Namespace]


def read_state(path: Path) -> tuple[State, list[str]]:
    """The tensors in a file of weights by name, and what is to be said of where they were found.

    Takes safetensors, and pickles of PyTorch: state dicts, and checkpoints of training scripts and of Lightning.

    Raises:
        MissingWeights: if there is no such file.
        UnsafeSource: if it is a pickle of more than weights.
        InvalidSource: if it holds no weights.
    """
    kind = kind_of(path)
    if kind == "safetensors":
        return _read_safetensors(path), []
    if kind != "pickle":
        what = {"script": "a TorchScript program", "program": "an exported program"}[kind]
        raise InvalidSource(str(path), f"it is {what}, a model by itself; convert it without a factory")
    content = load_pickle(path)
    state, key = _find_state(content)
    if not state:
        raise InvalidSource(str(path), f"it holds no weights, but a {type(content).__name__}")
    others = [name for name in (*NESTED, *AVERAGES) if key and name != key and name in content]
    notes = [f"the weights are those under {key!r} in {path.name}"] if key else []
    return state, notes + [f"{path.name} holds {name!r} too, which was not taken" for name in others]


def load_pickle(path: Path) -> Any:
    """What a pickle holds, made of tensors, numbers, texts and containers only.

    Raises:
        UnsafeSource: if it would take more than that.
        InvalidSource: if it is damaged.
    """
    is_zip = _starts(path, b"PK")
    try:
        with weights_only(), torch.serialization.safe_globals(RECORDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the age of the file
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise refused_pickle(path) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InvalidSource(str(path), f"it is damaged ({_line(error)})") from error


def load_weights(module: torch.nn.Module, path: Path, state: State, model: str) -> list[str]:
    """Puts the weights into the module, and tells what was done to their names.

    Raises:
        StateMismatch: if they are not this module's.
    """
    matched, notes = match(state, module)
    missing, unexpected, shapes = differences(matched, module)
    if missing or unexpected or shapes:
        renamed = _renamed_by_owner(matched, module)
        if renamed is None:
            raise StateMismatch(str(path), model, missing=missing, unexpected=unexpected, shapes=shapes)
        matched, notes = renamed, [*notes, f"{path.name}: names brought to those of timm by timm's own rules"]
    module.load_state_dict(matched, strict=False)
    return notes


def match(state: State, module: torch.nn.Module) -> tuple[State, list[str]]:
    """The weights under the module's own names, if a prefix is all that differs; else as they are."""
    own = module.state_dict()
    wanted = {name for name in own if not name.endswith(COUNTERS)}
    best, prefix = max(_without_prefixes(state), key=lambda candidate: len(wanted & candidate[0].keys()))
    notes = [f"{prefix!r} was taken off the names of the weights"] if prefix else []
    if prefix and wanted <= best.keys() and (left := len(state) - len(best)):
        notes.append(f"{left} weights without {prefix!r} were left out")
    elif prefix and len(best) < len(state) and not wanted <= best.keys():
        return state, []
    passing = _recomputed(module) | {name for name in best if name.endswith(COUNTERS)}
    return {name: tensor for name, tensor in best.items() if name in own or name not in passing}, notes


def differences(state: State, module: torch.nn.Module) -> tuple[list[str], list[str], list[str]]:
    """The names that the module has and the file lacks, the other way round, and those of another shape."""
    own = module.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(COUNTERS)]
    unexpected = [name for name in state if name not in own]
    shapes = [
        f"{name} {list(tensor.shape)} instead of {list(own[name].shape)}"
        for name, tensor in state.items()
        if name in own and tensor.shape != own[name].shape
    ]
    return missing, unexpected, shapes


def classes_in(state: State, module: torch.nn.Module) -> int | None:
    """How many classes the file is for, where that is all in which it differs from the module; None otherwise."""
    matched, _ = match(state, module)
    missing, unexpected, _ = differences(matched, module)
    own = module.state_dict()
    odd = {name for name, tensor in matched.items() if name in own and tensor.shape != own[name].shape}
    if missing or unexpected or not odd:
        return None
    is_head = all(matched[name].shape[1:] == own[name].shape[1:] and matched[name].ndim for name in odd)
    counts = {len(matched[name]) for name in odd} if is_head else set()
    return counts.pop() if len(counts) == 1 else None


def _starts(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _read_safetensors(path: Path) -> State:
    # Comes with timm and transformers, not with PyTorch.
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise InvalidSource(str(path), "it can be read once safetensors is there (pip install safetensors)") from error
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise InvalidSource(str(path), f"it is damaged ({_line(error)})") from error


def _find_state(content: Any) -> tuple[State, str]:
    """The weights in what a file holds, and the key that they lie under, if any."""
    if not isinstance(content, Mapping):
        return {}, ""
    if tensors := {str(name): x for name, x in content.items() if isinstance(x, torch.Tensor)}:
        return tensors, ""
    for key in (*NESTED, *AVERAGES):
        found, inner = _find_state(content.get(key))
        if found:
            return found, f"{key}.{inner}" if inner else key
    return {}, ""


def _without_prefixes(state: State) -> Iterator[tuple[State, str]]:
    """The weights as they are; then those under each prefix that names begin with, without it."""
    yield state, ""
    prefixes = {".".join(name.split(".")[:depth]) + "." for name in state for depth in range(1, name.count(".") + 1)}
    for prefix in sorted(prefixes, key=lambda text: (text.count("."), text)):
        yield {name.removeprefix(prefix): x for name, x in state.items() if name.startswith(prefix)}, prefix


def _recomputed(module: torch.nn.Module) -> set[str]:
    """Names of the tensors that the module makes by itself and does not save, though earlier versions of it did."""
    return {name for name, _ in module.named_buffers()} - module.state_dict().keys()


def _renamed_by_owner(state: State, module: torch.nn.Module) -> State | None:
    """The weights as timm renames those of the original authors' files; None if that does not make them fit."""
    rename = getattr(sys.modules.get(type(module).__module__), "checkpoint_filter_fn", None)
    if rename is None or not type(module).__module__.startswith("timm."):
        return None
    try:
        renamed = dict(rename(dict(state), module))
    except (RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError, AssertionError):
        return None  # not a file that it knows
    return None if any(differences(renamed, module)) else renamed


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
