"""The pictures of docs/report.md and docs/compare.md: a report in a browser, a comparison, concepts.

python scripts/report_pictures.py      (needs Chromium with its driver, selenium, and the samples: ONNXCAM_SAMPLES)
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from onnxcam import api
from onnxcam.comparison import compare
from onnxcam.factorization import factorize
from onnxcam.images import read
from onnxcam.reports import Album, facts, save

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from samples import IMAGES, labels, model_path, preprocessing  # noqa: E402 - the tests know where the samples lie

MODEL = "squeezenet1.1_fp32"
PHOTOS = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")  # all in the public domain
QUALITY = 80  # of WebP, 0 to 100
WINDOW = (1180, 860)  # pixels


def written(path: Path, array: np.ndarray, width: int) -> None:
    """The picture as a WebP of that width at most."""
    ratio = min(1.0, width / array.shape[1])
    size = round(array.shape[1] * ratio), round(array.shape[0] * ratio)
    small = cv2.resize(array, size, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), small[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])


def report(folder: Path, options: dict[str, Any]) -> Path:
    """A page of two classes for each photo."""
    explainer = api.explainer_of(api.convert(model_path(MODEL), multi_target=True, **options))
    album = Album()
    for name in PHOTOS:
        for found in explainer(IMAGES / name, [-1, -2]):
            album.add(name, found, ms=4.0)
    return save(album, folder / "report.html", title=f"{MODEL}.onnx", facts=facts(explainer, model=MODEL))


def screenshot(page: Path) -> np.ndarray:
    """The page as Chromium shows it."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars", f"--window-size={WINDOW[0]},{WINDOW[1]}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.get(page.as_uri())
        driver.find_element("css selector", ".views label:last-of-type").click()
        driver.find_element("css selector", "tbody .pick input").click()
        return read(driver.get_screenshot_as_png())
    finally:
        driver.quit()


def main() -> None:
    """Writes the pictures."""
    options: dict[str, Any] = {"preprocess": preprocessing(MODEL), "labels": labels()}
    with tempfile.TemporaryDirectory() as folder:
        written(ROOT / "docs" / "report.webp", screenshot(report(Path(folder), options)), 1000)
    methods = ["gradcam", "layercam", "eigencam", "occlusion"]
    found = compare(model_path(MODEL), IMAGES / PHOTOS[0], methods=methods, targets=[-1, -2], **options)
    written(ROOT / "docs" / "compare.webp", found.picture(size=220).array, 1000)
    photos = [IMAGES / name for name in PHOTOS]
    concepts = factorize(model_path(MODEL), photos, concepts=5, layer="fire9/concat_1", **options)
    written(ROOT / "docs" / "concepts.webp", concepts.picture(0, alpha=0.85).array, 460)


if __name__ == "__main__":
    main()
