"""Measures heatmaps on real photos, in float32, float16 and int8, and writes the tables of docs/evaluation.md.

    python scripts/evaluate_samples.py

Pointing game, deletion, insertion and more on the photos with boxes (samples/images/boxes.json); every metric on a few
of them; and how alike the Grad-CAM maps of one net are in float32, float16 and int8. Needs the samples
(tests/samples.py); one thread, five minutes.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

import onnxcam
from onnxcam.appraisal import evaluate
from onnxcam.evaluation import METRICS, Evaluation, Mean
from onnxcam.evaluation.likeness import pearson
from onnxcam.images import read
from onnxcam.jobs import find_jobs
from onnxcam.preprocessing import prepare

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from samples import IMAGES, labels, model_path, preprocessing  # noqa: E402

DOCUMENT = ROOT / "docs" / "evaluation.md"
BEGIN, END = "<!-- tables: made by scripts/evaluate_samples.py -->", "<!-- end of tables -->"
SQUEEZENET, MOBILENET = "squeezenet1.1_fp32", "mobilenet_v2_fp32"
SAMPLES = (
    SQUEEZENET, "squeezenet1.1_fp16", "squeezenet1.1_int8_qdq", "squeezenet1.1_int8_qoperator",
    MOBILENET, "mobilenet_v2_int8_qdq",
)  # fmt: skip
HALF, INT8 = "mobilenet_v2, float16", "mobilenet_v2, int8"  # made of the float32 sample
METHODS = ("gradcam", "gradcam++", "layercam", "eigencam", "activation-mean")
QUICK = ("pointing-game", "relevance-mass", "deletion", "insertion", "average-drop", "increase")
FEW = 6  # photos that every metric is measured on
RUN = {"threads": 1}
REQUIRED = 0.95  # of the correlation with the float32 map


def measured(
    model: Path, described: str, methods: Sequence[str], metrics: Sequence[str], photos: Sequence[Path]
) -> Evaluation:
    """The metrics of a model on photos, with their boxes; `described`: the sample that is prepared for like it."""
    build = {"preprocess": preprocessing(described), "labels": labels()}
    return evaluate(model, photos, boxes=IMAGES / "boxes.json", methods=methods, metrics=metrics, build=build, run=RUN)


def with_boxes() -> list[Path]:
    """The photos in which somebody has drawn boxes that ImageNet has a name for."""
    found = json.loads((IMAGES / "boxes.json").read_text())
    return [IMAGES / name for name, photo in found.items() if any("imagenet_ranges" in o for o in photo["objects"])]


def metric_table() -> str:
    """A row for each metric, in Markdown."""
    rows = ["| metric | better | needs | what it measures | source |", "|---|---|---|---|---|"]
    rows += [f"| `{m.name}` | {m.better or '–'} | {m.needs} | {m.summary} | {m.source} |" for m in METRICS.values()]
    return "\n".join(rows)


def sample_table(photos: Sequence[Path]) -> Iterator[str]:
    """A row for each model and method on the photos with boxes."""
    yield "| model | method | cases | " + " | ".join(map(headline, QUICK)) + " |"
    yield "|---" * (3 + len(QUICK)) + "|"
    with TemporaryDirectory() as folder:
        for model, (path, described) in sample_models(Path(folder)).items():
            methods = METHODS if model in (SQUEEZENET, MOBILENET) else METHODS[:1]
            found = measured(path, described, methods, QUICK, photos)
            for (method, _), rows in found.groups().items():
                means = {mean.metric: mean for mean in found.summary if mean.method == method}
                yield f"| {model} | {method} | {len(rows)} | " + " | ".join(cell(means[name]) for name in QUICK) + " |"


def sample_models(folder: Path) -> dict[str, tuple[Path, str]]:
    """The samples, and what they lack: mobilenet_v2 of the same weights in float16 and int8."""
    samples = {name: (model_path(name), name) for name in SAMPLES}
    return samples | {HALF: (halved(folder), MOBILENET), INT8: (quantised(folder), MOBILENET)}


def full_table(photos: Sequence[Path]) -> Iterator[str]:
    """A row for each metric on a few photos, a column for each method."""
    found = measured(model_path(SQUEEZENET), SQUEEZENET, METHODS, ["all"], photos)
    means = {(mean.metric, mean.method): mean for mean in found.summary}
    yield "| metric | " + " | ".join(METHODS) + " |"
    yield "|---" * (1 + len(METHODS)) + "|"
    for name in METRICS:
        yield f"| {headline(name)} | " + " | ".join(cell(means[name, method]) for method in METHODS) + " |"


def headline(name: str) -> str:
    """The metric's name, with an arrow to where it is better."""
    return name + {"higher": " ↑", "lower": " ↓", "": ""}[METRICS[name].better]


def cell(mean: Mean) -> str:
    """Mean ± standard error."""
    return f"{mean.mean:.3g} ± {mean.error:.2g}" if mean.count else "–"


@dataclass(frozen=True)
class Pair:
    """A net in float32 and in another precision, or of another making."""

    name: str
    plain: Any
    other: Any
    plain_is: str
    other_is: str
    story: str


