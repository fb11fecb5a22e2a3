"""Where a photo's pixels lie in the model's input, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import ImageSizeMismatch


@dataclass(frozen=True, slots=True)
class Geometry:
    """The photo was resized whole, and then laid on the model's input with its corner at `origin`.

    Sizes are (height, width) and origins (top, left), in pixels; a negative origin is a crop, a positive one a border.
    """

    photo: tuple[int, int]
    resized: tuple[int, int]
    canvas: tuple[int, int]
    origin: tuple[int, int]

    @property
    def window(self) -> tuple[slice, slice]:
        """The part of the resized photo that the model sees."""
        return self.seen(0), self.seen(1)

    @property
    def filled(self) -> tuple[slice, slice]:
        """The part of the model's input that the photo fills."""
        rows, columns = self.window
        top, left = self.origin
        return slice(rows.start + top, rows.stop + top), slice(columns.start + left, columns.stop + left)

    def seen(self, axis: int) -> slice:
        """The lines of the resized photo that lie on the canvas, along one axis."""
        return slice(max(0, -self.origin[axis]), min(self.resized[axis], self.canvas[axis] - self.origin[axis]))

    def to_input(self, mask: NDArray[np.float32]) -> NDArray[np.float32]:
        """A mask (H, W) of the photo's pixels on the model's input (h, w), bilinear; 0 where the photo is not."""
        canvas = np.zeros(self.canvas, np.float32)
        canvas[self.filled] = stretched(mask, self.resized)[self.window]
        return canvas

    def box_to_input(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """(…, 4), x0 y0 x1 y1 in the photo's pixels, in those of the model's input."""
        return np.asarray(box * self._ratios + self._shift, np.float32)

    def box_to_photo(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """The way back."""
        return np.asarray((box - self._shift) / self._ratios, np.float32)

    @property
    def _ratios(self) -> NDArray[np.float64]:
        height, width = (new / old for new, old in zip(self.resized, self.photo, strict=True))
        return np.array([width, height, width, height])

    @property
    def _shift(self) -> NDArray[np.float64]:
        top, left = self.origin
        return np.array([left, top, left, top], np.float64)

    def to_photo(self, heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map (h, w) of the model's input on the photo's own pixels (H, W), bilinear; 0 outside a crop."""
        if heatmap.shape != self.canvas:
            heatmap = stretched(heatmap, self.canvas)
        rows, columns = self.window
        borders = rows.start, self.resized[0] - rows.stop, columns.start, self.resized[1] - columns.stop
        # The edge is repeated into what was cropped, so that the resize below meets no step at the crop's edge.
        whole = cv2.copyMakeBorder(np.ascontiguousarray(heatmap[self.filled]), *borders, cv2.BORDER_REPLICATE)
        result = stretched(whole, self.photo)
        for axis, part in enumerate((rows, columns)):
            middles = (np.arange(self.photo[axis]) + 0.5) * (self.resized[axis] / self.photo[axis])
            hidden = (middles < part.start) | (middles >= part.stop)
            result[(slice(None),) * axis + (hidden,)] = 0
        return result


def stretched(heatmap: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """The map at another size (h, w), bilinear, half-pixel, edges repeated; of a signal (l,), of a volume (d, h, w)."""
    if heatmap.ndim != 2:
        return along_each_axis(heatmap, size)
    resized = cv2.resize(np.asarray(heatmap, np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def along_each_axis(heatmap: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """The same for a map with any number of axes, one after the other."""
    found = np.asarray(heatmap, np.float32)
    for axis, wanted in enumerate(size):
        length = found.shape[axis]
        places = np.clip((np.arange(wanted) + 0.5) * (length / wanted) - 0.5, 0, length - 1)
        found = between(found, places, axis)
    return found


def between(heatmap: NDArray[np.float32], places: NDArray[np.float64], axis: int) -> NDArray[np.float32]:
    """The map at places along an axis, from 0 to its last, linear between two."""
    lower = np.clip(np.floor(places).astype(int), 0, max(heatmap.shape[axis] - 2, 0))
    upper = np.minimum(lower + 1, heatmap.shape[axis] - 1)
    shape = [1] * heatmap.ndim
    shape[axis] = len(places)
    share = (places - lower).astype(np.float32).reshape(shape)
    return np.asarray(np.take(heatmap, lower, axis) * (1 - share) + np.take(heatmap, upper, axis) * share, np.float32)


def place(
    photo: tuple[int, int],
    size: tuple[int, int] | None,
    *,
    resize: str,
    short_side: int | None = None,
    box: tuple[int, int] | None = None,
    rounding: str = "torchvision",
    align: str = "centre",
) -> Geometry:
    """Where a photo (H, W) lies in an input of `size` (h, w); without a size the input takes the photo's."""
    box = box or size
    if resize == "stretch" and box is not None:
        return centred(photo, box, size, rounding=rounding)
    if resize in ("letterbox", "cover") and box is not None:
        fitted = scaled(photo, box, is_covered=resize == "cover")
        if align == "corner" and size is not None:
            return Geometry(photo, fitted, size, (0, 0))
        return centred(photo, fitted, size, rounding=rounding)
    if resize == "shorter" and short_side is not None:
        return cropped(photo, size, short_side, rounding=rounding)
    if size is not None and size != photo:
        raise ImageSizeMismatch(photo, size)
    return Geometry(photo, photo, photo, (0, 0))


def scaled(photo: tuple[int, int], box: tuple[int, int], *, is_covered: bool) -> tuple[int, int]:
    """The photo's size in its own proportions: as small as covers the box, or as large as fits into it."""
    ratios = [room / length for room, length in zip(box, photo, strict=True)]
    ratio, bound = (max(ratios), max) if is_covered else (min(ratios), min)
    height, width = (max(1, bound(round(length * ratio), room)) for length, room in zip(photo, box, strict=True))
    return height, width


def cropped(
    photo: tuple[int, int], size: tuple[int, int] | None, short_side: int, *, rounding: str = "torchvision"
) -> Geometry:
    """The shorter side brought to `short_side`, then the middle.

    torchvision's Resize cuts the longer side's fraction off, and its CenterCrop rounds a half to even; "nearest" rounds
    the longer side and cuts the crop's half off, as scripts around Pillow mostly do; "down" cuts both off, as
    transformers does. Close calls hang on it.
    """
    whole = round if rounding == "nearest" else int
    short = min(photo)
    height, width = (short_side if length == short else whole(short_side * length / short) for length in photo)
    return centred(photo, (height, width), size, rounding=rounding)


def centred(
    photo: tuple[int, int], resized: tuple[int, int], size: tuple[int, int] | None, *, rounding: str
) -> Geometry:
    """The resized photo in the middle of the input, cropped or with a border; without a size it is the input."""
    if size is None:
        return Geometry(photo, resized, resized, (0, 0))
    top, left = (middle(length, room, rounding) for length, room in zip(resized, size, strict=True))
    return Geometry(photo, resized, size, (top, left))


def middle(length: int, room: int, rounding: str) -> int:
    """Where the resized photo begins: below 0 if it is cropped, else behind a border."""
    if length < room:
        return (room - length) // 2
    return -round((length - room) / 2) if rounding == "torchvision" else -((length - room) // 2)
