"""The table of drivers: methods that need many passes, and how a function becomes a row of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from onnxcam.drivers.probe import Floats, Probe
from onnxcam.errors import UnknownChoice
from onnxcam.parameters import Parameter, parameters_of, settings

Run: TypeAlias = Callable[..., Floats]
Needs: TypeAlias = Literal["score", "gradient", "activation", "both", "heatmap"]
Score: TypeAlias = Literal["probability", "logit"]


@dataclass(frozen=True, slots=True)
class Driver:
    """A method of many passes.

    Attributes:
        name: as on the command line.
        source: the paper.
        summary: one line.
        needs: what the graph must give for every pass: "score"; "gradient", of the score with respect to the picture's
            input; "activation", of the layer; "both", activation and gradient of the layer; "heatmap", of whatever
            method the graph was built with.
        run: from a probe to the raw map (h, w), of any size, signed values allowed.
        score: what is asked for when the user does not say.
        options: what can be set.
        like: the library whose numbers it gives; "" for the paper's.
        is_finished: its map is a heatmap already and is not normalised again.
        any_axes: it works on signals and volumes too, whose maps are (L,) and (D, H, W).
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

    def __call__(self, probe: Probe, options: Mapping[str, Any] | None = None) -> Floats:
        """The raw map, float32 (h, w).

        Raises:
            UnknownOption: for an option that the method does not have.
            InvalidOption: for a value that it cannot take.
        """
        probe.method = self.name
        return self.run(probe, **self.settings(options or {}))

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options given, each in its type: for checking them before the work begins."""
        return settings(self.name, self.options, given)


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
) -> Callable[[Run], Run]:
    """A decorator: the function probe → raw map is the driver of that name; keyword-only parameters are its options.

    With `like` it is the variant of that library, found by `find(name, like)`.
    """

    def register(run: Run) -> Run:
        summary = (run.__doc__ or "").strip().partition("\n")[0]
        row = Driver(name, source, summary, needs, run, score, parameters_of(run), like, is_finished, any_axes)
        if (name, like) in VARIANTS or (not like and name in DRIVERS):
            raise ValueError(f"there is a driver {name!r} {like} already")
        if like:
            VARIANTS[name, like] = row
        else:
            DRIVERS[name] = row
        return run

    return register


def find(name: str, like: str | None = None) -> Driver:
    """The driver of that name: the library's own variant where there is one, else the paper's.

    Raises:
        UnknownChoice: if there is none.
    """
    if name not in DRIVERS:
        raise UnknownChoice("method of many passes", name, DRIVERS)
    return VARIANTS.get((name, like or ""), DRIVERS[name])
