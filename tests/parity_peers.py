"""Maps of other libraries, for the same module, layers, pictures and classes as ours."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray
from torch_support import torch

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Asked:
    """What every library is asked.

    Attributes:
        module: in evaluation mode.
        layers: paths of the modules whose outputs are explained, in the order in which they run.
        x: (N, 3, H, W).
        targets: a class for each of the N pictures.
        as_grid: turns a layer's output into (N, C, h, w), as the other libraries want it said.
    """

    module: Any
    layers: tuple[str, ...]
    x: Any
    targets: tuple[int, ...]
    as_grid: Callable[[Any], Any] | None = None

    @property
    def modules(self) -> list[Any]:
        """The modules of the layers."""
        return [self.module.get_submodule(path) for path in self.layers]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return tuple(self.x.shape[2:])


Draw: TypeAlias = Callable[..., Array]
Theirs: TypeAlias = Callable[[Asked], Array]


def grad_cam(
    name: str,
    *,
    target: str = "ClassifierOutputTarget",
    fixed_sign: bool = False,
    eigen_smooth: bool = False,
    aug_smooth: bool = False,
    chance: Draw | None = None,
    **options: Any,
) -> Theirs:
    """The (N, H, W) maps of a class of pytorch-grad-cam, for its score of the class `target`.

    With `fixed_sign` its components rise with the mean over channels; `chance` draws its random numbers.
    """

    def theirs(asked: Asked) -> Array:
        library = grad_cam_library()
        with ExitStack() as changed:
            changed.enter_context(quiet())
            if fixed_sign:
                changed.enter_context(same_side(library, name))
            if chance is not None:
                changed.enter_context(patch("numpy.random.uniform", chance))
            given = () if name == "FullGrad" else (asked.as_grid,)
            cam = changed.enter_context(getattr(library, name)(asked.module, asked.modules, *given, **options))
            targets = grad_cam_targets(library, asked, target)
            return np.asarray(cam(asked.x, targets, aug_smooth=aug_smooth, eigen_smooth=eigen_smooth))

    return theirs


def finer_cam(asked: Asked) -> Array:
    """The maps of pytorch-grad-cam's FinerCAM, which takes one class for all pictures unless it is told the targets."""
    library = grad_cam_library()
    with quiet(), library.FinerCAM(asked.module, asked.modules, asked.as_grid) as cam:
        maps = [cam(x[None], target_idx=target) for x, target in zip(asked.x, asked.targets, strict=True)]
    return np.concatenate(maps)


def refine_cam(asked: Asked) -> Array:
    """The maps of pytorch-grad-cam's RefineCAM, which leaves its hooks behind."""
    library = grad_cam_library()
    with quiet():
        cam = library.RefineCAM(asked.module, asked.modules, asked.as_grid)
        found = cam(asked.x, grad_cam_targets(library, asked))
        for each in cam.base_cam_per_layer:
            each.activations_and_grads.release()
    return np.asarray(found)


def sess(asked: Asked) -> Array:
    """The maps of pytorch-grad-cam's SESS around its GradCAM."""
    library = grad_cam_library()
    with quiet():
        cam = library.SESS(asked.module, asked.modules, asked.as_grid)
        found = cam(asked.x, grad_cam_targets(library, asked))
        cam.base_cam.activations_and_grads.release()
    return np.asarray(found)


def ablation_of_tokens(asked: Asked) -> Array:
    """The maps of pytorch-grad-cam's AblationCAM with the layer that it has for channels that come last."""
    layers = pytest.importorskip("pytorch_grad_cam.ablation_layer", reason="grad-cam is not installed")
    return grad_cam("AblationCAM", ablation_layer=layers.AblationLayerVit())(asked)


def grad_cam_library() -> Any:
    """pytorch-grad-cam, or the test is skipped."""
    return pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")


def grad_cam_targets(library: Any, asked: Asked, name: str = "ClassifierOutputTarget") -> list[Any]:
    """What pytorch-grad-cam calls the scores of the classes."""
    return [getattr(library.utils.model_targets, name)(target) for target in asked.targets]


@contextmanager
def same_side(library: Any, name: str) -> Iterator[None]:
    """A singular vector's sign is anybody's: within, pytorch-grad-cam's are turned to rise with the mean channel."""
    own = import_module(getattr(library, name).__module__)
    module = own if hasattr(own, "get_2d_projection") else library.base_cam
    project = module.get_2d_projection

    def turned(batch: Array) -> Array:
        found = project(batch)
        return np.asarray(found * side_of_mean(batch, found)[:, None, None])

    with patch.object(module, "get_2d_projection", turned):
        yield


