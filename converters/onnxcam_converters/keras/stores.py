"""Where the weights of a Keras file lie: by name in the old files, by number in the new ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from onnxcam.errors import MissingWeights
from onnxcam_converters.keras.layer import Array
from onnxcam_converters.keras.specs import Spec

# Parts of layers that the new files call otherwise than their variables are called.
PARTS = {"attention_output": "output_dense"}


class Weights(Protocol):
    """The weights of a model or of a layer."""

    def split(self, layers: Sequence[Spec]) -> dict[str, Weights]:
        """Those of each of the model's layers, by the layer's name."""

    def part(self, name: str) -> Weights:
        """Those of a layer within the layer."""

    def arrays(self, names: Sequence[str]) -> list[Array]:
        """The arrays, as many as there are, in Keras's order; in that of the names where they can be told apart."""


@dataclass(frozen=True, slots=True)
class NamedWeights:
    """The weights of files up to Keras 2, and of .h5 files of Keras 3: a list of names for each layer of the top.

    A model within the model has one list for all of its layers: what can be trained first, then the rest.

    Attributes:
        entries: names as paths, and where the data are.
        source: the file.
    """

    entries: tuple[tuple[tuple[str, ...], Any], ...]
    source: str

    @classmethod
    def of_file(cls, group: Any, source: str) -> NamedWeights:
        """All that the group of a file lists, with the layer of the top as first part of each name."""
        entries = []
        for layer in _listed(group, "layer_names"):
            for weight in _listed(group[layer], "weight_names"):
                if weight not in group[layer]:
                    raise MissingWeights(source, f"layer {layer!r} lists {weight!r}, which is not there")
                entries.append(((layer, *weight.split("/")), group[layer][weight]))
        return cls(tuple(entries), source)

    def split(self, layers: Sequence[Spec]) -> dict[str, Weights]:
        """Each weight goes to the layer that the first telling part of its name names."""
        owners = _owners(layers)
        found: dict[str, list[Any]] = {spec.name: [] for spec in layers}
        strangers: dict[str, list[Any]] = {}
        for path, data in self.entries:
            at, owner = _owner(path, owners)
            if owner is None:
                strangers.setdefault("/".join(path[:-1]), []).append((path, data))
            else:
                found[owner].append((path[at + 1 :] if path[at] == owner else path[at:], data))
        self._place(strangers, found, layers)
        return {name: NamedWeights(tuple(entries), self.source) for name, entries in found.items()}

    def _place(self, strangers: Mapping[str, list[Any]], found: dict[str, list[Any]], layers: Sequence[Spec]) -> None:
        """Weights under names that no layer has any more go, in their order, to the layers that are left without."""
        left = [spec for spec in layers if not found[spec.name] and spec.may_have_weights]
        if strangers and len(left) != len(strangers):
            names = ", ".join(list(strangers)[:3])
            raise MissingWeights(
                self.source, f"it has weights under names that no layer of the architecture has ({names})"
            )
        for spec, entries in zip(left, strangers.values(), strict=bool(strangers)):
            found[spec.name] = entries

    def part(self, name: str) -> Weights:
        """Those whose name has a part that begins like it: "forward_lstm" for "forward_layer"; else all."""
        stem = name.split("_")[0]
        entries = tuple(e for e in self.entries if any(p.split("_")[0] == stem for p in e[0][:-1]))
        return NamedWeights(entries if entries and stem != "layer" else self.entries, self.source)

    def arrays(self, names: Sequence[str]) -> list[Array]:
        """In the file's order; in that of the names where the file has just these."""
        last = [path[-1].split(":")[0] for path, _ in self.entries]
        wanted = [name.rpartition("/")[2] for name in names]
        order: Iterable[int] = range(len(last))
        if sorted(last) == sorted(wanted) and len(set(last)) == len(last):
            order = [last.index(name) for name in wanted]
        return [read(self.entries[index][1], self.source) for index in order]


