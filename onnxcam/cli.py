"""The command line: parse, call one function, print. Heavy imports sit inside the commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from onnxcam import __version__, console
from onnxcam.commands.compare import compare
from onnxcam.commands.convert import convert
from onnxcam.commands.evaluate import evaluate, metrics
from onnxcam.commands.explain import explain
from onnxcam.commands.factorize import factorize
from onnxcam.commands.gradient import gradient
from onnxcam.commands.inquiries import doctor, layers, methods
from onnxcam.errors import OnnxCamError
from onnxcam.options import AsJson, Folder

app = typer.Typer(
    name="onnxcam",
    help="Where did the model look? Heatmaps for any ONNX vision model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Runs the command line; errors of ours are one line on stderr and exit code 1."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    try:
        app()
    except OnnxCamError as error:
        console.complain(error)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Where did the model look? Heatmaps for any ONNX vision model."""
    if version:
        print(f"onnxcam {__version__}")
        raise typer.Exit


def demo(output: Folder = Path("onnxcam-demo"), as_json: AsJson = False) -> None:
    """Explain the digits of a picture with the small net that comes along; works offline."""
    from onnxcam.demo import explain_scene

    records = explain_scene(output)
    console.report(iter([[record] for record in records]), len(records), as_json=as_json)


for command in (
    convert, explain, compare, factorize, gradient, demo,
    evaluate, layers, methods, metrics, doctor,
):  # fmt: skip
    app.command()(command)
