"""How a model is run: what goes in, what its classes are called, and on what it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxcam.options.single import Providers, asked

if TYPE_CHECKING:
    from onnxcam.engine import Explainer


@dataclass(frozen=True)
class Describing:
    """What a model's file does not say of itself."""

    preprocess: Annotated[
        str | None, typer.Option("--preprocess", help="torchvision, caffe, tf, torch, unit, raw, letterbox; or JSON.")
    ] = None
    labels: Annotated[Path | None, typer.Option("--labels", help="Class names: one a line, or JSON.")] = None

    def arguments(self) -> dict[str, Any]:
        """Those of `onnxcam.convert` and `onnxcam.Explainer`; what was not said is left out."""
        return asked(preprocess=self.preprocess, labels=self.labels)

    def tell_what_was_assumed(self, explainer: Explainer) -> None:
        """Notes on what neither the file nor the user has said."""
        from onnxcam import opening

        opening.tell_what_was_assumed(explainer, self.preprocess)
        if self.labels is None:
            opening.tell_label_list(explainer.metadata)


@dataclass(frozen=True)
class Running:
    """What the model runs on."""

    provider: Providers = None
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.")] = None

    def arguments(self) -> dict[str, Any]:
        """Those of `onnxcam.Explainer`; what was not said is left out."""
        return asked(providers=self.provider, threads=self.threads)
