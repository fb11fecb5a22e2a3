"""The picture that the README opens with: the demo's scene, and where the net looks for each digit in it.

python scripts/readme_picture.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from onnxcam import Explainer, convert
from onnxcam.demo import MODEL, SCENE, boxes
from onnxcam.images import read

OUTPUT = Path(__file__).parent.parent / "docs" / "demo.webp"
SIDE_PX, GAP_PX, STRIP_PX = 300, 8, 34


def captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture at its size in the row, over a line of text."""
    strip = np.full((STRIP_PX, SIDE_PX, 3), 255, np.uint8)
    cv2.putText(strip, text, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.62, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), strip])


def main() -> None:
    """Writes the picture."""
    explainer = Explainer(convert(MODEL, multi_target=True).to_bytes())
    labels = sorted(boxes(), key=["zero", "one", "two", "three"].index)
    row = [captioned(read(SCENE), "the picture")]
    row += [captioned(e.overlay(alpha=0.6).array, f'target="{e.label}"') for e in explainer(SCENE, labels)]
    gap = np.full((len(row[0]), GAP_PX, 3), 255, np.uint8)
    parts = [part for cell in row for part in (cell, gap)][:-1]
    cv2.imwrite(str(OUTPUT), np.hstack(parts)[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 85])


if __name__ == "__main__":
    main()
