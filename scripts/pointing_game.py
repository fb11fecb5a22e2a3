"""Plays the pointing game on real photos and writes docs/pointing-game.md.

    python scripts/pointing_game.py

For each thing in a photo (samples/images/boxes.json) that has a class among the model's best five, the best such class
is explained. It is a hit if the heatmap's maximum, on the photo's own pixels, lies in one of the thing's boxes, give or
take TOLERANCE_PX. Needs the samples (tests/samples.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import onnxcam
from onnxcam.errors import NoLinearHead
from onnxcam.methods import METHODS

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from samples import IMAGES, Thing, labels, model_path, preprocessing, things  # noqa: E402

DOCUMENT = ROOT / "docs" / "pointing-game.md"
MODELS = ("squeezenet1.1_fp32", "mobilenet_v2_fp32")
TOLERANCE_PX = 15.0
BEST = 5


@dataclass(frozen=True, slots=True)
class Case:
    """A thing that the model sees in a photo: its class, and where the heatmap of that class is highest.

    Attributes:
        x: of the maximum, the middle of its pixel.
        y: likewise.
    """

    photo: str
    thing: Thing
    target: int
    label: str
    status: str
    x: float
    y: float

    @property
    def is_hit(self) -> bool:
        """Whether the maximum lies on the thing; a map that is not ok hits nothing."""
        return self.status == "ok" and self.thing.holds(self.x, self.y, tolerance_px=TOLERANCE_PX)


def play(model: str, method: str) -> list[Case]:
    """Every case of a model, by photo.

    Raises:
        NoLinearHead: if the method cannot be had for the model's default layer.
    """
    graph = onnxcam.convert(model_path(model), method=method, preprocess=preprocessing(model), labels=labels())
    explainer = onnxcam.Explainer(graph.to_bytes(), threads=1)
    return [case for photo, seen in things().items() for case in cases(explainer, photo, seen)]


def cases(explainer: onnxcam.Explainer, photo: str, seen: Sequence[Thing]) -> Iterator[Case]:
    """The cases of one photo, one for each thing with a class among the best five."""
    best = np.argsort(-explainer(IMAGES / photo).scores, kind="stable")[:BEST].tolist()
    for thing in seen:
        target = next(filter(thing.is_meant_by, best), None)
        if target is None:
            continue
        explanation = explainer(IMAGES / photo, target)
        x, y = peak(explanation.heatmap)
        yield Case(photo, thing, target, explanation.name, explanation.status, x, y)


def peak(heatmap: NDArray[np.float32]) -> tuple[float, float]:
    """The middle (x, y) of the pixel with the highest value, in pixels; the first of several."""
    y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
    return x + 0.5, y + 0.5


def results() -> dict[tuple[str, str], list[Case]]:
    """The cases of every model and method that go together."""
    found = {}
    for model in MODELS:
        for method in METHODS:
            try:
                found[model, method] = play(model, method)
            except NoLinearHead as error:
                print(f"{model}, {method}: {error}", file=sys.stderr)
    return found


def table(found: dict[tuple[str, str], list[Case]]) -> str:
    """A row for each model and method, in Markdown."""
    rows = ["| model | method | hits | share |", "|---|---|---|---|"]
    for (model, method), played in found.items():
        hits = sum(case.is_hit for case in played)
        rows.append(f"| {model} | {method} | {hits}/{len(played)} | {hits / len(played):.0%} |")
    return "\n".join(rows)


def listing(found: dict[tuple[str, str], list[Case]]) -> str:
    """Every case with the class asked for by each model, and the methods that miss it, in Markdown."""
    rows = ["| model | photo | thing | class | missed by |", "|---|---|---|---|---|"]
    for model in MODELS:
        by_method = {method: played for (of, method), played in found.items() if of == model}
        for each in zip(*by_method.values(), strict=True):
            missed = ", ".join(method for method, case in zip(by_method, each, strict=True) if not case.is_hit)
            case = each[0]
            rows.append(f"| {model} | {case.photo} | {case.thing.label} | {case.target} {case.label} | {missed} |")
    return "\n".join(rows)


def document(found: dict[tuple[str, str], list[Case]]) -> str:
    """The page."""
    return f"""# Pointing game

Made by `python scripts/pointing_game.py`. A case is a thing in a photo with a class among the model's best {BEST}; the
best such class is explained at the default layer. It is a hit if the heatmap's maximum, on the photo's own pixels, lies
in one of the thing's boxes, give or take {TOLERANCE_PX:g} pixels.

{table(found)}

## Cases

{listing(found)}
"""


def main() -> None:
    """Play, print, write."""
    text = document(results())
    print(text)
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