def pairs(folder: Path) -> Iterator[Pair]:
    """What is compared; what the samples lack is made in `folder` by ONNX Runtime's own tools."""
    squeezenet, mobilenet = model_path(SQUEEZENET), model_path(MOBILENET)
    for name in ("squeezenet1.1_fp16", "squeezenet1.1_int8_qdq", "squeezenet1.1_int8_qoperator"):
        yield Pair(name, squeezenet, model_path(name), SQUEEZENET, name, "the same weights")
    for name, made in ((HALF, halved(folder)), (INT8, quantised(folder))):
        yield Pair(name, mobilenet, made, MOBILENET, MOBILENET, "the same weights, made by ONNX Runtime")
    zoo = "mobilenet_v2_int8_qdq"
    yield Pair(zoo, mobilenet, model_path(zoo), MOBILENET, zoo, "other weights, 224 instead of 244 pixels")
    yield Pair(f"{zoo}, both at 224", resized(mobilenet, 224), model_path(zoo), zoo, zoo, "other weights")


def halved(folder: Path) -> Path:
    """mobilenet_v2 in float16."""
    onnx.save(convert_float_to_float16(onnx.load(model_path(MOBILENET))), folder / "half.onnx")
    return folder / "half.onnx"


def quantised(folder: Path) -> Path:
    """mobilenet_v2 in int8, quantised on the photos."""
    path, result = model_path(MOBILENET), folder / "int8.onnx"
    explainer = explainer_of(path, MOBILENET)

    class Photos(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(all_photos())

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            photo = next(self.left, None)
            if photo is None:
                return None
            return {explainer.metadata.input: prepare(read(photo), explainer.preprocessing)[0][None]}

    logging.getLogger().setLevel(logging.ERROR)
    copy = result.with_name(path.name)  # the tool writes beside the model that it reads
    shutil.copyfile(path, copy)
    quantize_static(
        str(copy), str(result), Photos(), quant_format=QuantFormat.QDQ, per_channel=True,
        weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
    )  # fmt: skip
    return result


def resized(path: Path, side: int) -> onnx.ModelProto:
    """The model for pictures of another size, as its global pooling allows."""
    model = onnx.load(path)
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = side
    del model.graph.value_info[:]
    return model


def explainer_of(model: Any, described: str) -> onnxcam.Explainer:
    """Grad-CAM at the default layer, with the preprocessing of a sample."""
    graph = onnxcam.convert(model, preprocess=preprocessing(described), labels=labels())
    return onnxcam.Explainer(graph.to_bytes(), **RUN)


def all_photos() -> list[Path]:
    """Every photo of the samples."""
    return [job.image for job in find_jobs([str(IMAGES)], Path())]


def likeness_table() -> Iterator[str]:
    """A row for each pair: correlations of the maps of the class that is best in float32."""
    yield "| model | beside float32 | layer | lowest | mean | photos ≥ 0.95 | same best class |"
    yield "|---|---|---|---|---|---|---|"
    with TemporaryDirectory() as folder:
        for pair in pairs(Path(folder)):
            yield likeness_row(pair)


def likeness_row(pair: Pair) -> str:
    """The correlations of one pair, on the photos' own pixels."""
    plain, other = explainer_of(pair.plain, pair.plain_is), explainer_of(pair.other, pair.other_is)
    found, best = [], 0
    for photo in all_photos():
        first = plain(photo)
        found.append(pearson(first.heatmap, other(photo, first.target_index).heatmap))
        best += other(photo).target_index == first.target_index
    alike = np.array(found)
    layer = ", ".join(other.metadata.layers)
    return (
        f"| {pair.name} | {pair.story} | `{layer}` | {alike.min():.4f} | {alike.mean():.4f} | "
        f"{int((alike >= REQUIRED).sum())} of {len(alike)} | {best} |"
    )


def tables() -> str:
    """All tables, in Markdown."""
    photos = with_boxes()
    return f"""{BEGIN}
## The metrics

{metric_table()}

## On real photos

{len(photos)} photos with boxes, at the default layer. A case is a thing in a photo with a class among the model's best
five, and the best such class is explained; where there is none, the best class of all is, without boxes. Means ±
standard error; deletion, insertion and average drop are of probabilities.

{chr(10).join(sample_table(photos))}

Every metric on {FEW} of the photos, {SQUEEZENET}:

{chr(10).join(full_table(photos[:FEW]))}

## Float16 and int8 beside float32

Correlation (Pearson) of Grad-CAM maps, on the photo's own pixels, of {len(all_photos())} photos: the default layer of
each, and for both the class that is best in float32.

{chr(10).join(likeness_table())}
{END}"""


def main() -> None:
    """Measure, print, and put the tables into the page."""
    started = time.perf_counter()
    text, before = tables(), DOCUMENT.read_text()
    print(text)
    head, _, rest = before.partition(BEGIN)
    DOCUMENT.write_text(head + text + rest.partition(END)[2])
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
