"""The heatmap in colours over the photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from onnxcam.errors import HeatmapRangeError, UnknownChoice
from onnxcam.geometry import stretched
from onnxcam.images import Image

Floats: TypeAlias = NDArray[np.float32]
BlendRule: TypeAlias = Callable[[Floats, Floats, np.float32], Floats]

COLORMAPS: dict[str, int] = {
    name.removeprefix("COLORMAP_").lower(): getattr(cv2, name) for name in dir(cv2) if name.startswith("COLORMAP_")
}
DEFAULT_COLORMAP = "inferno"
DARKEST = 1e-6  # keeps an all-black picture from a division by zero


def mixed(image: Floats, colours: Floats, alpha: np.float32) -> Floats:
    """alpha·colours + (1 − alpha)·image."""
    return alpha * colours + (np.float32(1) - alpha) * image


def mixed_to_full_range(image: Floats, colours: Floats, alpha: np.float32) -> Floats:
    """The mixture divided by its own maximum, as pytorch-grad-cam's show_cam_on_image shows it."""
    mixture = mixed(image, colours, alpha)
    return mixture / np.float32(max(float(mixture.max()), DARKEST))


def added(image: Floats, colours: Floats, alpha: np.float32) -> Floats:
    """alpha·colours + image, cut off at white: the rule of Chollet's book, there with alpha = 0.4."""
    return (alpha * colours + image).clip(max=1)


BLENDS: dict[str, BlendRule] = {"alpha": mixed, "pytorch-grad-cam": mixed_to_full_range, "add": added}


def blend(
    image: Image,
    heatmap: Floats,
    *,
    alpha: float = 0.5,
    colormap: str = DEFAULT_COLORMAP,
    rule: str = "alpha",
) -> Image:
    """The photo with the heatmap laid over it.

    Args:
        image: RGB (H, W, 3).
        heatmap: (h, w) in [0, 1]; scaled to the photo, bilinear.
        alpha: weight of the heatmap's colours, 0 (only the photo) to 1.
        colormap: any of OpenCV's by name.
        rule: one of `BLENDS`.

    Raises:
        HeatmapRangeError: if a value lies outside [0, 1] or is not a number.
        UnknownChoice: for a colour map or rule that does not exist.
    """
    if rule not in BLENDS:
        raise UnknownChoice("blend rule", rule, BLENDS)
    size = image.shape[0], image.shape[1]
    fitted = heatmap if heatmap.shape == size else stretched(heatmap, size)
    colours = coloured(fitted, colormap)
    result = BLENDS[rule](floats(image), floats(colours), np.float32(alpha))
    # pytorch-grad-cam cuts the fraction off; elsewhere a photo under alpha = 0 must come back as it was.
    return (result * 255 if rule == "pytorch-grad-cam" else np.rint(result * 255)).astype(np.uint8)


def floats(image: Image) -> Floats:
    """The pixels from 0 to 1."""
    return image.astype(np.float32) / np.float32(255)


def coloured(heatmap: Floats, colormap: str) -> Image:
    """The heatmap (H, W) in the colour map's RGB colours."""
    if colormap.lower() not in COLORMAPS:
        raise UnknownChoice("colour map", colormap, COLORMAPS)
    if heatmap.ndim != 2 or not np.isfinite(heatmap).all():
        raise HeatmapRangeError("is not a plane of finite numbers")
    if heatmap.size and (heatmap.min() < 0 or heatmap.max() > 1):
        raise HeatmapRangeError(f"goes from {heatmap.min():.3g} to {heatmap.max():.3g}")
    levels = (heatmap * np.float32(255)).astype(np.uint8)
    bgr = np.asarray(cv2.applyColorMap(levels, COLORMAPS[colormap.lower()]), np.uint8)
    return np.ascontiguousarray(bgr[..., ::-1])


def drawable(heatmap: Floats) -> Floats:
    """The heatmap in [0, 1]: unchanged if it is, else (raw conventions) without what is below 0, over its maximum."""
    if heatmap.min(initial=0) >= 0 and heatmap.max(initial=0) <= 1:
        return heatmap
    positive = heatmap.clip(min=0)
    return np.asarray(positive / (float(positive.max()) or 1.0), np.float32)


def saturated(heatmap: Floats, share: float) -> Floats:
    """The heatmap with the highest `share` of its pixels at 1 and the others raised alike."""
    level = float(np.quantile(heatmap, np.clip(1 - share, 0, 1))) if share else 1.0
    return np.minimum(heatmap / np.float32(level), np.float32(1)) if level > 0 else heatmap
