"""Trains the net of `onnxcam demo` and writes onnxcam/demo: demo.onnx, scene.jpg and boxes.json.

    python scripts/train_demo.py

The net answers "which digits are in the picture?" for cluttered scenes of scikit-learn's handwritten digits. It is told
the digits, never where they are; how well Grad-CAM finds them is then measured on scenes of handwriting that it has
not seen. Needs torch, onnxscript, scikit-learn and a few minutes on two cores.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from scenes import LABELS, SIZE_PX, Box, Scene, compose, handwriting  # noqa: E402

DEMO = ROOT / "onnxcam" / "demo"
TRAINING_SCENES = 24_000
HELD_OUT_SCENES = 400
FIRST_HELD_OUT_SEED = 1_000_000
EPOCHS = 4
BATCH = 64
KERNEL_RANK = 4
LEARNING_RATE = 4e-3
TOLERANCE_PX = 4.0
MODULE_NAMES = "pkg.torch.onnx.name_scopes"  # where the exporter notes each node's module
DEMO_SEED = 1_000_045  # chosen by eye among the held-out scenes
DEMO_SIZE_PX = 384


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut around them."""

    def __init__(self, channels_in: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, channels, h / stride, w / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class DigitNet(nn.Module):
    """Images (N, 3, 96, 96) in [0, 1] → one logit per digit (N, 10); the last map is 12×12."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.stage1 = Block(16, 32, stride=2)
        self.stage2 = Block(32, 48, stride=1)
        self.stage3 = Block(48, 64, stride=2)
        self.stage4 = Block(64, 72, stride=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(72, len(LABELS))

    def features(self, x: Tensor) -> Tensor:
        """The activation of stage4, (N, 72, 12, 12)."""
        return self.stage4(self.stage3(self.stage2(self.stage1(self.stem(x)))))

    def read(self, a: Tensor) -> Tensor:
        """The logits (N, 10) for an activation of stage4."""
        return self.head(self.pool(a).flatten(1))

    def forward(self, image: Tensor) -> Tensor:
        """One logit per digit, (N, 10)."""
        return self.read(self.features(image))


def compose_many(first_seed: int, count: int, *, held_out: bool) -> list[Scene]:
    """Scenes with consecutive seeds, composed by all cores."""
    draw = partial(compose, source=handwriting(held_out=held_out))
    with ProcessPoolExecutor(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        return list(pool.map(draw, range(first_seed, first_seed + count), chunksize=64))


def presence(scenes: list[Scene]) -> NDArray[np.float32]:
    """1 where a scene holds the digit, (n, 10)."""
    table = np.zeros((len(scenes), len(LABELS)), np.float32)
    for row, scene in zip(table, scenes, strict=True):
        row[[box.digit for box in scene.boxes]] = 1.0
    return table


def to_input(images: NDArray[np.uint8]) -> Tensor:
    """Pictures (n, h, w, 3) as the net takes them: (n, 3, h, w) in [0, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0


def recolour(x: Tensor) -> Tensor:
    """The batch with its colour channels shuffled, and as a negative half of the time."""
    x = x[:, torch.randperm(3)]
    return 1.0 - x if torch.rand(()) < 0.5 else x


def train(scenes: list[Scene]) -> DigitNet:
    """A net trained on which digits the scenes hold, in eval mode."""
    torch.manual_seed(0)
    images, wanted = np.stack([scene.image for scene in scenes]), torch.from_numpy(presence(scenes))
    net = DigitNet().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    steps = EPOCHS * (len(scenes) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    for epoch in range(EPOCHS):
        losses = []
        for chosen in torch.randperm(len(scenes))[: steps // EPOCHS * BATCH].split(BATCH):
            logits = net(recolour(to_input(images[chosen.numpy()])))
            loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {np.mean(losses):.4f}", flush=True)
    return net.eval()


def grad_cam(net: DigitNet, x: Tensor, digit: int) -> Tensor:
    """Selvaraju et al. 2017 at stage4 for one image (1, 3, h, w): a map (h, w), not normalised."""
    a = net.features(x).detach().requires_grad_()
    (g,) = torch.autograd.grad(net.read(a)[0, digit], a)
    raw = (g.mean(dim=(2, 3), keepdim=True) * a).sum(dim=1, keepdim=True).relu().detach()
    return nn.functional.interpolate(raw, x.shape[2:], mode="bilinear", align_corners=False)[0, 0]


def is_hit(heatmap: Tensor, box: Box) -> bool:
    """Whether the map's maximum lies in the box, give or take TOLERANCE_PX."""
    y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
    return box.holds(x + 0.5, y + 0.5, tolerance_px=TOLERANCE_PX)


def report(net: DigitNet, scenes: list[Scene]) -> None:
    """Prints how well the net reads held-out scenes, and how well Grad-CAM points at what it read."""
    x, wanted = to_input(np.stack([scene.image for scene in scenes])), presence(scenes) > 0.5
    with torch.no_grad():
        logits = np.concatenate([net(part).numpy() for part in x.split(BATCH)])
    best_absent = np.where(wanted, -np.inf, logits).max(axis=1, keepdims=True)
    hits = [is_hit(grad_cam(net, x[i : i + 1], box.digit), box) for i, s in enumerate(scenes) for box in s.boxes]
    print(f"held-out scenes: {len(scenes)}, digits in them: {int(wanted.sum())}")
    print(f"mean average precision: {average_precision_score(wanted, logits, average='macro'):.4f}")
    print(f"surest digit is in the picture: {wanted[np.arange(len(x)), logits.argmax(axis=1)].mean():.4f}")
    print(f"digits above every absent digit: {(logits > best_absent)[wanted].mean():.4f}")
    print(f"right side of zero, all 10 logits: {((logits > 0) == wanted).mean():.4f}")
    print(f"pointing game, Grad-CAM at stage4, give or take {TOLERANCE_PX:g} px: {np.mean(hits):.4f}")


def export(net: DigitNet, path: Path) -> None:
    """Writes the net as one ONNX file that says by itself how pictures are prepared and what its outputs mean."""
    example = torch.rand(2, 3, SIZE_PX, SIZE_PX)
    program = torch.onnx.export(
        net.to(memory_format=torch.contiguous_format),
        (example,),
        dynamo=True,
        opset_version=18,
        input_names=["image"],
        output_names=["digits"],
        dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
        verbose=False,
    )
    model = program.model_proto
    forget_machine(model)
    preprocessing = {"resize": "stretch", "size": [SIZE_PX, SIZE_PX], "channels": "RGB", "scale": 1.0 / 255.0}
    preprocessing |= {"mean": [0, 0, 0], "std": [1, 1, 1], "layout": "NCHW"}
    said = {"labels": LABELS, "preprocessing": preprocessing}
    model.metadata_props.add(key="onnxcam.model", value=json.dumps(said))
    narrow_weights(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def narrow_weights(model: onnx.ModelProto) -> None:
    """Keeps the kernels in a quarter of the bytes, whole numbers times a scale for each channel.

    As Cast and Mul, which every runtime computes once when it loads the file: the net itself counts in float32.
    """
    widening = []
    for tensor in [tensor for tensor in model.graph.initializer if len(tensor.dims) == KERNEL_RANK]:
        name, kernel = tensor.name, onnx.numpy_helper.to_array(tensor)
        scale = (np.abs(kernel).max(axis=(1, 2, 3), keepdims=True) / 127).astype(np.float32)
        parts = {"int8": np.rint(kernel / scale).astype(np.int8), "scale": scale}
        model.graph.initializer.remove(tensor)
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(array, f"{name}.{part}") for part, array in parts.items()
        )
        cast = onnx.helper.make_node("Cast", [f"{name}.int8"], [f"{name}.whole"], to=onnx.TensorProto.FLOAT)
        widening += [cast, onnx.helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name])]
    nodes = [*widening, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def forget_machine(model: onnx.ModelProto) -> None:
    """Drops what the exporter noted of this machine, its paths among it; the modules' names stay."""
    for item in (*model.graph.node, *model.graph.value_info):
        kept = [prop for prop in item.metadata_props if prop.key == MODULE_NAMES]
        del item.metadata_props[:]
        item.metadata_props.extend(kept)


def save_scene(scene: Scene, folder: Path) -> None:
    """Writes scene.jpg, and boxes.json with the digits' boxes in its pixels."""
    cv2.imwrite(str(folder / "scene.jpg"), scene.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    boxes = [
        {"label": LABELS[b.digit], "box": [b.x0, b.y0, b.x1, b.y1]} for b in sorted(scene.boxes, key=lambda b: b.digit)
    ]
    (folder / "boxes.json").write_text(json.dumps({"image": "scene.jpg", "boxes": boxes}, indent=2) + "\n")


def main() -> None:
    """Compose, train, measure, write."""
    started = time.perf_counter()
    scenes = compose_many(0, TRAINING_SCENES, held_out=False)
    print(f"{len(scenes)} training scenes after {time.perf_counter() - started:.0f} s", flush=True)
    net = train(scenes)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, trained after {time.perf_counter() - started:.0f} s")
    report(net, compose_many(FIRST_HELD_OUT_SEED, HELD_OUT_SCENES, held_out=True))
    DEMO.mkdir(exist_ok=True)
    export(net, DEMO / "demo.onnx")
    save_scene(compose(DEMO_SEED, handwriting(held_out=True), size=DEMO_SIZE_PX), DEMO)
    for path in sorted(DEMO.iterdir()):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
