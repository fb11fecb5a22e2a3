"""What is asked for, as the number that the explain graph's `target` input takes."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import SupportsIndex, TypeAlias

from onnxcam.errors import InvalidTarget, LabelAmbiguous, LabelNotFound, TargetOutOfRange

Target: TypeAlias = SupportsIndex | str

BEST = -1
NOT, MINUS, PLUS = "not:", "-", "+"


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a model: how many, and what they are called.

    In the graph's numbering, t >= 0 is an index, t < 0 a rank (−1 the best), t + count stands for "not class t", and
    2·count + a·count + b for the difference of classes a and b. Groups, sums of classes, are the last of the count.
    `ranks`: how many ranks there are, where these are not the classes.
    """

    count: int | None
    labels: tuple[str, ...] | None = None
    sides: bool = False
    groups: tuple[str, ...] = ()
    ranks: int | None = None

    def number(self, target: Target | None) -> int:
        """The graph's number for a target; None is the best class.

        An index, a rank, a label or a group's name; "not:" before an index or label; "A-B" for a difference.

        Raises:
            TargetOutOfRange, LabelNotFound, LabelAmbiguous, InvalidTarget: as they say.
        """
        if target is None:
            return BEST
        if isinstance(target, str):
            return self.opposite(target.removeprefix(NOT)) if target.startswith(NOT) else self.worded(target)
        try:
            return self.within(operator.index(target))
        except TypeError as error:
            raise InvalidTarget(f"{target!r} is no target") from error

    def within(self, index: int) -> int:
        """The same index or rank, if there is such a class; a one-output sigmoid net has two sides."""
        if self.count is None:
            return index
        count = 2 * self.count if self.sides else self.count
        if not -self.last_rank <= index < count:
            raise TargetOutOfRange(index, count, self.last_rank)
        return index

    @property
    def last_rank(self) -> int:
        """How many ranks there are: of all classes but the groups, on both sides of a one-output sigmoid net."""
        own = (self.count or 0) - len(self.groups)
        return self.ranks or (2 * own if self.sides else own)

    def opposite(self, text: str) -> int:
        """The number for "not this class"."""
        if not text.strip():
            raise InvalidTarget(f"'{NOT}{text}': a class is missing behind the ':' at character {len(NOT)}")
        if text.strip().startswith(NOT):
            again = len(NOT) + text.index(NOT) + 1
            raise InvalidTarget(f"'{NOT}{text}' says '{NOT}' again at character {again}; the class by itself is meant")
        try:
            index = self.named(text.strip())
        except (LabelNotFound, LabelAmbiguous):
            self.check_operands(text, before=len(NOT))
            if self.difference(text) is not None:
                raise InvalidTarget(f"'{NOT}{text}' turns a difference over; write it the other way round") from None
            raise
        if self.count is None or not 0 <= index < self.count:
            raise InvalidTarget(f"'{NOT}{text}' needs a class of the model after the colon, not {index}")
        return index + self.count

    def worded(self, text: str) -> int:
        """The number for a label, a number's text, a group, or "A-B"."""
        try:
            return self.named(text)
        except (LabelNotFound, LabelAmbiguous) as error:
            found = self.difference(text)
            if found is not None:
                return found
            self.check_operands(text)
            if PLUS in text and isinstance(error, LabelNotFound):
                raise InvalidTarget(
                    f"{text!r} is no class; a sum of classes must be in the graph: convert it with "
                    f"groups={{{text!r}: [indices]}} (--group)"
                ) from error
            raise

    def difference(self, text: str) -> int | None:
        """The number for "A-B", cut at the one minus that has a class on both sides; None if there is no such.

        Raises:
            InvalidTarget: if it can be read in two ways, or the sides are not two classes.
        """
        cuts = [at for at, letter in enumerate(text) if letter == MINUS and 0 < at < len(text) - 1]
        pairs = [(self._found(text[:at]), self._found(text[at + 1 :])) for at in cuts]
        whole = {(a, b) for a, b in pairs if a is not None and b is not None}
        if len(whole) > 1:
            raise InvalidTarget(f"{text!r} can be read as several differences; use the classes' numbers")
        if not whole:
            halves = [at for at, (a, b) in zip(cuts, pairs, strict=True) if (a is None) != (b is None)]
            if halves and self.labels is None:
                raise InvalidTarget(f"{text!r}: no class on one side of the '-' at character {halves[0] + 1}")
            return None
        ((a, b),) = whole
        if self.count is None or self.count < 2 or a == b:
            raise InvalidTarget(f"{text!r} needs two classes")
        return 2 * self.count + a * self.count + b

    def check_operands(self, text: str, *, before: int = 0) -> None:
        """Refuses a sum or difference of which a part is missing, if another part is a class; else it may be a label.

        Args:
            text: what was asked for.
            before: how many characters came before it.

        Raises:
            InvalidTarget: with the place.
        """
        parts = re.split(f"[{MINUS}{PLUS}]", text)
        if all(part.strip() for part in parts) or all(self._found(part) is None for part in parts):
            return
        missing = next(index for index, part in enumerate(parts) if not part.strip())
        place = sum(len(part) + 1 for part in parts[:missing])  # of the sign before it, from 1
        side, at = ("behind", place) if missing else ("before", len(parts[0]) + 1)
        whole = NOT + text if before else text
        raise InvalidTarget(f"{whole!r}: a class is missing {side} the {text[at - 1]!r} at character {before + at}")

    def sum_of(self, text: str) -> list[int] | None:
        """The classes of "A+B+C"; None if it is a class or group itself, or no sum of classes."""
        parts = [self._found(part) for part in text.split(PLUS)]
        if self._found(text) is not None or len(parts) < 2 or None in parts:
            return None
        return [part for part in parts if part is not None]

    def _found(self, text: str) -> int | None:
        """The index of a class, None if there is no such."""
        try:
            index = self.named(text.strip())
        except (LabelNotFound, LabelAmbiguous, TargetOutOfRange):
            return None
        return index if index >= 0 else None

    def named(self, text: str) -> int:
        """The index of a label: exactly, but for case, or as one of its comma-separated parts; or a number's text."""
        labels = self.names
        wanted = text.strip().casefold()
        exact = [index for index, label in labels.items() if label == text]
        same = [index for index, label in labels.items() if label.strip().casefold() == wanted]
        parts = [i for i, label in labels.items() if wanted in map(str.strip, label.casefold().split(","))]
        hits = exact or same or parts
        if len(hits) > 1:
            raise LabelAmbiguous(text, [f"{index} ({labels[index]})" for index in hits])
        if hits:
            return hits[0]
        try:
            index = int(text)
        except ValueError as error:
            raise LabelNotFound(text, tuple(labels.values())) from error
        return self.within(index)

    @property
    def names(self) -> dict[int, str]:
        """What classes and groups are called."""
        if self.labels is not None:
            return dict(enumerate(self.labels))
        first = (self.count or 0) - len(self.groups)
        return {first + place: name for place, name in enumerate(self.groups)}

    def label(self, index: int) -> str | None:
        """What the class of a graph's number is called: "not:cat" beyond the count, None where it has no name."""
        names = self.names
        if index in names and index >= 0:
            return names[index]
        if self.count is None or index < self.count:
            return None
        if index < 2 * self.count:
            return f"{NOT}{names.get(index - self.count, index - self.count)}"
        if self.count == 1:
            return None
        a, b = divmod(index - 2 * self.count, self.count)
        return f"{names.get(a, a)} - {names.get(b, b)}"
