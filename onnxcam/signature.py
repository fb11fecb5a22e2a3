"""What an explain graph takes and gives, and the checks before it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxcam.arrays import form_of
from onnxcam.errors import InputMismatch, InvalidMetadata, InvalidTarget, TargetOutOfRange, UnknownChoice
from onnxcam.fillings import KINDS, Dims, filled, fits, readable
from onnxcam.metadata import Metadata
from onnxcam.portions import OF_TARGETS, in_portions
from onnxcam.providers import CUDA, bound, failing
from onnxcam.targets import Classes

TARGET, TARGET_BOX, TARGET_CONFIDENCE = "target", "target_box", "target_confidence"
PARTS = ("activation", "gradient")
OWN_OUTPUTS = ("heatmap", "target_index", "target_score")
OTHER_MISSING = (
    "the model needs it beside the picture, pass inputs={{{name!r}: array}} (on the command line: "
    "--input {name}=FILE.npy)"
)
MISSING = {
    "reference": "what is the picture to be compared with? Pass reference=, a picture or a vector (on the command "
    "line: --reference FILE)",
}
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(double)": "float64",
}
OTHER_DTYPES = {f"tensor({name})": name for name in "int8 int16 int32 int64 uint16 uint32 uint64 bool".split()} | DTYPES


class Signature:
    """The inputs and outputs of a session on an explain graph; nothing in it changes after it is made.

    Attributes:
        batch: how many pictures the graph takes at a time, `run` making the best of other numbers; None: any number.
        needed: the outputs that an explanation is made of.
        form: how signals or volumes are laid out; None where it takes pictures.
    """

    def __init__(self, session: Any, metadata: Metadata) -> None:
        self._session, self._metadata = session, metadata
        self._inputs = {entry.name: entry for entry in session.get_inputs()}
        self._outputs = [entry.name for entry in session.get_outputs()]
        defaults = {entry.name: entry for entry in session.get_overridable_initializers()}
        self._entries = {**self._inputs, **defaults}
        self.optional = {name: entry.shape for name, entry in defaults.items() if name != TARGET}
        # A graph for a method of many passes gives what that asks for, and has no heatmap of its own.
        own = [name for name in OWN_OUTPUTS if metadata.driver is None or name in self._outputs or name != "heatmap"]
        boxes = [name for name in (TARGET_BOX, TARGET_CONFIDENCE) if name in self._outputs]
        self.needed = [*([metadata.scores] if metadata.scores else []), *own, *boxes]
        missing = {metadata.input, *self.needed} - {*self._inputs, *self._outputs}
        if missing:
            raise InvalidMetadata(f"the graph has no input or output {', '.join(sorted(map(repr, missing)))}")
        self._shape: list[int | str | None] = self._inputs[metadata.input].shape
        self.form = form_of(metadata.input, self._shape, metadata.layout)
        self._dtype = DTYPES.get(self._inputs[metadata.input].type, "float32")
        self.batch = self._shape[0] if isinstance(self._shape[0], int) else (1 if metadata.batch else None)
        self._counting = {name for name, entry in self._entries.items() if self._counts_pictures(name, entry.shape)}
        own_rows = {entry.name for entry in session.get_outputs() if entry.shape[:1] == self._shape[:1]}
        self._per_picture = {*own_rows, *OF_TARGETS}
        self._is_bound = CUDA in session.get_providers()

    def _counts_pictures(self, name: str, shape: Dims) -> bool:
        """Whether an input has a row for each picture; one of a single axis that is fixed is for all of them."""
        lead = self._shape[0]
        return lead is not None and shape[:1] == [lead] and (isinstance(lead, str) or len(shape) > 1 or name == TARGET)

    def wanted(self, *, channels: bool) -> list[str]:
        """The outputs to ask for: those of an explanation, and what it was made of if that is asked for and there."""
        return [*self.needed, *(name for name in PARTS if channels and name in self._outputs)]

    @property
    def known(self) -> dict[str, Any]:
        """The shapes of all inputs by name."""
        return {name: entry.shape for name, entry in self._entries.items()}

    def gives(self, output: str) -> bool:
        """Whether the graph has that output."""
        return output in self._outputs

    def facts(self) -> dict[str, Any]:
        """What the picture's input says about preprocessing, as keywords of `preprocessing.parse`."""
        if len(self._shape) != 4:
            return {}
        _, first, second, last = self._shape
        is_last = last in (1, 3) and first not in (1, 3)
        channels, sides = (last, (first, second)) if is_last else (first, (second, last))
        return {
            "size": sides if all(isinstance(side, int) for side in sides) else None,
            "layout": "NHWC" if is_last else "NCHW",
            "dtype": "float32" if self._dtype == "float64" else self._dtype,
            "channels": channels if isinstance(channels, int) else None,
        }

    def picture(self, batch: NDArray[Any]) -> NDArray[Any]:
        """The pictures in the input's type, if they fit its shape."""
        if not self._fits(self._metadata.input, batch.shape):
            wanted = readable(self._shape)
            raise InputMismatch(self._metadata.input, f"has shape {batch.shape}, but the model takes ({wanted})")
        return np.ascontiguousarray(batch, self._dtype)

    def pixels(self, batch: NDArray[np.float32]) -> NDArray[Any]:
        """Pictures that were altered, in the input's type: whole levels in [0, 255] where it takes bytes."""
        whole = np.clip(np.rint(batch), 0, 255) if self._dtype == "uint8" else batch
        return np.ascontiguousarray(whole, self._dtype)

    def numbers(self, target: ArrayLike, count: int, classes: Classes) -> NDArray[np.int64]:
        """The targets, int64 (N,) or (N, K), if the graph knows every one."""
        numbers = np.asarray(target, np.int64)
        rank = 2 if self._metadata.multi_target else 1
        if numbers.ndim == 0:
            numbers = np.full((count, 1)[:rank], numbers)
        if numbers.ndim != rank or len(numbers) != count:
            raise InvalidTarget(f"targets of shape {numbers.shape} do not fit {count} pictures")
        if classes.count is not None:
            odd = numbers[(numbers < -classes.last_rank) | (numbers >= classes.count * (2 + classes.count))]
            if odd.size:
                raise TargetOutOfRange(int(odd[0]), classes.count, classes.last_rank)
        return numbers

    def spread(self, target: Any, count: int, classes: Classes) -> tuple[list[list[int]], bool]:
        """A row of numbers for each picture, and whether rows were asked for (multi_target) or single targets."""
        is_list = isinstance(target, list | tuple | np.ndarray)
        if self._metadata.multi_target:
            nested = is_list and any(isinstance(entry, list | tuple | np.ndarray) for entry in target)
            rows = list(target) if nested else [target if is_list else [target]] * count
            if any(not isinstance(row, list | tuple | np.ndarray) or len(row) == 0 for row in rows):
                raise InvalidTarget("a list of targets is empty, or mixes lists and single targets")
        else:
            rows = [[entry] for entry in target] if is_list else [[target]] * count
        if len(rows) != count:
            raise InvalidTarget(f"{len(rows)} targets for {count} pictures")
        numbers = [[classes.number(entry) for entry in row] for row in rows]
        if len({len(row) for row in numbers}) > 1:
            raise InvalidTarget("the pictures have different numbers of targets")
        return numbers, self._metadata.multi_target and is_list

    def others(self, given: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
        """The model's other inputs as they are given, if none is missing that has no default, and there are no more.

        Raises:
            UnknownChoice: for one that the model does not have.
            InputMismatch: for one that is missing, or of another shape or type.
        """
        known = [name for name in self._inputs if name not in (self._metadata.input, TARGET)]
        for name in given:
            if name not in known and name not in self.optional:
                raise UnknownChoice("other input", name, [*known, *self.optional])
        for name in known:
            if name not in given and name not in self._metadata.fillings:
                raise InputMismatch(name, f"is missing: {MISSING.get(name, OTHER_MISSING).format(name=name)}")
        return {name: self._fitting(name, array) for name, array in given.items()}

    def with_rows(self, others: Mapping[str, NDArray[Any]], count: int) -> dict[str, NDArray[Any]]:
        """The other inputs, those with a row for each picture brought to `count` rows: one stands for all.

        Raises:
            InputMismatch: for another number of rows.
        """
        return {name: self._with_rows(name, array, count) for name, array in others.items()}

    def _with_rows(self, name: str, array: NDArray[Any], count: int) -> NDArray[Any]:
        if name not in self._counting or len(array) == count:
            return array
        if len(array) != 1:
            raise InputMismatch(name, f"has {len(array)} rows for {count} pictures: give each its own, or one for all")
        return np.repeat(array, count, axis=0)

    def _fitting(self, name: str, given: ArrayLike) -> NDArray[Any]:
        """An input in its own type, if it is of the shape that the model takes."""
        array, entry = np.asarray(given), self._entries[name]
        if not self._fits(name, array.shape):
            raise InputMismatch(name, f"has shape {array.shape}, but the model takes ({readable(entry.shape)})")
        dtype = np.dtype(OTHER_DTYPES.get(entry.type, array.dtype))
        is_number = array.dtype.kind in "iufb"
        typed = np.ascontiguousarray(array, dtype) if is_number else array
        is_exact = is_number and (np.can_cast(array.dtype, dtype, "same_kind") or np.array_equal(typed, array))
        if not is_exact and array.dtype != dtype:
            raise InputMismatch(name, f"holds {array.dtype}, but the model takes {dtype}")
        return typed

    def _fits(self, name: str, shape: Sequence[int]) -> bool:
        """Whether an array of that shape goes into the input, whatever the number of pictures it has rows for."""
        wanted = self._entries[name].shape
        return fits(shape, [None, *wanted[1:]] if name in self._counting else wanted)

    def completed(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The inputs of a run, and beside them those that nobody gave and that have a filling."""
        batch = feed[self._metadata.input]
        sides = batch.shape[1:3] if self.facts().get("layout") == "NHWC" else batch.shape[-2:]
        known = {dim: n for dim, n in zip(self._shape, batch.shape, strict=True) if isinstance(dim, str)}
        shapes = {
            name: [len(batch), *shape[1:]] if name in self._counting else shape for name, shape in self.known.items()
        }
        filling = {
            name: filled(kind, shapes[name], OTHER_DTYPES[entry.type], count=len(batch), sides=sides, known=known)
            for name, kind in self._metadata.fillings.items()
            if name not in feed and (entry := self._inputs.get(name)) is not None
        }
        return {**feed, **filling}

    def told(self, given: Mapping[str, Any]) -> str:
        """What each input is that nobody gave; empty where there is none."""
        left = {name: kind for name, kind in self._metadata.fillings.items() if name not in given}
        return "; ".join(f"{name}: {KINDS[kind]}" for name, kind in left.items() if name in self._entries)

    def run(self, feed: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None) -> dict[str, NDArray[Any]]:
        """The outputs by name; where the batch is fixed, of as many runs as it takes, of fewer pictures filled up.

        Raises:
            UnknownChoice: for an output that does not exist.
            InputMismatch: for several runs, where an output has no row for each picture, or an input other rows.
            RunFailed: if ONNX Runtime stops.
        """
        wanted = list(self._outputs if outputs is None else outputs)
        for name in wanted:
            if name not in self._outputs:
                raise UnknownChoice("output", name, self._outputs)
        run, count = partial(self._run_once, wanted=wanted), len(feed[self._metadata.input])
        if self.batch is None:
            return run(feed)
        if count > self.batch and (odd := [name for name in wanted if name not in self._per_picture]):
            reason = f"has {count} rows, but the model takes {self.batch}, and output {odd[0]!r} has no row for each"
            raise InputMismatch(self._metadata.input, reason, f"Run it on {self.batch} at a time.")
        rows = {"inputs": self._counting, "outputs": self._per_picture}
        return in_portions(run, self.with_rows(feed, count), count=count, size=self.batch, **rows)

    def _run_once(self, feed: Mapping[str, NDArray[Any]], wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
        session = self._session
        with failing(self._metadata.batch):
            arrays = bound(session, feed, wanted) if self._is_bound else session.run(wanted, dict(feed))
        return dict(zip(wanted, arrays, strict=True))
