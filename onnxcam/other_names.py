"""What else methods and libraries are called: the classes of other libraries, abbreviations, papers' words."""

from __future__ import annotations

from collections.abc import Iterable

SEPARATORS = str.maketrans("", "", " -_.")
# By names without capitals and separators.
METHODS = {
    "activationmap": "activation-mean",
    "attentionlrp": "lrp-attention",
    "attentionrollout": "rollout",
    "attnlrp": "lrp-attention",
    "backprop": "saliency",
    "backpropagation": "saliency",
    "chefer": "gradient-rollout",
    "cheferlrp": "gradient-rollout",
    "deconv": "deconvnet",
    "deconvolution": "deconvnet",
    "detclassprobabilitymap": "detector-map",
    "featureexplanationmethod": "fem",
    "genericattention": "gradient-rollout",
    "gradcampp": "gradcam++",
    "gradcamplusplus": "gradcam++",
    "gradient": "saliency",
    "gradients": "saliency",
    "gradientattentionrollout": "gradient-rollout",
    "gradientinput": "input-x-gradient",
    "gradientxinput": "input-x-gradient",
    "gradinput": "input-x-gradient",
    "gradxinput": "input-x-gradient",
    "gradshap": "gradient-shap",
    "guidedbackpropagation": "guided-backprop",
    "guidedbackproprelumodel": "guided-backprop",
    "hsicattributionmethod": "hsic",
    "ig": "integrated-gradients",
    "inputxgrad": "input-x-gradient",
    "intgrad": "integrated-gradients",
    "layeractivation": "activation-mean",
    "layergradcam": "gradcam",
    "layergradientxactivation": "hirescam",
    "noisetunnel": "smoothgrad",
    "occlusionsensitivity": "occlusion",
    "shap": "kernelshap",
    "shapleyvalues": "shapley-sampling",
    "shapleyvaluesampling": "shapley-sampling",
    "slidingwindow": "occlusion",
    "smoothgradcampp": "smooth-gradcam++",
    "smoothgradcamplusplus": "smooth-gradcam++",
    "sobolattributionmethod": "sobol",
    "vanilla": "saliency",
    "vanillagradient": "saliency",
    "vanillagradients": "saliency",
    "vargradient": "vargrad",
}
# Of what is no method here, how it is had.
WAYS = {
    "augsmooth": "It goes around another method: --wrap tta.",
    "deepfeaturefactorization": "Concepts are found by a command of their own: onnxcam factorize.",
    "dff": "Concepts are found by a command of their own: onnxcam factorize.",
    "eigensmooth": "It is an option of gradcam and others: --option eigen_smooth=true.",
    "sess": "It goes around another method: --wrap sess.",
    "testtimeaugmentation": "It goes around another method: --wrap tta.",
    "tta": "It goes around another method: --wrap tta.",
}
LIBRARIES = {
    "gradcam": "pytorch-grad-cam",
    "pgc": "pytorch-grad-cam",
    "jacobgil": "pytorch-grad-cam",
    "kerasvis": "tf-keras-vis",
    "tfkeras": "tf-keras-vis",
    "tkv": "tf-keras-vis",
}


def folded(name: str) -> str:
    """The name without capitals and separators."""
    return name.casefold().translate(SEPARATORS)


def spelled(name: str, known: Iterable[str]) -> str:
    """The one of those known that differs in capitals and separators alone; else the name itself."""
    names = list(known)
    if name in names:
        return name
    same = [entry for entry in names if folded(entry) == folded(name)]
    return same[0] if len(same) == 1 else name


def hint(name: str, known: Iterable[str]) -> str:
    """What a method of that name, which is none of those known, is called here, as a sentence; "" if nobody knows."""
    key = folded(name)
    return WAYS[key] if key in WAYS else _meant(spelled(METHODS.get(key, name), known), known)


def hint_of_library(name: str, known: Iterable[str]) -> str:
    """Likewise for a library."""
    return _meant(spelled(LIBRARIES.get(folded(name), name), known), known)


def _meant(name: str, known: Iterable[str]) -> str:
    return f"Did you mean {name!r}?" if name in known else ""
