"""The page docs/parity.md, of what scripts/parity.py found."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity import CORRELATION, DIFFERENCE
from parity_nets import NETS
from parity_rows import CAPTUM, PGC, PLAIN, ROWS, SMALL, TORCHCAM, Row

PAGE = Path(__file__).parent.parent / "docs" / "parity.md"
PACKAGES = {PGC: "grad-cam", TORCHCAM: "torchcam", CAPTUM: "captum"}
Results = Mapping[str, Mapping[str, Mapping[str, Any]]]

HEAD = """# The same numbers as other libraries

With `like="pytorch-grad-cam"`, `"torchcam"`, `"captum"` or `"tf-keras-vis"` (`--like` on the command line) a method
gives that library's numbers: its formula where that is not the paper's, its constants, its way to scale, resize and
join maps, its defaults. Without `like` a method is as its paper has it. A method that the library does not have is
refused. Methods of many passes then explain the model's output as it is, as the library's own targets do, unless
`score` says another; those of one pass step over a final softmax all the same: give `score="output"` where the library
is handed such a model. The heatmap of captum's convention is the map enlarged in blocks, captum's own default.

This page is made by `python scripts/parity.py`. Every net has random weights, seeded, and batch normalisations that
have seen photos; a map that shows nothing is counted, never compared by correlation. Two photos with three classes
each; methods of many passes one photo and its best class. Compared is what the other library hands out, with the
heatmap of ONNX Runtime on one CPU: of captum the layer's or the picture's attribution itself, before anything is
scaled. Layers: {layers}. Two layers: {earlier} before these.

A cell: the largest difference of any pixel (of a map in [0, 1]; else over the largest value of the other library's
map), and the least correlation of any map, cut after six digits. Wanted: at most {difference:g}, at least
{correlation}. "–": the other library has nothing for such a net; the notes say why. "not run": hundreds of passes of a
large net, which small nets stand for. Small nets, and tf-keras-vis, are
compared in `tests/test_parity.py` and `tests/test_parity_keras.py`; beside their methods in their own tests `legrad`,
`sscam`, `smooth-gradcam++` (with the draws of one given to the other), deep feature factorisation and the metrics.
Small nets alone: {small}.

