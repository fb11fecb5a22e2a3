"""`onnxcam gradient`: the differentiator by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxcam import console
from onnxcam.options import SOURCE, AsJson, DynamicSize, Opening, expanded, refuse_own_source

Of = Annotated[str | None, typer.Option("--of", help="The tensor to differentiate; the first output by default.")]
Wrt = Annotated[
    list[str] | None, typer.Option("--wrt", help="Tensors to differentiate by; every float input by default.")
]
Rules = Annotated[
    str | None, typer.Option("--rules", help="A modified backward pass: guided, deconvnet, lrp-epsilon …")
]


@expanded
def gradient(
    source: Annotated[str, typer.Argument(help=SOURCE)],
    output: Annotated[Path, typer.Option("-o", "--output", help="The model with gradients to write.")],
    *,
    of: Of = None,
    wrt: Wrt = None,
    rules: Rules = None,
    opening: Opening,
    dynamic_size: DynamicSize = False,
    as_json: AsJson = False,
) -> None:
    """Write the model with the gradient of a tensor appended: input cotangent, outputs gradient/NAME."""
    from onnxcam import gradients
    from onnxcam.conversion import Request
    from onnxcam.graph import write

    refuse_own_source(source, output)
    request = Request(source=source, dynamic_size=dynamic_size, **opening.arguments())
    with console.without_native_noise():
        model = gradients.gradient(request, of, wrt or None, rules)
    write(model, output)
    added = [info.name for info in model.graph.output if info.name.startswith(gradients.PREFIX)]
    row = {"output": str(output), "gradients": added if as_json else ", ".join(added)}
    console.show(row, as_json=as_json)
