"""The demo: a small net that reads digits, a picture with several of them, and the boxes that they lie in.

Made by scripts/train_demo.py.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from onnxcam.api import convert
from onnxcam.engine import Explainer
from onnxcam.explanation import Explanation
from onnxcam.folders import write_record
from onnxcam.records import Record, Style

FOLDER = Path(__file__).parent
MODEL = FOLDER / "demo.onnx"
SCENE = FOLDER / "scene.jpg"


def boxes() -> dict[str, list[int]]:
    """Where the digits of the picture lie: x0, y0, x1, y1 in pixels, by name."""
    entries = json.loads((FOLDER / "boxes.json").read_text())["boxes"]
    return {entry["label"]: entry["box"] for entry in entries}


def explain_digit(name: str) -> Explanation:
    """Where the net looks when it is asked for that digit of the picture."""
    return Explainer(convert(MODEL).to_bytes())(SCENE, name)


def explain_scene(folder: Path) -> list[Record]:
    """Overlays for every digit in the picture, written to the folder."""
    explainer = Explainer(convert(MODEL, multi_target=True).to_bytes())
    started = time.perf_counter()
    found = explainer(SCENE, list(boxes()))
    ms = round((time.perf_counter() - started) * 1000 / len(found), 2)
    return [
        write_record(SCENE, folder / f"scene.{explanation.label}", explanation, Style(legend=True), ms=ms)
        for explanation in found
    ]