def side_of_mean(batch: Array, found: Array) -> Array:
    """1 or -1 by which components (N, h, w) of (N, C, h, w) rise with the mean over channels.

    Where the mean is all but flat, rounding would decide; there the farthest place is made positive.
    """
    x = (batch - batch.mean(axis=(2, 3), keepdims=True)).reshape(*batch.shape[:2], -1).astype(np.float64)
    axis = np.einsum("ncp,np->nc", x, found.reshape(len(found), -1))
    together = axis.mean(axis=1) / np.sqrt((axis**2).mean(axis=1))
    farthest = found.max(axis=(1, 2)) + found.min(axis=(1, 2))
    return np.where(np.where(np.abs(together) > 1e-3, together, farthest) < 0, -1.0, 1.0).astype(np.float32)


def torch_cam(name: str, **options: Any) -> Theirs:
    """The (N, H, W) maps of a class of torch-cam: its own fusion, and its own way to enlarge."""

    def theirs(asked: Asked) -> Array:
        methods = pytest.importorskip("torchcam.methods", reason="torchcam is not installed")
        given = {"target_layer": list(asked.layers), "input_shape": tuple(asked.x.shape[1:])} | options
        if asked.as_grid is not None:
            given["reshape_transform"] = asked.as_grid
        with quiet(), getattr(methods, name)(asked.module, **given) as cam:
            found = cam(list(asked.targets), asked.module(asked.x))
            # Of one map fuse_cams gives back just that map; of several it enlarges each.
            base = getattr(cam, "base_cam", cam)
            fused = base.fuse_cams(found, asked.size) if len(found) > 1 else enlarged(found[0], asked.size)
        return np.asarray(fused.detach().numpy())

    return theirs


def captum_layer(name: str, joined: Callable[..., Array] = np.sum, **options: Any) -> Theirs:
    """The (N, h, w) attribution of a layer by a class of captum, its channels joined."""

    def theirs(asked: Asked) -> Array:
        attr = pytest.importorskip("captum.attr", reason="captum is not installed")
        method = getattr(attr, name)(asked.module, asked.modules[0])
        target = {} if name == "LayerActivation" else {"target": list(asked.targets)}
        with quiet():
            found = method.attribute(asked.x.clone().requires_grad_(), **target, **options)
        found = found if asked.as_grid is None else asked.as_grid(found)
        return np.asarray(joined(found.detach().numpy(), axis=1))

    return theirs


def captum_picture(name: str, **options: Any) -> Theirs:
    """The (N, 3, H, W) attribution of the pictures by a class of captum; (N, H, W) where all channels have the same."""

    def theirs(asked: Asked) -> Array:
        attr = pytest.importorskip("captum.attr", reason="captum is not installed")
        # Its hooks do not bear modules that overwrite what they are given.
        module = not_in_place(asked.module)
        layers = [module.get_submodule(path) for path in asked.layers]
        with quiet():
            method = getattr(attr, name)(module, *layers)
            found = method.attribute(asked.x.clone().requires_grad_(), target=list(asked.targets), **options)
        found = found.detach().numpy()
        return np.asarray(found[:, 0] if name == "Occlusion" else found)

    return theirs


def not_in_place(module: Any) -> Any:
    """A copy that keeps what goes into its activations."""
    copied = copy.deepcopy(module)
    for part in copied.modules():
        if getattr(part, "inplace", False):
            part.inplace = False
    return copied


def guided_backprop(asked: Asked) -> Array:
    """The (N, 3, H, W) maps of pytorch-grad-cam's GuidedBackpropReLUModel, which takes one picture at a time."""
    library = grad_cam_library()
    model = library.GuidedBackpropReLUModel(model=copy.deepcopy(asked.module), device="cpu")
    pairs = zip(asked.x, asked.targets, strict=True)
    return np.stack([model(x[None].clone(), target).transpose(2, 0, 1) for x, target in pairs])


def enlarged(maps: Any, size: Sequence[int]) -> Any:
    """(N, h, w) → (N, H, W), as torch-cam's fuse_cams does it."""
    return torch.nn.functional.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]


@contextmanager
def quiet() -> Iterator[None]:
    """Other libraries' warnings are theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
