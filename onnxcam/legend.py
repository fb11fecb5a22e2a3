"""A strip of text below a picture: what was asked, what the colours mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from onnxcam.images import Image
from onnxcam.overlay import coloured

FONT = cv2.FONT_HERSHEY_SIMPLEX
PAPER, INK = 255, (20, 20, 20)
FONT_SCALE_PER_PIXEL = 1 / 900
SMALLEST, LARGEST = 0.42, 3.0  # font scales: about 9 and 66 pixels of height
MARKS = "/_.:-"  # names of tensors may be cut behind these
HAS_UNICODE = int(cv2.__version__.split(".")[0]) >= 5  # earlier releases draw ASCII only


def with_legend(image: Image, lines: Sequence[str], *, colormap: str) -> Image:
    """The picture with a strip below it: the colour map from low to high, and the lines, wrapped to its width."""
    width = image.shape[1]
    scale = min(max(width * FONT_SCALE_PER_PIXEL, SMALLEST), LARGEST)
    margin, pitch, thickness = round(18 * scale), round(34 * scale), 1 if scale < 1 else 2
    rows = [row for line in lines for row in wrapped(drawable(line), width - 2 * margin, scale)]
    strip = np.full((len(rows) * pitch + margin, width, 3), PAPER, np.uint8)
    for number, row in enumerate(rows):
        baseline = margin // 2 + number * pitch + round(24 * scale)
        cv2.putText(strip, row, (margin, baseline), FONT, scale, INK, thickness, cv2.LINE_AA)
    return np.vstack([image, bar(width, max(3, round(12 * scale)), colormap), strip])


def bar(width: int, height: int, colormap: str) -> Image:
    """The colour map from 0 on the left to 1 on the right."""
    ramp = np.linspace(0, 1, width, dtype=np.float32)
    return coloured(np.broadcast_to(ramp, (height, width)), colormap)


def drawable(text: str) -> str:
    """The text in characters that this OpenCV can draw; others become question marks."""
    return text if HAS_UNICODE else text.encode("ascii", "replace").decode()


def wrapped(text: str, room: int, scale: float) -> Iterator[str]:
    """The text in rows of at most `room` pixels, broken at spaces, inside a word only where it must be."""
    row = ""
    for word in text.split():
        longer = f"{row} {word}".strip()
        if measured(longer, scale) <= room:
            row = longer
            continue
        if row:
            yield row
        *full, row = broken(word, room, scale)
        yield from full
    yield row


def broken(word: str, room: int, scale: float) -> list[str]:
    """One word in pieces of at most `room` pixels, a character each at the least, cut behind a mark if one is near."""
    pieces, piece = [], ""
    for character in word:
        if piece and measured(piece + character, scale) > room:
            at = seam(piece)
            pieces.append(piece[:at])
            piece = piece[at:]
        piece += character
    return [*pieces, piece]


def seam(piece: str) -> int:
    """Where a piece of a word is best cut: behind its last mark or before its last capital, if not too early."""
    ends = [1 + place for place, character in enumerate(piece) if character in MARKS]
    ends += [place for place in range(1, len(piece)) if piece[place - 1].islower() and piece[place].isupper()]
    return max((end for end in ends if 2 * end >= len(piece)), default=len(piece))


def measured(text: str, scale: float) -> int:
    """The width in pixels of a row."""
    return int(cv2.getTextSize(text, FONT, scale, 1 if scale < 1 else 2)[0][0])
