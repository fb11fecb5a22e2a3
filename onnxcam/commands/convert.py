"""`onnxcam convert`: the explain graph of a model, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxcam import console
from onnxcam.options import (
    SOURCE,
    AsJson,
    Building,
    Conversion,
    Describing,
    DynamicSize,
    Scoring,
    asked,
    expanded,
    refuse_own_source,
)

if TYPE_CHECKING:
    from onnxcam.metadata import Metadata

AddOutputs = Annotated[
    list[str] | None, typer.Option("--add-output", help="activation, gradient, raw_map, attribution: also give these.")
]


@expanded
def convert(
    source: Annotated[str, typer.Argument(help=SOURCE)],
    output: Annotated[Path, typer.Option("-o", "--output", help="The explain graph to write.")],
    *,
    building: Building,
    scoring: Scoring,
    describing: Describing,
    add_output: AddOutputs = None,
    multi_target: Annotated[bool, typer.Option("--multi-target", help="K targets an image in one run.")] = False,
    conversion: Conversion,
    dynamic_size: DynamicSize = False,
    as_json: AsJson = False,
) -> None:
    """Write the explain graph of a model: image in; scores, class and heatmap out."""
    from onnxcam import api
    from onnxcam.opening import refuse_explain_graph

    refuse_explain_graph(source)
    refuse_own_source(source, output)
    given = asked(outputs=add_output, dynamic_size=dynamic_size or None) | building.arguments()
    given |= scoring.arguments() | describing.arguments() | conversion.arguments()
    with console.without_native_noise():
        graph = api.convert(source, **given, multi_target=multi_target)
    graph.save(output)
    tell(graph.metadata, output, as_json=as_json)


def tell(found: Metadata, output: Path, *, as_json: bool) -> None:
    """What was chosen and what is fixed, on stderr; what was written, on stdout."""
    from onnxcam.opening import tell_label_list, tell_story

    tell_story(found)
    tell_label_list(found)
    if found.batch:
        console.note(f"the number of pictures in a run stays fixed: {found.batch}")
    if found.preprocessing is None:
        console.note("how pixels become input is not stored; --preprocess stores it, else it is said at every run")
    row: dict[str, Any] = {
        "output": str(output),
        "method": found.method,
        "layer": ", ".join(found.layers),
        "classes": found.classes,
    }
    if as_json and found.conversion:
        row["conversion"] = dict(found.conversion)
    console.show(row, as_json=as_json)