Two libraries never draw the same: where a method draws, the cells compare it with the draws of one given to the other
(for KernelSHAP every subset, as often as its weight says). What is left to chance, `tests/test_like.py` compares by
many draws of each, on a small net: Shapley values and coefficients of nine squares by `kernelshap`, `shapley-sampling`
and `lime` come within 0.1 of the largest with a correlation above 0.98, and `kernelshap` with every subset has the
values of captum's exact `ShapleyValues`.
"""


def write(results: Results) -> None:
    """The page, of the results by net and row."""
    layers = ", ".join(f"`{net.layer}` ({net.name})" for net in NETS.values())
    earlier = ", ".join(f"`{net.earlier}`" for net in NETS.values())
    small = "; ".join(f"`{row.name}` ({row.peer} {row.called})" for row in ROWS if row.needs in (SMALL, PLAIN))
    parts = [HEAD.format(layers=layers, earlier=earlier, small=small, difference=DIFFERENCE, correlation=CORRELATION)]
    parts += [table(peer, results) for peer in PACKAGES]
    parts += [by_paper(results), NOTES]
    PAGE.write_text("\n".join(parts))


def table(peer: str, results: Results) -> str:
    """A row for each method that the library has too, a column for each net."""
    version = importlib.metadata.version(PACKAGES[peer])
    rows = [row for row in ROWS if row.peer == peer and any(repr(row) in found for found in results.values())]
    notes = list(dict.fromkeys(note for row in rows for note in (row.note, row.needs and f"needs {row.needs}") if note))
    problems: list[str] = []
    lines = [
        f"## {peer} {version}\n",
        "| method | theirs | " + " | ".join(results) + " |",
        "|---" * (len(results) + 2) + "|",
    ]
    for row in rows:
        marks = "".join(f"<sup>{notes.index(n) + 1}</sup>" for n in (row.note, row.needs and f"needs {row.needs}") if n)
        cells = [cell(row, found.get(repr(row)), net, problems) for net, found in results.items()]
        lines.append(f"| `{row.name}`{marks} | {row.called} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1)), *problems, ""]
    return "\n".join(lines)


def cell(row: Row, found: Mapping[str, Any] | None, net: str, problems: list[str]) -> str:
    """What one net gave; why it gave nothing is added to the problems."""
    if row.needs and row.needs not in NETS[net].offers:
        return "–"
    if found is None:
        return "not run"
    for who, name in (("theirs", row.peer), ("ours", "onnxcam")):
        if who in found:
            problems.append(f"- `{row.name}`, {net}: {name} raises {found[who].replace('|', chr(92) + '|')}")
            return "–"
    flat = f", {found['flat']} flat" if found["flat"] else ""
    text = f"{found['difference']:.0e}, {shortened(found['correlation'])}{flat}"
    is_near = found["difference"] <= DIFFERENCE and found["correlation"] >= CORRELATION
    return text if is_near else f"**{text}**"


def shortened(correlation: float) -> str:
    """With as many nines as are sure, six at most."""
    return "none" if math.isnan(correlation) else f"{math.floor(correlation * 1e6) / 1e6:.6f}"


def by_paper(results: Results) -> str:
    """How far off the paper's own form is, of methods that the other library computes otherwise."""
    lines = [
        "## What is not the paper's\n",
        "The largest difference from the other library's map where `like` is left away, and only its way to scale is",
        'asked for (`normalize="torchcam"`): what the difference of formulas comes to.\n',
        "| method | of | " + " | ".join(results) + " |",
        "|---" * (len(results) + 2) + "|",
    ]
    for row in ROWS:
        found = [net.get(repr(row), {}).get("by_paper") for net in results.values()]
        if any(number is not None and number > DIFFERENCE for number in found):
            cells = ["–" if number is None else f"{number:.2g}" for number in found]
            lines.append(f"| `{row.name}` | {row.peer} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


NOTES = """What the libraries do, that we do only under `like`:

- **torch-cam, GradCAMpp** divides α in a copy that it throws away: the weights are Σ g²·max(g, 0).
- **torch-cam, CAM** has no ReLU, whatever its documentation says: the lowest place becomes 0.
- **torch-cam, LayerCAM** of several layers joins tanh(2·map) of each; the paper does so for shallow layers alone.
- **torch-cam, RefineCAM** multiplies at the size of its largest layer, and takes its own GradCAMpp inside.
- **torch-cam, ScoreCAM, SSCAM, ISCAM** scale masks before they enlarge them; ISCAM's strengths add up to 5.5.
- **torch-cam, SmoothGradCAMpp** takes the first derivative and the activation of the last noisy copy.
- **pytorch-grad-cam, FinerCAM** weighs the classes by their probabilities, which it differentiates too, with α = 1;
  ours is y − 0.6 · the mean of the three nearest, as torch-cam's.
- **pytorch-grad-cam, KPCA_CAM** leaves the sign to scikit-learn: the farthest place is positive. Ours rises with the
  mean over channels.
- **pytorch-grad-cam, AblationCAM** of a layer with values below zero sinks channels to −1e7, −2e7, −3e7 …, by their
  place in a batch of 32.
- **pytorch-grad-cam, ScoreCAM** enlarges masks with their corners on the corners.
- **pytorch-grad-cam, FullGrad** knows the biases of Conv2d and BatchNorm2d alone, and scales every channel by itself.
- **captum, GuidedGradCam** enlarges in blocks; **GuidedBackprop** and **Deconvolution** know `nn.ReLU` alone.
- **captum, Lime** fits a lasso (α = 0.01), and calls near what has a small angle to the picture, pixel by pixel;
  ours is the authors' ridge regression. `occlusion`, `feature-ablation`, `kernelshap`, `shapley-sampling`: hidden is 0
  in the model's units; **NoiseTunnel** adds noise of 1 to 5 copies; **GradientShap** takes 5 draws without noise.
- **tf-keras-vis, GradcamPlusPlus** scales α to sum 1 over each channel; its maps are enlarged with their corners on the
  corners and scaled after that. **Scorecam** weighs channels by the probability itself, also with `max_N`
  (`faster-scorecam`).

What is never reproduced, for it is no formula: pytorch-grad-cam and torch-cam read a layer's activation after the
next module has overwritten it in place, on a CPU (name the module that comes last, as the tables do), and order layers
as they run, not as they are named. Random numbers are our own: methods that draw are compared with the draws of one
given to the other.
"""
