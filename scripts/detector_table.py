"""Writes the measured tables of docs/detectors.md: where the maps of the sample detectors peak, by method and by layer.

python scripts/detector_table.py            some minutes; needs the samples
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from detector_samples import PREPROCESS, Seen, detections, explainer  # noqa: E402

PAGE = ROOT / "docs" / "detectors.md"
METHODS = ("layercam", "gradcam-elementwise", "hirescam", "gradcam", "gradcam++")
LEVELS = "the backbone's levels, added up (the default)"
LAYERS: dict[str, dict[str, tuple[str, ...] | None]] = {
    LEVELS: dict.fromkeys(PREPROCESS),
    "the coarsest level alone": {
        "yolox_nano": ("890",),
        "deimv2_atto_coco": ("model.encoder.bi_fusion",),
        "yunet_2023mar": ("236",),
    },
    "the neck's outputs, added up": {
        "yolox_nano": ("956", "990", "1024"),
        "deimv2_atto_coco": ("model.encoder.fpn_block.cv4.act", "model.encoder.pan_block.cv4.act"),
        "yunet_2023mar": ("252", "246", "236"),
    },
}


def main() -> None:
    """Writes both tables."""
    by_method = [_row(f"`{method}`", [_measured(name, method, None) for name in PREPROCESS]) for method in METHODS]
    by_layer = [
        _row(what, [_measured(name, "layercam", layers[name]) for name in PREPROCESS])
        for what, layers in LAYERS.items()
    ]
    text = PAGE.read_text()
    for title, rows in (("methods", by_method), ("layers", by_layer)):
        table = "\n".join([f"| | {' | '.join(PREPROCESS)} |", f"|---|{'---|' * len(PREPROCESS)}", *rows])
        text = re.sub(rf"(<!-- {title} -->\n).*?(<!-- /{title} -->)", rf"\g<1>{table}\n\g<2>", text, flags=re.DOTALL)
    PAGE.write_text(text)


def _row(what: str, cells: Sequence[str]) -> str:
    return f"| {what} | {' | '.join(cells)} |"


def _measured(name: str, method: str, layers: tuple[str, ...] | None) -> str:
    """Hits of all, the share of the map in the box, and how alike the two most alike maps of a photo are."""
    seen = list(detections(explainer(name, method=method, layers=layers)))
    likeness = max((_likeness(a, b) for a, b in combinations(seen, 2) if a.photo == b.photo), default=0.0)
    hits, mass = sum(one.is_hit for one in seen), np.mean([one.mass for one in seen])
    return f"{hits}/{len(seen)}, {mass:.0%}, {likeness:.2f}"


def _likeness(a: Seen, b: Seen) -> float:
    if not (a.heatmap.any() and b.heatmap.any()):
        return -1.0
    return float(np.corrcoef(a.heatmap.ravel(), b.heatmap.ravel())[0, 1])


if __name__ == "__main__":
    main()
