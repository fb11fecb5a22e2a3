"""The nets of scripts/gradient_zoo.py: those of scripts/zoo_nets.py, and transformers' from small configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zoo_nets
from torch_support import torch

SIZES = {"image_size": 64, "patch_size": 16, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 96, "num_labels": 11}
STAGES = {"image_size": 64, "embed_dim": 24, "depths": [1, 2, 1], "num_heads": [2, 2, 4], "window_size": 4}
STAGES |= {"num_labels": 11}
SEGMENTS = {"num_encoder_blocks": 4, "depths": [1, 1, 1, 1], "hidden_sizes": [16, 24, 32, 48], "num_labels": 11}
SEGMENTS |= {"decoder_hidden_size": 32, "num_attention_heads": [1, 2, 2, 4]}


class Output(torch.nn.Module):
    """A net of transformers as a module from pictures to one tensor."""

    def __init__(self, net: torch.nn.Module, key: str) -> None:
        super().__init__()
        self.net, self.key = net, key

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output of that name."""
        return self.net(pixel_values=x, return_dict=True)[self.key]


def make(name: str, **options: Any) -> tuple[torch.nn.Module, torch.Tensor]:
    """The net in evaluation mode, and four pictures of noise."""
    library, _, short = name.partition(":")
    if library != "transformers":
        return zoo_nets.make(name, **options)
    torch.manual_seed(0)
    build, key, size = TRANSFORMERS[short]
    module = Output(build(), key)
    x = torch.randn(4, 3, size, size)
    spread(module)
    zoo_nets.enliven(module)
    zoo_nets.calibrate(module, x)
    return module.eval(), x


def calm(module: torch.nn.Module, x: torch.Tensor, attempt: int = 0) -> torch.Tensor:
    """Pictures for the module, others at each attempt; its signals now lie three deviations above the kink of ReLU.

    On a kink the gradient jumps, to a side that rounding decides: PyTorch in float32 and in float64 differ by as much.
    The pictures have structure at all scales; of white noise all places of a late map, which are pooled, look the same.
    """
    x = smooth_noise(len(x), x.shape[-1])
    for part in module.modules():
        if isinstance(part, zoo_nets.NORMS):
            if part.bias is not None:
                torch.nn.init.constant_(part.bias, 3.0)
            part.reset_running_stats()
            part.momentum = None
            part.train(part.running_mean is not None)
    with torch.no_grad():
        module(x)
        for part in module.modules():
            if isinstance(part, zoo_nets.NORMS) and part.running_var is not None:
                part.running_var.clamp_(min=1e-2)  # a dead channel would be blown up, and the next by it
    module.eval()
    torch.manual_seed(attempt)
    return smooth_noise(len(x), x.shape[-1]) if attempt else x


def smooth_noise(count: int, size: int) -> torch.Tensor:
    """Random pictures with structure at all scales, as photographs have."""
    stretch = torch.nn.functional.interpolate
    parts = [stretch(torch.randn(count, 3, n, n), (size, size), mode="bilinear") for n in (4, 8, 16, 32, size)]
    return torch.stack(parts).sum(dim=0) / 2


def spread(module: torch.nn.Module) -> None:
    """Weights as large as their fan allows, where transformers begin with 0.02: else attention is all but uniform."""
    for part in module.modules():
        if isinstance(part, torch.nn.Linear):
            torch.nn.init.xavier_normal_(part.weight)


def of(kind: str, model: str, config: str, **sizes: Any) -> Callable[[], torch.nn.Module]:
    """What builds the model of that class from that configuration."""

    def build() -> torch.nn.Module:
        import transformers

        transformers.logging.set_verbosity_error()
        return getattr(transformers, kind + model)(getattr(transformers, kind + config)(**sizes))

    return build


def detr() -> torch.nn.Module:
    """With a backbone of timm's, as it comes, without its weights."""
    import transformers

    backbone = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    sizes = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "num_queries": 7, "num_labels": 5}
    sizes |= {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
    config = transformers.DetrConfig(backbone_config=backbone, use_timm_backbone=False, backbone=None, **sizes)
    return transformers.DetrForObjectDetection(config)


CLASSIFIER = "ForImageClassification"
# What builds it, the output that is differentiated, and the pictures' size.
TRANSFORMERS: dict[str, tuple[Callable[[], torch.nn.Module], str, int]] = {
    "vit": (of("ViT", CLASSIFIER, "Config", **SIZES), "logits", 64),
    "deit": (of("DeiT", CLASSIFIER, "Config", **SIZES), "logits", 64),
    "beit": (of("Beit", CLASSIFIER, "Config", **SIZES, use_relative_position_bias=True), "logits", 64),
    "swin": (of("Swin", CLASSIFIER, "Config", **STAGES, patch_size=4), "logits", 64),
    "swinv2": (of("Swinv2", CLASSIFIER, "Config", **STAGES, patch_size=4), "logits", 64),
    "convnextv2": (
        of("ConvNextV2", CLASSIFIER, "Config", image_size=64, hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 2, 1]),
        "logits",
        64,
    ),
    "dinov2": (of("Dinov2", CLASSIFIER, "Config", **SIZES), "logits", 64),
    "segformer": (of("Segformer", CLASSIFIER, "Config", **SEGMENTS), "logits", 64),
    "segformer_semantic": (of("Segformer", "ForSemanticSegmentation", "Config", **SEGMENTS), "logits", 64),
    "mobilevit": (
        of(
            "MobileViT", CLASSIFIER, "Config", image_size=64, hidden_sizes=[24, 32, 48], num_labels=11,
            neck_hidden_sizes=[8, 16, 24, 32, 48, 56, 96],
        ),
        "logits",
        64,
    ),
    "clip_vision": (
        of("CLIPVision", "ModelWithProjection", "Config", **{**SIZES, "num_labels": 2}, projection_dim=16),
        "image_embeds",
        64,
    ),
    "detr": (detr, "logits", 96),
}  # fmt: skip
