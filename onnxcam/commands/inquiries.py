"""The commands that only tell: what can be explained, how, and what is installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxcam import console
from onnxcam.options import SOURCE, AsJson, KeepOutputs, Opening, expanded

if TYPE_CHECKING:
    from onnxcam.layer import Layer


@expanded
def layers(
    model: Annotated[str, typer.Argument(help=SOURCE)],
    *,
    opening: Opening,
    keep_output: KeepOutputs = None,
    as_json: AsJson = False,
) -> None:
    """List what can be explained, the default (marked *) first."""
    from onnxcam import api
    from onnxcam.conversion import Request
    from onnxcam.opening import refuse_explain_graph

    refuse_explain_graph(model)
    request = Request(source=model, outputs=tuple(keep_output or ()), **opening.arguments())
    with console.without_native_noise():
        found = api.layers(request)
    width = max(len(layer.name) for layer in found)
    for layer in found:
        row = {
            "name": layer.name,
            "tensor": layer.tensor,
            "shape": list(layer.shape),
            "layout": layer.layout,
            "grid": list(layer.grid),
            "prefix": layer.prefix,
            "default": layer.is_default,
            "reason": layer.reason,
        }
        mark = "*" if layer.is_default else " "
        text = f"{mark} {layer.name:{width}}  {console.dims(layer.shape):16}  {_layout(layer)}  {layer.reason}"
        console.answer(json.dumps(row, ensure_ascii=False) if as_json else text)


def _layout(layer: Layer) -> str:
    """The layout; of tokens with their grid, and how many come before it: "NTC 1+14×14"."""
    before = f"{layer.prefix}+" if layer.prefix else ""
    return layer.layout if "T" not in layer.layout else f"{layer.layout} {before}{console.dims(layer.grid)}"


def methods(as_json: AsJson = False) -> None:
    """List the methods."""
    from onnxcam.methods import METHODS

    width = max(map(len, METHODS))
    for method in METHODS.values():
        options = {name: entry.default for name, entry in method.options.items()}
        row: dict[str, Any] = {"name": method.name, "gradient": method.needs_gradient}
        row |= {"summary": method.summary, "source": method.source, "options": options}
        row |= {"passes": "one" if method.driver is None else "many"}
        shown = ", ".join(f"{name}={value}" for name, value in options.items())
        text = f"{method.name:{width}} {method.summary} [{method.source}]{f' ({shown})' if shown else ''}"
        console.answer(json.dumps(row, ensure_ascii=False) if as_json else text)


def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, which providers and converters there are, and whether they work."""
    from onnxcam.diagnosis import diagnose

    with console.without_native_noise():
        findings = diagnose()
    for finding in findings:
        console.answer(json.dumps(finding.to_dict()) if as_json else str(finding))
    if any(not finding.is_fine for finding in findings):
        raise typer.Exit(1)
