"""What is asked for, as the number that the explain graph's `target` input takes."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import SupportsIndex, TypeAlias

from onnxcam.errors import InvalidTarget, LabelAmbiguous, LabelNotFound, TargetOutOfRange

Target: TypeAlias = SupportsIndex | str

BEST = -1
NOT = "not:"


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a model: how many, and what they are called.

    In the graph's numbering, t >= 0 is an index, t < 0 a rank (−1 the best), and t + count stands for "not class t".
    """

    count: int | None
    labels: tuple[str, ...] | None = None
    sides: bool = False

    def number(self, target: Target | None) -> int:
        """The graph's number for an index, a rank, a label, or "not:" before an index or label; None is the best.

        Raises:
            TargetOutOfRange, LabelNotFound, LabelAmbiguous, InvalidTarget: as they say.
        """
        if target is None:
            return BEST
        if isinstance(target, str):
            return self.opposite(target.removeprefix(NOT)) if target.startswith(NOT) else self.named(target)
        try:
            return self.within(operator.index(target))
        except TypeError as error:
            raise InvalidTarget(f"{target!r} is no target") from error

    def within(self, index: int) -> int:
        """The same index or rank, if there is such a class; a one-output sigmoid net has two sides."""
        count = self.count if self.count is None or not self.sides else 2 * self.count
        if count is not None and not -count <= index < count:
            raise TargetOutOfRange(index, count)
        return index

    def opposite(self, text: str) -> int:
        """The number for "not this class"."""
        index = self.named(text.strip())
        if self.count is None or not 0 <= index < self.count:
            raise InvalidTarget(f"'{NOT}{text}' needs a class of the model after the colon, not {index}")
        return index + self.count

    def named(self, text: str) -> int:
        """The index of a label: exactly, but for case, or as one of its comma-separated parts; or a number's text."""
        labels = self.labels or ()
        wanted = text.strip().casefold()
        exact = [index for index, label in enumerate(labels) if label == text]
        same = [index for index, label in enumerate(labels) if label.strip().casefold() == wanted]
        parts = [index for index, label in enumerate(labels) if wanted in map(str.strip, label.casefold().split(","))]
        hits = exact or same or parts
        if len(hits) > 1:
            raise LabelAmbiguous(text, [f"{index} ({labels[index]})" for index in hits])
        if hits:
            return hits[0]
        try:
            index = int(text)
        except ValueError as error:
            raise LabelNotFound(text, labels) from error
        return self.within(index)

    def label(self, index: int) -> str | None:
        """What the class of a graph's number is called: "not:cat" beyond the count, None where it has no name."""
        if self.labels is not None and 0 <= index < len(self.labels):
            return self.labels[index]
        if self.count is not None and self.count <= index < 2 * self.count:
            plain = index - self.count
            return f"{NOT}{self.labels[plain] if self.labels else plain}"
        return None
