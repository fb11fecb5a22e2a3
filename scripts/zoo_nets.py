"""Nets of timm and torchvision with random weights that give signals, and where their last map is, told by PyTorch."""

from __future__ import annotations

import re
from typing import Any

from numpy.typing import NDArray
from onnxcam_converters.torch.outputs import first_tensor
from torch.overrides import TorchFunctionMode
from torch_support import timm, torch, torchvision

Array = NDArray[Any]
NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)
SMALL = 1e-3  # scales of residual branches below it are raised, lest the branch be lost in rounding
POOLS = ("adaptive_avg_pool2d", "avg_pool2d", "mean", "sum", "amax", "flatten")
FIRST_NORM = re.compile(r"(.*\.)?(norm1|ln_1|norm_1|norm1_\w|attn_norm|norm_out)")
# Nets whose score reads a class token, where timm does not say so.
CLASS_TOKEN = frozenset("cait coat convit crossvit levit_cls tnt volo xcit vit_b_16".split())
# Where neither the pool nor the first norm of the last block is the last map: what is, and why.
KNOWN = {
    "coat_tiny": ("parallel_blocks.5.norm14", "of the last of three scales, each of which has a class token"),
    "vgg11": (
        "features.19",
        "in front of the last pool, behind which a convolution or a dense layer takes the whole map",
    ),
}
# Nets whose activations grow with depth: calibrated, they magnify rounding until nothing can be compared.
UNCALIBRATED = frozenset(("convmixer_768_32",))


def make(name: str, **options: Any) -> tuple[torch.nn.Module, torch.Tensor]:
    """The net in evaluation mode, and four pictures of noise."""
    torch.manual_seed(0)
    library, _, short = name.partition(":")
    if library == "timm":
        module = timm.create_model(short, **options)
        size = module.pretrained_cfg["input_size"]
    else:
        module = torchvision.models.get_model(short, weights=None)
        size = (3, 299, 299) if short == "inception_v3" else (3, 224, 224)
    x = torch.randn(4, *size)
    enliven(module)
    if short not in UNCALIBRATED:
        calibrate(module, x)
    return module.eval(), x


def enliven(module: torch.nn.Module) -> None:
    """Random numbers where authors begin with zeros: heads, the last layer of residual branches, their scales."""
    for name, weight in module.named_parameters():
        if weight.ndim >= 2 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
        elif weight.abs().max() < SMALL and not name.endswith(("bias", "shift", "beta")):
            torch.nn.init.uniform_(weight, 0.1, 0.3)


def calibrate(module: torch.nn.Module, x: torch.Tensor) -> None:
    """Statistics of real signals in every batch normalisation, one standard deviation above the kink of ReLU.

    A deep random net magnifies rounding otherwise: PyTorch in float32 and in float64 differ by 1e-3 themselves.
    """
    module.eval()
    norms = [part for part in module.modules() if isinstance(part, NORMS)]
    for part in norms:
        part.reset_running_stats()
        part.momentum = None  # the plain mean
        if part.bias is not None:
            torch.nn.init.constant_(part.bias, 1.0)
        part.train(part.running_mean is not None)
    if norms:
        with torch.no_grad():
            module(x)


def hooked(module: torch.nn.Module, x: torch.Tensor) -> dict[str, Array]:
    """What each module gives in an eager run, by its path: the first tensor, of the last call."""
    found: dict[str, Array] = {}

    def keep(path: str, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            found.pop(path, None)
            found[path] = tensor.detach().numpy().copy()

    paths = dict(module.named_modules())
    hooks = [
        part.register_forward_hook(lambda _module, _given, output, path=path: keep(path, output))
        for path, part in paths.items()
    ]
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    first = {part: path for path, part in reversed(paths.items())}
    every = module.named_modules(remove_duplicate=False)
    return {path: found[first[part]] for path, part in every if first[part] in found}


class LastPool(TorchFunctionMode):
    """Keeps what goes into the last operation that does away with rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.given: torch.Tensor | None = None
        self.before_pool: tuple[torch.Tensor, torch.Tensor] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What the call gives."""
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        x = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if x is not None and isinstance(result, torch.Tensor):
            if name in POOLS and ends_space(x, result, name):
                self.given = x.clone()
            elif "max_pool2d" in name:
                self.before_pool = (x.clone(), result.clone())
        return result

    @property
    def last_map(self) -> torch.Tensor | None:
        """What went into it; of a net that closes with a maximum pool what went into that."""
        if self.given is not None and self.before_pool is not None:
            x, pooled = self.before_pool
            if pooled.shape == self.given.shape and torch.equal(pooled, self.given):
                return x
        return self.given


def ends_space(x: torch.Tensor, result: torch.Tensor, name: str) -> bool:
    """Whether the tensor had rows and columns, or tokens, and the result has none."""
    if name == "flatten":
        return x.ndim == 4 and result.ndim == 2 and x.shape[2] * x.shape[3] > 1
    channels = {x.shape[0] * x.shape[axis] for axis in {3: (1, 2), 4: (1, 3)}.get(x.ndim, ())}
    return result.numel() in channels and result.numel() < x.numel()


def expected(name: str, module: torch.nn.Module, x: torch.Tensor) -> tuple[str, Array | None]:
    """What the default layer is by PyTorch's own account, in words, and the tensor."""
    short = name.partition(":")[2]
    outputs = hooked(module, x)
    if short in KNOWN:
        path, why = KNOWN[short]
        return f"`{path}` ({why})", outputs[path]
    has_class_token = getattr(module, "global_pool", None) == "token" or short.partition("_")[0] in CLASS_TOKEN
    if has_class_token or short in CLASS_TOKEN:
        path = [path for path in outputs if FIRST_NORM.fullmatch(path)][-1]
        return f"`{path}` (the first norm of the last block)", outputs[path]
    with torch.no_grad(), LastPool() as pools:
        module(x)
    found = pools.last_map
    return "what goes into the last pool", None if found is None else found.numpy()
