"""The table of drivers: methods that need many passes, and how a function becomes a row of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.errors import UnknownChoice, UnknownOption
from onnxcam.other_names import hint, spelled
from onnxcam.parameters import Parameter, parameters_of, settings

Run: TypeAlias = Callable[..., Floats]
Needs: TypeAlias = Literal["score", "gradient", "activation", "both", "heatmap", "candidates"]
Score: TypeAlias = Literal["probability", "logit", "output"]


@dataclass(frozen=True, slots=True)
class Driver:
    """A method of many passes.

    Attributes:
        name: as on the command line.
        source: the paper.
        summary: one line.
        needs: what the graph must give for every pass: "score"; "gradient", of the score with respect to the picture's
            input; "activation", of the layer; "both", activation and gradient of the layer; "heatmap", of whatever
            method the graph was built with; "candidates", all that a detector's head offers.
        run: from a probe to the raw map (h, w), of any size, signed values allowed.
        score: what is asked for when the user does not say.
        options: what can be set, and what each is where it is not.
        like: the library whose numbers it gives; "" for the paper's.
        is_finished: its map is a heatmap already and is not normalised again.
        any_axes: it works on signals and volumes too, whose maps are (L,) and (D, H, W).
        of_boxes: it explains detections alone, which have a box.
    """

    name: str
    source: str
    summary: str
    needs: Needs
    run: Run
    score: Score
    options: Mapping[str, Parameter]
    like: str = ""
    is_finished: bool = False
    any_axes: bool = False
    of_boxes: bool = False

    def __call__(self, probe: Probe, options: Mapping[str, Any] | None = None) -> Floats:
        """The raw map, float32 (h, w).

        Raises:
            UnknownOption: for an option that the method does not have.
            InvalidOption: for a value that it cannot take.
        """
        probe.method = self.name
        defaults = {name: option.default for name, option in self.options.items()}
        return self.run(probe, **defaults | self.settings(options or {}))

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options given, each in its type: for checking them before the work begins."""
        return settings(self.name, self.options, given)

    def own(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The same options with their plain names: "tta.flips" is "flips" of tta."""
        return {name.removeprefix(f"{self.name}."): value for name, value in given.items()}

    def taken_from(
        self, given: Mapping[str, Any], method: str, known: Mapping[str, Parameter]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of options for this and the method that it goes around, those of the method, and those of this.

        A plain name that both have is the method's; behind "tta." it is of tta in any case.

        Args:
            given: values by name.
            method: the method's name.
            known: its options.

        Raises:
            UnknownOption: for a name that neither has.
        """
        mine = {name: value for name, value in given.items() if name not in known}
        for name in mine:
            if name.removeprefix(f"{self.name}.") not in self.options:
                raise UnknownOption(f"{self.name} of {method}", name, [*known, *self.options])
        return {name: value for name, value in given.items() if name in known}, self.own(mine)


DRIVERS: dict[str, Driver] = {}
VARIANTS: dict[tuple[str, str], Driver] = {}


def driver(
    name: str,
    *,
    source: str,
    needs: Needs,
    score: Score = "logit",
    like: str = "",
    is_finished: bool = False,
    any_axes: bool = False,
    of_boxes: bool = False,
) -> Callable[[Run], Run]:
    """A decorator: the function probe → raw map is the driver of that name; keyword-only parameters are its options.

    With `like` it is the variant of that library, found by `find(name, like)`.
    """

    def register(run: Run) -> Run:
        summary = (run.__doc__ or "").strip().partition("\n")[0]
        options = parameters_of(run)
        row = Driver(name, source, summary, needs, run, score, options, like, is_finished, any_axes, of_boxes)
        if (name, like) in VARIANTS or (not like and name in DRIVERS):
            raise ValueError(f"there is a driver {name!r} {like} already")
        if like:
            VARIANTS[name, like] = row
        else:
            DRIVERS[name] = row
        return run

    return register


def variant(name: str, *, like: str, summary: str, score: Score, defaults: Mapping[str, Any]) -> None:
    """Enters a library's variant that differs from the driver only in what it takes where nothing is said.

    Args:
        name: of a driver that is there already.
        like: the library.
        summary: one line.
        score: what is explained.
        defaults: of options, by name; the others stay as they are.

    Raises:
        ValueError: if there is such a variant already.
        UnknownOption: for a default of an option that the driver does not have.
    """
    if (name, like) in VARIANTS:
        raise ValueError(f"there is a driver {name!r} {like} already")
    own = DRIVERS[name]
    changed = {key: replace(own.options[key], default=value) for key, value in own.settings(defaults).items()}
    VARIANTS[name, like] = replace(own, like=like, summary=summary, score=score, options={**own.options, **changed})


def find(name: str, like: str | None = None) -> Driver:
    """The driver of that name: the library's own variant where there is one, else the paper's.

    Raises:
        UnknownChoice: if there is none.
    """
    own = spelled(name, DRIVERS)
    if own not in DRIVERS:
        raise UnknownChoice("method of many passes", name, DRIVERS, hint=hint(name, DRIVERS))
    return VARIANTS.get((own, like or ""), DRIVERS[own])
