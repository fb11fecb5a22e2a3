"""One picture and one target, to be asked again and again: what a driver sees of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxcam.drivers.blanks import BLANKS as BLANKS
from onnxcam.drivers.blanks import Sample, blank
from onnxcam.errors import InvalidOption
from onnxcam.images import Source

Floats: TypeAlias = NDArray[np.float32]
Ask: TypeAlias = Callable[..., Mapping[str, NDArray[Any]]]
Progress: TypeAlias = Callable[[int, int], None]
Thing = TypeVar("Thing")

BATCH_SIZE = 8


class Probe:
    """A prepared picture and a fixed target.

    Attributes:
        x: float32, the model's input without its batch axis.
        layout: "CHW" or "HWC", of `x`; "CW" or "WC" of a signal, "CDHW" or "DHWC" of a volume.
        black, white: float32 (C,), these colours in the input's units.
        batch_size: inputs in one pass.
        method: the driver that is at work, for messages.
        passes: how many inputs have been run.
        interrupted: whether a method was stopped and gives what it had by then.
        report: what a method has to say beside its map, by name: numbers and words.
        guides: what points at a part of the picture, by name; methods that move the picture move it too.
        kind: the class that is explained; None where the target is none.
        attribution: like x, what a method gives for every value of the input before it makes it a map; None of others.
    """

    method: str = "probe"

    def __init__(
        self,
        x: Floats,
        ask: Ask,
        *,
        layout: str = "CHW",
        black: ArrayLike = 0.0,
        white: ArrayLike = 1.0,
        batch_size: int = BATCH_SIZE,
        progress: Progress | None = None,
        prepare: Callable[[Source], Floats] | None = None,
        guides: Mapping[str, Floats] | None = None,
        kind: int | None = None,
    ) -> None:
        """The probe.

        Args:
            x: (C, H, W) or (H, W, C).
            ask: from a batch (B, *x.shape) and names out of "score" (B,), "gradient", "activation" (B, C, h, w),
                "heatmap" (B, H, W), "probability" (B,), of the target, "box" (B, 4), and "candidates" (B, M, 5 + C) to
                arrays by these names. Where there are guides it takes others as a third argument, by name, with a row
                for each of the batch.
            layout: of x.
            black: in the input's units, (C,) or one number.
            white: likewise.
            batch_size: inputs in one pass, at most.
            progress: called with the passes done and those expected, after every batch.
            prepare: makes an input like x of another picture; None if nothing says how.
            guides: what points at a part of the picture, in pixels of x: "box" (4,), "region" (h, w).
            kind: the class that is explained.
        """
        if batch_size < 1:
            raise InvalidOption(self.method, "batch_size", batch_size, "must be 1 or more")
        self.x, self.layout, self.batch_size = np.asarray(x, np.float32), layout, batch_size
        self._ask, self._progress, self._expected = ask, progress, 0
        channels = self.x.shape[self.channel_axis]
        self.black, self.white = (np.broadcast_to(np.asarray(c, np.float32), (channels,)) for c in (black, white))
        self.guides, self.kind = dict(guides or {}), kind
        self.passes, self.interrupted = 0, False
        self.report: dict[str, float | int | str] = {}
        self.attribution: Floats | None = None
        self.prepare = prepare

    @property
    def channel_axis(self) -> int:
        """Where the colours lie in x: first, last, or second, behind the frames of a video."""
        return self.layout.index("C")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), in pixels."""
        height, width = self.sides
        return height, width

    @property
    def sides(self) -> tuple[int, ...]:
        """(H, W); (L,) of a signal, (D, H, W) of a volume."""
        return tuple(length for axis, length in enumerate(self.x.shape) if axis != self.channel_axis)

    @cached_property
    def score(self) -> float:
        """The picture's own score; takes one pass, the first time."""
        return float(self.scores([self.x])[0])

    def expect(self, passes: int) -> None:
        """Says how many more passes will be made, for whoever shows the progress."""
        self._expected = self.passes + passes
        self._tell()

    def answers(
        self,
        things: Iterable[Thing],
        make: Callable[[Thing], Floats],
        *wanted: str,
        guides: Callable[[Thing], Mapping[str, Floats]] | None = None,
    ) -> Iterator[tuple[Thing, dict[str, NDArray[Any]]]]:
        """Each thing with what the model says of the input made from it, one batch in memory at a time.

        Args:
            things: from which inputs are made, taken as they are needed.
            make: from a thing to an input like x; not modified afterwards.
            wanted: "score", "gradient", "activation", "heatmap", "probability", "box", "candidates".
            guides: from a thing to the probe's guides as they lie in its input, where that moves the picture.
        """
        source = iter(things)
        while chunk := list(islice(source, self.batch_size)):
            batch = np.stack([np.asarray(make(thing), np.float32) for thing in chunk])
            if guides is None or not self.guides:
                found = self._ask(batch, wanted)
            else:
                moved = [guides(thing) for thing in chunk]
                found = self._ask(batch, wanted, {name: np.stack([row[name] for row in moved]) for name in self.guides})
            self.passes += len(chunk)
            self._tell()
            for row, thing in enumerate(chunk):
                yield thing, {name: found[name][row] for name in wanted}

    def scored(self, things: Iterable[Thing], make: Callable[[Thing], Floats]) -> Iterator[tuple[Thing, float]]:
        """Each thing with the score of the input made from it."""
        return ((thing, float(found["score"])) for thing, found in self.answers(things, make, "score"))

    def differentiated(
        self, things: Iterable[Thing], make: Callable[[Thing], Floats]
    ) -> Iterator[tuple[Thing, Floats]]:
        """Each thing with the gradient of the input made from it: like x, or, of a layer, (C, h, w)."""
        for thing, found in self.answers(things, make, "gradient"):
            yield thing, np.asarray(found["gradient"], np.float32)

    def scores(self, inputs: Iterable[Floats]) -> NDArray[np.float64]:
        """The score of each input, (B,)."""
        return np.array([score for _, score in self.scored(inputs, _same)], np.float64)

    def gradients(self, inputs: Iterable[Floats]) -> Floats:
        """The gradient of each input, (B, *x.shape), or of a layer (B, C, h, w)."""
        return np.stack([gradient for _, gradient in self.differentiated(inputs, _same)])

    def activations(self, inputs: Iterable[Floats]) -> Floats:
        """The layer's activation of each input, (B, C, h, w)."""
        found = self.answers(inputs, _same, "activation")
        return np.stack([np.asarray(answer["activation"], np.float32) for _, answer in found])

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """A block that KeyboardInterrupt ends early, and quietly if at least one pass was made in it.

        For methods whose result so far is worth having; `interrupted` then says so.
        """
        before = self.passes
        try:
            yield
        except KeyboardInterrupt:
            if self.passes == before:
                raise
            self.interrupted = True

    def require(self, holds: bool, option: str, given: object, wanted: str) -> None:
        """Refuses an option that makes no sense. `wanted` ends the sentence "… is 0, but": "must be 1 or more".

        Raises:
            InvalidOption: unless it holds.
        """
        if not holds:
            raise InvalidOption(self.method, option, given, wanted)

    def spread(self, plane: NDArray[Any]) -> NDArray[Any]:
        """(H, W) as it fits beside x: with an axis for the channels."""
        return np.expand_dims(plane, self.channel_axis)

    def masked(self, mask: Floats, blank: Floats) -> Floats:
        """x where the mask (H, W) is 1, `blank` where it is 0, between them a blend."""
        share = self.spread(mask)
        shown = self.x * share
        return np.asarray(shown + blank * (1 - share) if blank.any() else shown, np.float32)

    def picture(self) -> Floats:
        """x as (H, W, C)."""
        return np.moveaxis(self.x, self.channel_axis, -1)

    def laid(self, picture: NDArray[Any]) -> Floats:
        """A picture (H, W, C) in the layout of x."""
        return np.asarray(np.moveaxis(picture, -1, self.channel_axis), np.float32)

    def blank(self, kind: str, *, seed: int = 0) -> Floats:
        """An input like x that says nothing, one of `BLANKS`.

        Raises:
            UnknownChoice: for another kind.
        """
        return self.laid(blank(kind, Sample(self.picture(), self.black, self.white, self.rng(seed))))

    def rng(self, seed: int) -> np.random.Generator:
        """A source of random numbers: the same for the same seed, everywhere.

        Raises:
            InvalidOption: for a seed below 0.
        """
        self.require(seed >= 0, "seed", seed, "must be 0 or more")
        return np.random.default_rng(seed)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.passes, max(self.passes, self._expected))


def from_functions(
    x: Floats,
    *,
    score: Callable[[Floats], ArrayLike] | None = None,
    gradient: Callable[[Floats], ArrayLike] | None = None,
    activation: Callable[[Floats], ArrayLike] | None = None,
    heatmap: Callable[[Floats], ArrayLike] | None = None,
    probability: Callable[[Floats], ArrayLike] | None = None,
    box: Callable[[Floats], ArrayLike] | None = None,
    **options: Any,
) -> Probe:
    """A probe of anything that can be called with a batch; `options` are those of `Probe`."""
    known = {"score": score, "gradient": gradient, "activation": activation, "heatmap": heatmap}
    known |= {"probability": probability, "box": box}
    functions = {name: function for name, function in known.items() if function is not None}
    return Probe(x, lambda batch, wanted: {name: np.asarray(functions[name](batch)) for name in wanted}, **options)


def _same(x: Floats) -> Floats:
    return x
