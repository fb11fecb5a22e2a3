"""Small detectors with random weights: one backbone, and the heads of each family as their authors export them."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import cache

import onnx
import pytest

torch = pytest.importorskip("torch", reason="extra `torch` is not installed")
nn = torch.nn

CLASSES, SIDE, STRIDES = 7, 96, (8, 16, 32)
ANCHORS = [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]


class Backbone(nn.Module):
    """Three scales of 8 channels, the finer ones mixed with what the coarser ones say."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 4, 1)
        self.down = nn.ModuleList(nn.Conv2d(8, 8, 3, 2, 1) for _ in range(3))
        self.lateral = nn.ModuleList(nn.Conv2d(16, 8, 3, 1, 1) for _ in range(2))

    def forward(self, x):
        x = nn.functional.silu(self.stem(x))
        found = []
        for conv in self.down:
            x = nn.functional.silu(conv(x))
            found.append(x)
        for at in (1, 0):
            stretched = nn.functional.interpolate(found[at + 1], scale_factor=2)
            found[at] = self.lateral[at](torch.cat([stretched, found[at]], 1)).relu()
        return found


def convs(width: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(8, width, 1) for _ in STRIDES)


def cells(h: int, w: int):
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack((x, y), 2).float()


def centres_and_lengths(maps, shift: float):
    centres = torch.cat([(cells(*f.shape[2:]) + shift).view(-1, 2) for f in maps])
    lengths = torch.cat(
        [torch.full((f.shape[2] * f.shape[3], 1), float(s)) for f, s in zip(maps, STRIDES, strict=True)]
    )
    return centres, lengths


class Anchored(nn.Module):
    """YOLOv3 to v7: three anchors a cell; decoded as v5 and v7 do, or as v3 and v4 do, or raw in two layouts."""

    def __init__(self, form: str = "decoded", classes: int = CLASSES) -> None:
        super().__init__()
        self.backbone, self.form, self.width = Backbone(), form, 5 + classes
        self.heads = convs(3 * self.width)

    def forward(self, x):
        flat, parted, decoded = [], [], []
        for head, f, stride, sizes in zip(self.heads, self.backbone(x), STRIDES, ANCHORS, strict=True):
            raw = head(f)
            flat.append(raw)
            n, _, h, w = raw.shape
            t = raw.view(n, 3, self.width, h, w).permute(0, 1, 3, 4, 2).contiguous()
            parted.append(t)
            anchors, grid = torch.tensor(sizes).float().view(1, 3, 1, 1, 2), cells(h, w)
            if self.form == "exponential":
                xy, wh = (t[..., :2].sigmoid() + grid) * stride, t[..., 2:4].exp() * anchors
                rest = t[..., 4:].sigmoid()
            else:
                xy, wh, rest = t.sigmoid().split((2, 2, self.width - 4), 4)
                xy, wh = (xy * 2 - 0.5 + grid) * stride, (wh * 2) ** 2 * anchors
            decoded.append(torch.cat((xy, wh, rest), 4).view(n, -1, self.width))
        return {"flat": tuple(flat), "parted": tuple(parted)}.get(self.form, torch.cat(decoded, 1))


class Distributed(nn.Module):
    """YOLOv8 to v12: distributions over distances; decoded, or raw as one or two outputs a scale."""

    def __init__(self, form: str = "decoded", classes: int = CLASSES) -> None:
        super().__init__()
        self.backbone, self.form, self.classes = Backbone(), form, classes
        self.boxes, self.scores = convs(64), convs(classes)
        self.mean = nn.Conv2d(16, 1, 1, bias=False)
        self.mean.weight.data[:] = torch.arange(16.0).view(1, 16, 1, 1)

    def forward(self, x):
        maps = self.backbone(x)
        pairs = [(b(f), s(f)) for b, s, f in zip(self.boxes, self.scores, maps, strict=True)]
        if self.form == "pairs":
            return tuple(output for pair in pairs for output in pair)
        joined = [torch.cat(pair, 1) for pair in pairs]
        if self.form == "maps":
            return tuple(joined)
        both = torch.cat([m.view(m.shape[0], 64 + self.classes, -1) for m in joined], 2)
        box, scores = both.split((64, self.classes), 1)
        n, _, count = box.shape
        distances = self.mean(box.view(n, 4, 16, count).transpose(2, 1).softmax(1)).view(n, 4, count)
        centres, lengths = centres_and_lengths(maps, 0.5)
        before, behind = distances.chunk(2, 1)
        first, last = centres.T - before, centres.T + behind
        xywh = torch.cat(((first + last) / 2, last - first), 1) * lengths.T
        return torch.cat((xywh, scores.sigmoid()), 1)


