"""Which methods other libraries have, by our names: those that `like` can ask for.

Where the library computes what we do, only its way to scale and its defaults are taken; where it does not, there is a
variant in the tables of methods or of drivers.
"""

from __future__ import annotations

from collections.abc import Mapping

HAVE: Mapping[str, tuple[str, ...]] = {
    "pytorch-grad-cam": (
        "gradcam", "gradcam++", "xgradcam", "hirescam", "layercam", "gradcam-elementwise", "ablationcam", "scorecam",
        "eigencam", "eigengradcam", "segeigencam", "kpca-cam", "fem", "randomcam", "shapleycam", "finercam",
        "refinecam", "fullgrad", "guided-backprop", "tta", "sess",
    ),
    "torchcam": (
        "cam", "gradcam", "gradcam++", "smooth-gradcam++", "xgradcam", "layercam", "scorecam", "sscam", "iscam",
        "finercam", "refinecam", "legrad",
    ),
    "captum": (
        "gradcam", "hirescam", "activation-mean", "saliency", "input-x-gradient", "guided-backprop", "deconvnet",
        "guided-gradcam", "lrp-epsilon", "deeplift", "deeplift-shap", "integrated-gradients", "smoothgrad",
        "squaregrad", "vargrad", "gradient-shap", "expected-gradients", "occlusion", "feature-ablation",
        "shapley-sampling", "kernelshap", "lime", "conductance",
    ),
    "tf-keras-vis": ("gradcam", "gradcam++", "layercam", "scorecam", "faster-scorecam", "saliency", "smoothgrad"),
}  # fmt: skip
