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

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import samples  # noqa: E402

import onnxcam  # noqa: E402
from onnxcam.images import read  # noqa: E402
from onnxcam.jobs import SUFFIXES  # noqa: E402
from onnxcam.preprocessing import prepare  # noqa: E402

PAGE = ROOT / "docs" / "targets.md"
MODEL, CLASSES = "deeplab_v3_mnv2_voc", 21
METHODS = ("hirescam", "layercam", "gradcam")
# Shares of the picture that a class has; what is smaller than the least is speckle.
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
    found = {method: list(shares(method)) for method in METHODS}
    lines = ["| the class has | seen | " + " | ".join(f"`{method}`" for method in METHODS) + " |"]
    lines += ["|---|---|" + "---|" * len(METHODS)]
    for low, high in BANDS:
        masses = [[one.mass for one in found[method] if low <= one.area < high] for method in METHODS]
        cells = " | ".join(f"{median(those):.2f} ({min(those):.2f})" for those in masses)
        lines.append(f"| {low:.1%} to {high:.0%} of the picture | {len(masses[0])} times | {cells} |")
    table, text = "\n".join(lines), PAGE.read_text()
    PAGE.write_text(
        re.sub(r"(<!-- relevance -->\n).*?(<!-- /relevance -->)", rf"\g<1>{table}\n\g<2>", text, flags=re.DOTALL)
    )


def shares(method: str) -> Iterator[Share]:
    """Of all classes that the net sees in the photos, the background left out."""
    graph = onnxcam.convert(samples.model_path(MODEL), method=method, preprocess="tf")
    explainer = onnxcam.Explainer(graph.to_bytes(), threads=1)
    for photo in sorted(path for path in samples.IMAGES.iterdir() if path.suffix in SUFFIXES):
        x, _ = prepare(read(photo), explainer.preprocessing)
        best = explainer.run(x[None])[str(explainer.metadata.scores)][0].argmax(axis=-1)
        for index in range(1, CLASSES):
            seen = best == index
            if seen.mean() >= BANDS[-1][0]:
                heatmap = explainer.run(x[None], index, outputs=["heatmap"])["heatmap"][0]
                yield Share(float(seen.mean()), float(heatmap[seen].sum() / max(heatmap.sum(), 1e-9)))


if __name__ == "__main__":
    main()