@dataclass(frozen=True, slots=True)
class NumberedWeights:
    """The weights of .keras and .weights.h5 files: a group for each layer by its class, with numbered arrays.

    Attributes:
        group: of the model or layer.
        source: the file.
    """

    group: Any
    source: str

    def split(self, layers: Sequence[Spec]) -> dict[str, Weights]:
        """The groups are called after the classes, and counted where a class comes again."""
        counts: dict[str, int] = {}
        found: dict[str, Weights] = {}
        inner = self.group.get("layers", self.group.get("_layer_checkpoint_dependencies", {}))
        for spec in layers:
            if spec.is_operation:
                continue
            stem = snake_case(spec.group_kind)
            counts[stem] = counts.get(stem, -1) + 1
            key = f"{stem}_{counts[stem]}" if counts[stem] else stem
            if key in inner:
                found[spec.name] = NumberedWeights(inner[key], self.source)
        return found

    def part(self, name: str) -> Weights:
        """The group of that name, or of one that tells of it: "_query_dense" for "query"."""
        return NumberedWeights(self._group(self.group, name), self.source)

    def _group(self, group: Any, name: str) -> Any:
        alias = PARTS.get(name, name)
        near = [key for key in group if alias in key]
        chosen = name if name in group else next(iter(sorted(near, key=len)), None)
        if chosen is None:
            raise MissingWeights(self.source, f"{group.name} has no {name!r}")
        return group[chosen]

    def arrays(self, names: Sequence[str]) -> list[Array]:
        """For each part of the layer its arrays, in the order of their numbers."""
        counts: dict[str, int] = {}
        found = []
        for name in names:
            part = name.rpartition("/")[0]
            group = self.group
            for step in filter(None, part.split("/")):
                group = self._group(group, step)
            index = counts[part] = counts.get(part, -1) + 1
            data = group.get("vars", {})
            if str(index) not in data:
                break
            found.append(read(data[str(index)], self.source))
            if name == names[-1] and str(index + 1) in data:
                found.append(read(data[str(index + 1)], self.source))
        return found


def read(data: Any, source: str) -> Array:
    """The array; bfloat16, which HDF5 does not know, as float32.

    Raises:
        MissingWeights: if the file is damaged there.
    """
    try:
        array = np.asarray(data[()])
    except (OSError, RuntimeError, ValueError) as error:
        raise MissingWeights(source, f"{data.name} cannot be read ({error})") from error
    if array.dtype.kind == "V" and array.dtype.itemsize == 2:
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array


def snake_case(name: str) -> str:
    """The class name as Keras writes it in files: "Conv2DTranspose" is "conv2d_transpose"."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _listed(group: Any, name: str) -> list[str]:
    """The names in an attribute, which is cut in pieces "name0", "name1" where it is long."""
    keys = [name] if name in group.attrs else []
    while f"{name}{len(keys)}" in group.attrs:
        keys.append(f"{name}{len(keys)}")
    texts = [text for key in keys for text in group.attrs[key]]
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in texts]


def _names_within(spec: Spec) -> list[str]:
    """The names of the layers in a model, of all depths."""
    return [name for inner in spec.layers for name in (inner.name, *_names_within(inner))]


def _owners(layers: Sequence[Spec]) -> dict[str, str]:
    """The layer of this model that each layer name, its own and those within it, stands for."""
    within = [(name, spec.name) for spec in layers for name in _names_within(spec)]
    times = Counter(name for name, _ in set(within))
    return {name: owner for name, owner in within if times[name] == 1} | {spec.name: spec.name for spec in layers}


def _owner(path: Sequence[str], owners: Mapping[str, str]) -> tuple[int, str | None]:
    """Which part of a weight's name tells of a layer, and of which: "conv1" does, and "conv1_1", a second of that name.

    In the files of Keras 1 there is but one part, "conv1_W".
    """
    for index, part in enumerate(path[:-1]):
        if part in owners:
            return index, owners[part]
    for index, part in enumerate(path[:-1]):
        stem, _, number = part.rpartition("_")
        if number.isdigit() and stem in owners:
            return index, owners[stem]
    stem = path[0] if len(path) == 1 else ""
    while "_" in stem:
        stem = stem.rpartition("_")[0]
        if stem in owners:
            return 0, owners[stem]
    return 0, None
