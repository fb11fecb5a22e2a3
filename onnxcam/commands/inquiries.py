"""The commands that only tell: what can be explained, how, and what is installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxcam import console
from onnxcam.options import SOURCE, AsJson, KeepOutputs, Opening, expanded

if TYPE_CHECKING:
    from onnxcam.drivers import Driver
    from onnxcam.layer import Layer
    from onnxcam.methods import Method

WIDTH = 28  # of the names of methods


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
    """List the methods, and behind them those that go around one of one pass: --wrap."""
    from onnxcam.drivers import DRIVERS
    from onnxcam.methods import METHODS
    from onnxcam.planning import wrapping

    for method in METHODS.values():
        passes = "one" if method.driver is None else "many"
        tell_method(method, {"gradient": method.needs_gradient, "passes": passes, "wraps": False}, as_json=as_json)
    for name in wrapping():
        tell_method(DRIVERS[name], {"gradient": False, "passes": "many", "wraps": True}, as_json=as_json)


def tell_method(method: Method | Driver, facts: dict[str, Any], *, as_json: bool) -> None:
    """One line about it."""
    options = {name: entry.default for name, entry in method.options.items()}
    told = {"name": method.name, "summary": method.summary, "source": method.source, "options": options}
    shown = ", ".join(f"{name}={value}" for name, value in options.items())
    how = f"--wrap {method.name}: " if facts["wraps"] else ""
    text = f"{method.name:{WIDTH}} {how}{method.summary} [{method.source}]{f' ({shown})' if shown else ''}"
    console.answer(json.dumps(told | facts, ensure_ascii=False) if as_json else text)


def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, which providers and converters there are, and whether they work."""
    from onnxcam.diagnosis import diagnose

    with console.without_native_noise():
        findings = diagnose()
    for finding in findings:
        console.answer(json.dumps(finding.to_dict()) if as_json else str(finding))
    if any(not finding.is_fine for finding in findings):
        raise typer.Exit(1)
