"""What is known of keras.applications: which pixels each family of models takes."""

from __future__ import annotations

from collections.abc import Iterable

# The beginning of the model's name, and the mode of `preprocess_input`; the first that fits counts.
FAMILIES = (
    ("vgg", "caffe"),
    ("resnet50v2", "tf"),
    ("resnet101v2", "tf"),
    ("resnet152v2", "tf"),
    ("resnet-rs", "raw"),
    ("resnet_rs", "raw"),
    ("resnet50", "caffe"),
    ("resnet101", "caffe"),
    ("resnet152", "caffe"),
    ("inception", "tf"),
    ("xception", "tf"),
    ("mobilenetv3", "raw"),
    ("mobilenetv2", "tf"),
    ("mobilenet_v2", "tf"),
    ("mobilenet_", "tf"),
    ("nasnet", "tf"),
    ("densenet", "torch"),
    ("efficientnet", "raw"),
    ("convnext", "raw"),
    ("regnet", "raw"),
)


def family_mode(names: Iterable[str]) -> tuple[str, str] | None:
    """The name that belongs to keras.applications and how its pixels are prepared: "caffe", "tf", "torch" or "raw"."""
    for name in names:
        for start, mode in FAMILIES:
            if name.lower().startswith(start):
                return name, mode
    return None
