"""Writes the measured table of docs/targets.md: how much of a class's relevance lies where the net sees the class.

python scripts/segmentation_table.py            a minute or two; needs the samples
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np  # noqa: E402
import samples  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

import onnxcam  # noqa: E402
from onnxcam.images import read  # noqa: E402
from onnxcam.jobs import SUFFIXES  # noqa: E402
from onnxcam.preprocessing import prepare  # noqa: E402

PAGE = ROOT / "docs" / "targets.md"
MODEL, CLASSES, GRID = "deeplab_v3_mnv2_voc", 21, 33
ASKED = (("hirescam", None), ("layercam", None), ("gradcam", None))
ASKED += tuple((method, "segmentation:logits") for method, _ in ASKED)
# Shares of the picture that a class has; what is smaller than the least is speckle.
AIM = 0.6
BANDS = ((0.1, 1.0), (0.02, 0.1), (0.005, 0.02))


@dataclass(frozen=True)
class Share:
    """What a method puts where the net sees a class.

    Attributes:
        area: the share of the picture that the class has.
        mass: the share of the map that lies there.
    """

    area: float
    mass: float


def main() -> None:
    """Writes the table."""
    found = {" of ".join(f"`{name}`" for name in asked if name): list(shares(*asked)) for asked in ASKED}
    found["the net's mask on that grid"] = list(shares_of_masks())
    lines = ["| the class has | seen | " + " | ".join(found) + " |", "|---|---|" + "---|" * len(found)]
    for low, high in BANDS:
        masses = [[one.mass for one in those if low <= one.area <= high] for those in found.values()]
        cells = " | ".join(f"{median(those):.2f} ({min(those):.2f})" for those in masses)
        lines.append(f"| {low:.1%} to {high:.0%} of the picture | {len(masses[0])} times | {cells} |")
    reached = " | ".join(f"{sum(one.mass >= AIM for one in those)} of {len(those)}" for those in found.values())
    lines.append(f"| relevance mass of {AIM} and more | | {reached} |")
    table, text = "\n".join(lines), PAGE.read_text()
    PAGE.write_text(
        re.sub(r"(<!-- relevance -->\n).*?(<!-- /relevance -->)", rf"\g<1>{table}\n\g<2>", text, flags=re.DOTALL)
    )


def shares(method: str, score: str | None) -> Iterator[Share]:
    """Of all classes that the net sees in the photos, the background left out."""
    explainer = made(method, score)
    for x, index, seen in seen_in_photos(explainer):
        yield share(explainer.run(x[None], index, outputs=["heatmap"])["heatmap"][0], seen)


def shares_of_masks() -> Iterator[Share]:
    """The same of the net's own masks, read at the places of the layer's grid and enlarged as the maps are."""
    for _, _, seen in seen_in_photos(made(*ASKED[0])):
        side = seen.shape[0]
        places = np.arange(GRID) * side / GRID
        enlarging = np.stack([np.interp(np.arange(side), places, unit) for unit in np.eye(GRID)], axis=1)
        read_off = np.rint(places).astype(int)
        yield share(enlarging @ seen[np.ix_(read_off, read_off)] @ enlarging.T, seen)


def made(method: str, score: str | None) -> onnxcam.Explainer:
    graph = onnxcam.convert(samples.model_path(MODEL), method=method, score=score, preprocess="tf")
    return onnxcam.Explainer(graph.to_bytes(), threads=1)


def seen_in_photos(explainer: onnxcam.Explainer) -> Iterator[tuple[NDArray[Any], int, NDArray[np.bool_]]]:
    """The picture as the net gets it, a class, and where the net sees it."""
    for photo in sorted(path for path in samples.IMAGES.iterdir() if path.suffix in SUFFIXES):
        x, _ = prepare(read(photo), explainer.preprocessing)
        best = explainer.run(x[None])[str(explainer.metadata.scores)][0].argmax(axis=-1)
        yield from ((x, index, best == index) for index in range(1, CLASSES) if (best == index).mean() >= BANDS[-1][0])


def share(heatmap: NDArray[Any], seen: NDArray[np.bool_]) -> Share:
    return Share(float(seen.mean()), float(heatmap[seen].sum() / max(heatmap.sum(), 1e-9)))


if __name__ == "__main__":
    main()
