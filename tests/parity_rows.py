"""Which of our methods another library has too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from parity_draws import feature_ablation, gradient_shap, kernel_shap, lime, noise_tunnel, shapley_sampling
from parity_peers import (
    Array,
    Theirs,
    ablation_of_tokens,
    captum_layer,
    captum_picture,
    finer_cam,
    grad_cam,
    guided_backprop,
    refine_cam,
    sess,
    torch_cam,
)

PGC, TORCHCAM, CAPTUM = "pytorch-grad-cam", "torchcam", "captum"
ANYWHERE, MAPS, LINEAR = "", "a layer of maps, not of tokens", "a mean and one dense layer behind the layer"
SMALL = "a small net, for it takes ten times the passes of Score-CAM: see tests/test_parity.py"
TOKENS = "channels that come last"
NORMS = "batch normalisations of the class nn.BatchNorm2d: the biases of others, as timm's, are overlooked"
PLAIN = "no more than convolutions, ReLUs, pools and dense layers"


@dataclass(frozen=True)
class Row:
    """A method that two libraries have.

    Attributes:
        method: ours.
        peer: whose numbers `like` asks for.
        called: what the other library calls it.
        theirs: the other library's maps.
        options: what our method is asked besides.
        score: what is explained; None: what the method explains by default.
        layers: how many are fused; 0 where the picture itself is explained.
        output: which of our outputs is compared.
        needs: what the net must have, for the other library to give anything.
        wrap: what goes around the method.
        is_slow: one picture and one class will do, for there are many passes.
        note: what is to be known of the comparison.
    """

    method: str
    peer: str
    called: str
    theirs: Theirs
    options: dict[str, Any] = field(default_factory=dict)
    score: str | None = None
    layers: int = 1
    output: str = "heatmap"
    needs: str = ANYWHERE
    wrap: str | None = None
    is_slow: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        """The method with its options."""
        told = [f"wrap={self.wrap}"] if self.wrap else []
        told += [f"{key}={value}" for key, value in self.options.items()]
        told += [f"{self.layers} layers"] if self.layers > 1 else []
        told += [f"score={self.score}"] if self.score in ("rest", "probability") else []
        return ", ".join([self.method, *told])

    def __repr__(self) -> str:
        return f"{self.peer} {self.called} {self.name}"


def drawn(low: float, high: float, *, size: tuple[int, int]) -> Array:
    """What `randomcam` weighs channels by, for each of the pictures."""
    pictures, channels = size
    return np.tile(np.random.default_rng(0).uniform(low, high, channels), (pictures, 1))


def smooth(method: str, called: str, **facts: Any) -> Row:
    """A method of pytorch-grad-cam with `eigen_smooth`."""
    theirs = grad_cam(called, fixed_sign=True, eigen_smooth=True)
    return Row(method, PGC, called, theirs, {"eigen_smooth": True}, note=SIGN, **facts)


def of_squares(method: str, called: str, theirs: Theirs, **options: Any) -> Row:
    """A method of captum of superpixels."""
    return Row(method, CAPTUM, called, theirs, options, is_slow=True, note=SQUARES, **MASKS)


def of_draws(method: str, called: str, theirs: Theirs, **facts: Any) -> Row:
    """A method of captum that draws, with the draws of one given to the other."""
    return Row(method, CAPTUM, called, theirs, is_slow=True, note=SAME_DRAWS, **facts)


SIGN = "of a principal component either sign will do: both are turned as ours is by default"
DRAWN = "the weights that we drew are given to both"
BEFORE_GRID = "on tokens it raises: it weighs them before it has made them a grid"
CANCELLED = "behind a layer normalisation without training channels cancel: rounding alone is left of their mean"
AXIS_1 = "it takes axis 1 for the channels: of tokens the sum over them is left"
SAME_DRAWS = "with the same draws: what ours draws with its seed 0 is given to captum"
SQUARES = "of a picture cut into squares, which both are given for superpixels; the same draws too, where any are made"
WHOLE = {"output": "attribution", "layers": 0}
MASKS: dict[str, Any] = {"output": "raw_map", "layers": 0}
OCCLUSION = {"window": 16, "stride": 12}

ROWS = [
    Row("gradcam", PGC, "GradCAM", grad_cam("GradCAM")),
    Row("gradcam++", PGC, "GradCAMPlusPlus", grad_cam("GradCAMPlusPlus")),
    Row("xgradcam", PGC, "XGradCAM", grad_cam("XGradCAM")),
    Row("hirescam", PGC, "HiResCAM", grad_cam("HiResCAM")),
    Row("layercam", PGC, "LayerCAM", grad_cam("LayerCAM")),
    Row("gradcam-elementwise", PGC, "GradCAMElementWise", grad_cam("GradCAMElementWise")),
    Row("eigencam", PGC, "EigenCAM", grad_cam("EigenCAM", fixed_sign=True), note=SIGN),
    Row("eigengradcam", PGC, "EigenGradCAM", grad_cam("EigenGradCAM", fixed_sign=True), note=SIGN),
    Row("segeigencam", PGC, "SegEigenCAM", grad_cam("SegEigenCAM")),
    Row("kpca-cam", PGC, "KPCA_CAM", grad_cam("KPCA_CAM")),
    Row("fem", PGC, "FEM", grad_cam("FEM")),
    Row("randomcam", PGC, "RandomCAM", grad_cam("RandomCAM", chance=drawn), note=DRAWN),
    Row("shapleycam", PGC, "ShapleyCAM", grad_cam("ShapleyCAM"), needs=MAPS, note=BEFORE_GRID),
    Row(
        "shapleycam",
        PGC,
        "ShapleyCAM, ClassifierOutputReST",
        grad_cam("ShapleyCAM", target="ClassifierOutputReST"),
        score="rest",
        needs=MAPS,
        note=BEFORE_GRID,
    ),
    Row(
        "gradcam",
        PGC,
        "GradCAM, ClassifierOutputSoftmaxTarget",
        grad_cam("GradCAM", target="ClassifierOutputSoftmaxTarget"),
        score="probability",
    ),
    Row("finercam", PGC, "FinerCAM", finer_cam),
    Row("refinecam", PGC, "RefineCAM", refine_cam, layers=2),
    Row("gradcam", PGC, "GradCAM", grad_cam("GradCAM"), layers=2),
    Row("layercam", PGC, "LayerCAM", grad_cam("LayerCAM"), layers=2),
    smooth("gradcam", "GradCAM"),
    smooth("gradcam++", "GradCAMPlusPlus"),
    smooth("layercam", "LayerCAM"),
    smooth("xgradcam", "XGradCAM"),
    smooth("hirescam", "HiResCAM"),
    smooth("gradcam-elementwise", "GradCAMElementWise"),
    smooth("shapleycam", "ShapleyCAM", needs=MAPS),
    Row("gradcam", PGC, "GradCAM, aug_smooth", grad_cam("GradCAM", aug_smooth=True), wrap="tta", is_slow=True),
    Row("layercam", PGC, "LayerCAM, aug_smooth", grad_cam("LayerCAM", aug_smooth=True), wrap="tta", is_slow=True),
    Row("gradcam", PGC, "SESS", sess, wrap="sess", is_slow=True),
    Row("ablationcam", PGC, "AblationCAM", grad_cam("AblationCAM"), needs=MAPS, is_slow=True),
    Row("ablationcam", PGC, "AblationCAM, AblationLayerVit", ablation_of_tokens, needs=TOKENS, is_slow=True),
    Row("scorecam", PGC, "ScoreCAM", grad_cam("ScoreCAM"), is_slow=True),
    Row("fullgrad", PGC, "FullGrad", grad_cam("FullGrad"), layers=0, needs=NORMS, is_slow=True),
    Row("guided-backprop", PGC, "GuidedBackpropReLUModel", guided_backprop, **WHOLE),
    Row("gradcam", TORCHCAM, "GradCAM", torch_cam("GradCAM")),
    Row("gradcam++", TORCHCAM, "GradCAMpp", torch_cam("GradCAMpp")),
    Row("xgradcam", TORCHCAM, "XGradCAM", torch_cam("XGradCAM")),
    Row("layercam", TORCHCAM, "LayerCAM", torch_cam("LayerCAM")),
    Row("cam", TORCHCAM, "CAM", torch_cam("CAM"), needs=LINEAR),
    Row("finercam", TORCHCAM, "FinerCAM", torch_cam("FinerCAM")),
    Row("refinecam", TORCHCAM, "RefineCAM", torch_cam("RefineCAM"), layers=2),
    Row("gradcam", TORCHCAM, "GradCAM", torch_cam("GradCAM"), layers=2),
    Row("layercam", TORCHCAM, "LayerCAM", torch_cam("LayerCAM"), layers=2),
    Row("scorecam", TORCHCAM, "ScoreCAM", torch_cam("ScoreCAM"), is_slow=True),
    Row("iscam", TORCHCAM, "ISCAM", torch_cam("ISCAM"), is_slow=True, needs=SMALL),
    Row(
        "gradcam",
        CAPTUM,
        "LayerGradCam",
        captum_layer("LayerGradCam"),
        output="raw_map",
        needs=MAPS,
        note=AXIS_1,
    ),
    Row("hirescam", CAPTUM, "LayerGradientXActivation", captum_layer("LayerGradientXActivation"), output="raw_map"),
    Row("conductance", CAPTUM, "LayerConductance", captum_layer("LayerConductance"), output="raw_map", is_slow=True),
    Row(
        "activation-mean",
        CAPTUM,
        "LayerActivation",
        captum_layer("LayerActivation", np.mean),
        output="raw_map",
        needs=MAPS,
        note=CANCELLED,
    ),
    Row("saliency", CAPTUM, "Saliency", captum_picture("Saliency"), **WHOLE),
    Row("input-x-gradient", CAPTUM, "InputXGradient", captum_picture("InputXGradient"), **WHOLE),
    Row("guided-backprop", CAPTUM, "GuidedBackprop", captum_picture("GuidedBackprop"), **WHOLE),
    Row("deconvnet", CAPTUM, "Deconvolution", captum_picture("Deconvolution"), **WHOLE),
    Row("guided-gradcam", CAPTUM, "GuidedGradCam", captum_picture("GuidedGradCam"), output="attribution", needs=MAPS),
    Row("lrp-epsilon", CAPTUM, "LRP", captum_picture("LRP"), needs=PLAIN, **WHOLE),
    Row("deeplift", CAPTUM, "DeepLift", captum_picture("DeepLift"), needs=PLAIN, **WHOLE),
    Row(
        "integrated-gradients",
        CAPTUM,
        "IntegratedGradients",
        captum_picture("IntegratedGradients"),
        is_slow=True,
        **WHOLE,
    ),
    Row(
        "occlusion",
        CAPTUM,
        "Occlusion",
        captum_picture("Occlusion", sliding_window_shapes=(3, 16, 16), strides=(3, 12, 12)),
        OCCLUSION,
        is_slow=True,
        **MASKS,
    ),
    of_draws("smoothgrad", "NoiseTunnel, smoothgrad", noise_tunnel("smoothgrad"), **WHOLE),
    of_draws("squaregrad", "NoiseTunnel, smoothgrad_sq", noise_tunnel("smoothgrad_sq"), **WHOLE),
    of_draws("vargrad", "NoiseTunnel, vargrad", noise_tunnel("vargrad"), **WHOLE),
    of_draws("gradient-shap", "GradientShap", gradient_shap, **WHOLE),
    of_draws("expected-gradients", "GradientShap", gradient_shap, **WHOLE),
    of_squares("feature-ablation", "FeatureAblation", feature_ablation),
    of_squares("shapley-sampling", "ShapleyValueSampling", shapley_sampling(16), segments=16),
    of_squares("kernelshap", "KernelShap, every subset", kernel_shap(4), segments=4),
    of_squares("lime", "Lime", lime(16, 1e-4), segments=16, alpha=1e-4),
]
