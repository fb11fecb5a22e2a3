"""What other libraries take where nothing is said, of methods that they compute as we do: for `like`.

The score is the model's output as it is, which is what a target of these libraries points to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxcam.drivers.table import variant

CAPTUM: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "occlusion": (
        "Occlusion with Captum's defaults: windows of 0 in the model's units, moved by single pixels.",
        {"stride": 1, "fill": "zero"},
    ),
    "feature-ablation": (
        "Superpixels hidden one after the other by 0 in the model's units, Captum's baseline.",
        {"fill": "zero"},
    ),
    "kernelshap": (
        "KernelSHAP with Captum's defaults: 25 subsets, hidden is 0 in the model's units.",
        {"samples": 25, "fill": "zero"},
    ),
    "shapley-sampling": (
        "Sampled Shapley values with Captum's defaults: 25 orders, hidden is 0 in the model's units.",
        {"samples": 25, "fill": "zero"},
    ),
    "integrated-gradients": (
        "Integrated gradients with Captum's defaults: from 0 in the model's units, channels summed with their sign.",
        {"steps": 50, "rule": "gausslegendre", "baselines": "zero", "channels": "sum"},
    ),
    "expected-gradients": (
        "Captum's GradientShap, whose default is no noise: 5 draws, from 0 in the model's units, channels summed.",
        {"samples": 5, "baselines": "zero", "channels": "sum"},
    ),
    "gradient-shap": (
        "GradientShap with Captum's defaults: 5 draws, no noise, from 0 in the model's units, channels summed.",
        {"samples": 5, "baselines": "zero", "noise": 0.0, "channels": "sum"},
    ),
}
NOISE_TUNNEL = {
    "smoothgrad": "The mean",
    "squaregrad": "The mean square",
    "vargrad": "The variance",
}

for _name, (_summary, _defaults) in CAPTUM.items():
    variant(_name, like="captum", summary=_summary, score="output", defaults=_defaults)
for _name, _statistic in NOISE_TUNNEL.items():
    variant(
        _name,
        like="captum",
        summary=f"{_statistic} of Saliency in Captum's NoiseTunnel: 5 copies, noise of 1 in the model's units.",
        score="output",
        defaults={"samples": 5, "std": 1.0, "of": "absolute", "channels": "sum"},
    )
variant(
    "smoothgrad",
    like="tf-keras-vis",
    summary="Saliency of tf-keras-vis with smooth_samples=20, as its guide has it: the mean |gradient|, noise of 0.2.",
    score="output",
    defaults={"samples": 20, "noise": 0.2, "of": "absolute", "channels": "maximum"},
)