class Decoupled(nn.Module):
    """YOLOX: offsets, objectness and classes from three branches; raw or decoded. YOLOv6: objectness is all ones."""

    def __init__(self, form: str = "raw", classes: int = CLASSES) -> None:
        super().__init__()
        self.backbone, self.form = Backbone(), form
        self.boxes, self.objects, self.scores = convs(4), convs(1), convs(classes)

    def forward(self, x):
        maps = self.backbone(x)
        centres, lengths = centres_and_lengths(maps, 0.5 if self.form == "ones" else 0.0)
        if self.form == "ones":
            boxes = torch.cat([b(f).flatten(2) for b, f in zip(self.boxes, maps, strict=True)], 2).permute(0, 2, 1)
            scores = torch.cat([s(f).sigmoid().flatten(2) for s, f in zip(self.scores, maps, strict=True)], 2)
            first, last = centres - boxes[..., :2], centres + boxes[..., 2:]
            xywh = torch.cat([(first + last) / 2, last - first], -1) * lengths
            ones = torch.ones((x.shape[0], boxes.shape[1], 1))
            return torch.cat([xywh, ones, scores.permute(0, 2, 1)], -1)
        heads = zip(self.boxes, self.objects, self.scores, maps, strict=True)
        found = [torch.cat([b(f), o(f).sigmoid(), s(f).sigmoid()], 1).flatten(2) for b, o, s, f in heads]
        raw = torch.cat(found, 2).permute(0, 2, 1)
        if self.form == "raw":
            return raw
        return torch.cat([(raw[..., :2] + centres) * lengths, raw[..., 2:4].exp() * lengths, raw[..., 4:]], -1)


class Focal(nn.Module):
    """NanoDet and PicoDet: classes and 4 · 8 bins; one table, or two outputs a scale."""

    def __init__(self, form: str = "table") -> None:
        super().__init__()
        self.backbone, self.form = Backbone(), form
        self.heads = convs(CLASSES + 32)

    def forward(self, x):
        both = [head(f).split([CLASSES, 32], 1) for head, f in zip(self.heads, self.backbone(x), strict=True)]
        if self.form == "pairs":
            scores = [s.sigmoid().flatten(2).permute(0, 2, 1) for s, _ in both]
            return (*scores, *(b.flatten(2).permute(0, 2, 1) for _, b in both))
        return torch.cat([torch.cat([s.sigmoid(), b], 1).flatten(2) for s, b in both], 2).permute(0, 2, 1)


class Faces(nn.Module):
    """YuNet: twelve outputs, four a scale; SCRFD: nine, without objectness and with two anchors a cell."""

    def __init__(self, form: str = "yunet") -> None:
        super().__init__()
        self.backbone, self.form = Backbone(), form
        self.anchors = 1 if form == "yunet" else 2
        self.heads = nn.ModuleList(convs(width * self.anchors) for width in (1, 1, 4, 10))

    def forward(self, x):
        maps = self.backbone(x)
        rows = [
            [head(f).permute(0, 2, 3, 1).reshape(x.shape[0], -1, width) for head, f in zip(heads, maps, strict=True)]
            for heads, width in zip(self.heads, (1, 1, 4, 10), strict=True)
        ]
        squashed = [[row.sigmoid() for row in rows[0]], [row.sigmoid() for row in rows[1]], rows[2], rows[3]]
        kept = squashed if self.form == "yunet" else [squashed[0], *squashed[2:]]
        return tuple(row for kind in kept for row in kind)


class Queries(nn.Module):
    """DETR and its kin: queries; as logits and boxes, as one table, or with the detections picked."""

    def __init__(self, form: str = "logits") -> None:
        super().__init__()
        self.backbone, self.form = Backbone(), form
        self.queries = nn.Parameter(torch.randn(30, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.scores, self.boxes = nn.Linear(8, CLASSES), nn.Linear(8, 4)

    def forward(self, x):
        memory = self.backbone(x)[2].flatten(2).transpose(1, 2)
        queries = self.queries[None].expand(memory.shape[0], -1, -1)
        h = queries + self.attention(queries, memory, memory)[0]
        logits, boxes = 4 * self.scores(h), self.boxes(h).sigmoid()
        if self.form == "logits":
            return logits, boxes
        if self.form == "softmax":
            return logits.softmax(-1), boxes
        if self.form == "table":
            return torch.cat([boxes, logits.sigmoid()], -1)
        cx, cy, w, h = boxes.unbind(-1)
        corners = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], -1) * SIDE
        scores, place = logits.sigmoid().flatten(1).topk(12, dim=-1)
        rows = (place // CLASSES).unsqueeze(-1).repeat(1, 1, 4)
        labels, picked = place % CLASSES, corners.gather(1, rows)
        if self.form == "picked":
            return labels, picked, scores
        return torch.cat([picked, scores.unsqueeze(-1), labels.unsqueeze(-1).float()], -1)


@dataclass(frozen=True)
class Exported:
    """A net and its file; `x`: a batch of two pictures."""

    net: nn.Module
    model: onnx.ModelProto
    x: torch.Tensor

    def outputs(self):
        with torch.no_grad():
            found = self.net(self.x)
        return [value.numpy() for value in (found if isinstance(found, tuple) else (found,))]


@cache
def exported(kind: type[nn.Module], form: str, *, names: tuple[str, ...] = (), classes: int = CLASSES) -> Exported:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = (kind(form) if classes == CLASSES else kind(form, classes)).eval()
    file, x = io.BytesIO(), torch.rand(2, 3, SIDE, SIDE)
    # Of attention with queries of its own the tracer writes the batch into shapes, so it must be said to be open.
    axes = {"images": {0: "N"}} if kind is Queries else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (x[:1],),
            file,
            dynamo=False,
            opset_version=17,
            input_names=["images"],
            output_names=list(names) or None,
            dynamic_axes=axes,
        )
    return Exported(net, onnx.load_from_string(file.getvalue()), x)
