"""What a Keras file says of the pixels that its model takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from onnxcam_converters.keras.families import family_mode
from onnxcam_converters.keras.inputs import PICTURE_CHANNELS
from onnxcam_converters.keras.specs import Spec
from onnxcam_converters.keras.story import Story
from onnxcam_converters.keras.tensor import Tensor

# As keras.utils.load_img does it: without regard to the aspect ratio, the nearest pixel.
RESIZING = {"resize": "stretch", "interpolation": "nearest", "antialias": False}
SMALL_SCALE = 0.1  # a factor below it is for pixels from 0 to 255, one above it for pixels from 0 to 1


def preprocessing(story: Story, root: Spec, inputs: Sequence[Tensor], *, is_first: bool) -> dict[str, Any]:
    """The preprocessing that the model asks for, as far as its file tells; empty where it does not."""
    picture = next((x for x in inputs if x.rank == 4), None)
    channels = picture.shape[1 if is_first else -1] if picture else None
    if picture is None or channels not in PICTURE_CHANNELS:
        return {}
    size = [dim for dim in (picture.shape[2:] if is_first else picture.shape[1:3]) if isinstance(dim, int)]
    sized = {"size": size} if len(size) == 2 else {}
    if story.scalings:
        return {"preset": _built_in(story), **RESIZING, **sized}
    found = family_mode(names(root))
    if found is None:
        return {}
    name, mode = found
    if mode == "raw":
        story.note(f"{name} was made without its own scaling inside: say with preprocess=... which pixels it takes.")
        return {}
    story.note(f'Pixels are prepared as keras.applications does for {name}: mode "{mode}".')
    return {"preset": mode, **RESIZING, **sized}


def _built_in(story: Story) -> str:
    """The preset for what stands before the scaling inside: "raw" from 0 to 255, "unit" from 0 to 1."""
    paths = ", ".join(path for path, _, _ in story.scalings)
    path, kind, config = story.scalings[0]
    preset = "unit" if _is_for_unit(story, path, kind, config=config) else "raw"
    top = 1 if preset == "unit" else 255
    story.note(f"The model scales its pixels itself ({paths}): it takes them from 0 to {top}.")
    return preset


def _is_for_unit(story: Story, path: str, kind: str, *, config: Any) -> bool:
    """Whether the first scaling is for pixels from 0 to 1, by its factor or by the mean that it takes off."""
    if kind == "Rescaling":
        return bool(np.max(np.abs(config.get("scale", 1.0))) > SMALL_SCALE)
    if kind != "Normalization":
        return False
    mean = config.get("mean")
    if mean is None:
        names = ("mean", "variance", "count")
        arrays = story.layers[path].arrays(names) or story.layers[path].arrays(names[:2])
        mean = arrays[0] if arrays else 255.0
    return bool(np.max(np.abs(np.asarray(mean, np.float64))) <= 1)


def names(spec: Spec) -> Iterator[str]:
    """The names of a model and of the models in it."""
    if spec.is_model:
        yield spec.name
        for inner in spec.layers:
            yield from names(inner)
