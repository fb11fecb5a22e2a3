"""What is asked for, as the number that the explain graph's `target` input takes."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from functools import cache
from typing import NoReturn, SupportsIndex, TypeAlias

from onnxcam.errors import InvalidTarget, LabelAmbiguous, LabelNotFound, OnnxCamError, TargetOutOfRange
from onnxcam.phrases import NOT, Operand, difference, gap, operand, unknown

Target: TypeAlias = SupportsIndex | str

BEST = -1
WHOLE_NUMBER = re.compile(r"\s*-?\d+\s*")


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

        An index, a rank, a label or a group's name; or what `phrases` reads: "not:" before these, "A-B" a difference.
        A sum "A+B" is the group of that name.

        Raises:
            TargetOutOfRange, LabelNotFound, LabelAmbiguous, InvalidTarget: as they say.
        """
        if target is None:
            return BEST
        if isinstance(target, str):
            return self.opposite(target.removeprefix(NOT)) if target.startswith(NOT) else self.worded(target)
        if isinstance(target, bool):
            raise InvalidTarget(f"{target!r} is no target")
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
        except LabelNotFound as error:
            sides = self.read(text) or self.refuse(text, error, prefix=NOT)
            if len(sides) > 1:
                raise InvalidTarget(f"'{NOT}{text}' turns a difference over; write it the other way round") from None
            index = self.placed(sides[0])
        if self.count is None or not 0 <= index < self.count:
            raise InvalidTarget(f"'{NOT}{text}' needs a class of the model after the colon, not {index}")
        return index + self.count

    def worded(self, text: str) -> int:
        """The number for a label, a number's text, a group, or "A-B"."""
        try:
            return self.named(text)
        except LabelNotFound as error:
            sides = self.read(text) or self.refuse(text, error)
        a, *rest = map(self.placed, sides)
        if not rest:
            return a
        (b,) = rest
        if self.count is None or self.count < 2 or a == b:
            raise InvalidTarget(f"{text!r} needs two classes")
        return 2 * self.count + a * self.count + b

    def read(self, text: str) -> tuple[Operand, ...]:
        """The class, or sum of classes, that the text names, or the two sides of a difference; empty if it is none.

        Raises:
            InvalidTarget: if it can be read as several differences.
        """
        find = cache(self._found)
        one = operand(text, find)
        return difference(text, find) or () if one is None else (one,)

    def placed(self, side: Operand) -> int:
        """The index of a class.

        Raises:
            InvalidTarget: for a sum that is no group of the graph.
        """
        if side.is_sum:
            members = list(side.classes)
            raise InvalidTarget(
                f"the sum {side.text!r} is not in this explain graph; convert the model with groups="
                f"{{{side.text!r}: {members}}} (--group '{side.text}={','.join(map(str, members))}')"
            )
        return side.classes[0]

    def refuse(self, text: str, error: LabelNotFound, *, prefix: str = "") -> NoReturn:
        """Says what of the text is no class, and where. `prefix`: what came before the text.

        Raises:
            InvalidTarget, LabelNotFound, LabelAmbiguous, TargetOutOfRange: always one of these.
        """
        find, whole = cache(self._found), prefix + text
        found = unknown(text, find)
        part, start = found or (text, 0)
        missing = gap(part, find, before=len(prefix) + start)
        if missing is not None:
            raise InvalidTarget(f"{whole!r}: {missing}") from error
        if found is None:
            raise error
        place = len(prefix) + start + 1
        if difference(part, find):
            raise InvalidTarget(
                f"{whole!r} has {part!r} (character {place}) as one side of a difference; a side is a class or a sum"
            ) from error
        try:
            self.named(part)
        except LabelNotFound:
            raise LabelNotFound(whole, tuple(self.names.values()), part=part, place=place) from error
        raise error

    def sums_in(self, text: str) -> dict[str, tuple[int, ...]]:
        """The sums of classes in a target, which must be groups of the graph: by their text the classes they add up."""
        body = text.removeprefix(NOT)
        try:
            self.named(body)
        except LabelNotFound:
            return {side.text: side.classes for side in self.read(body) if side.is_sum}
        except OnnxCamError:
            return {}  # told when the target is asked for
        return {}

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
        if not WHOLE_NUMBER.fullmatch(text):
            raise LabelNotFound(text, tuple(labels.values()))
        return self.within(int(text))

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
