"""`onnxcam explain`: a heatmap for each picture and target."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from onnxcam import console
from onnxcam.options import (
    Alpha,
    AsJson,
    Channels,
    ChannelView,
    Check,
    Colormap,
    Folder,
    Groups,
    InputSize,
    KeepOutputs,
    Labels,
    Layers,
    Legend,
    Like,
    MethodName,
    MethodOptions,
    Normalize,
    OtherInputs,
    Preprocess,
    Pretrained,
    Providers,
    Reference,
    Region,
    Report,
    Score,
    TargetBox,
    Targets,
    Threads,
    Weights,
    Wrap,
    asked,
    check_drawing,
    conversion,
    pointing,
    refuse_of_arrays,
    target_of,
    wishes,
)


def explain(
    model: Annotated[str, typer.Argument(help="An explain graph, or a model, which is converted on the fly.")],
    images: Annotated[list[str], typer.Argument(help="Pictures, folders or globs; of signals and volumes .npy files.")],
    output: Folder = Path(),
    target: Targets = None,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="The K best classes of each picture.")] = 0,
    alpha: Alpha = 0.5,
    colormap: Colormap = None,
    blend: Annotated[str | None, typer.Option("--blend", help="How they mix: alpha, add, pytorch-grad-cam.")] = None,
    contour: Annotated[bool, typer.Option("--contour", help="Outline the hot region.")] = False,
    box: Annotated[bool, typer.Option("--box", help="A box around the hot region.")] = False,
    legend: Legend = False,
    save_heatmap: Annotated[bool, typer.Option("--save-heatmap", help="Also write STEM.npy, float32, H×W.")] = False,
    channels: Channels = 0,
    channel_view: ChannelView = None,
    report: Report = None,
    target_box: TargetBox = None,
    region: Region = None,
    reference: Reference = None,
    other_input: OtherInputs = None,
    every: Annotated[int, typer.Option("--every", min=1, help="Of a film every so many frames.")] = 1,
    layer: Layers = None,
    method: MethodName = None,
    option: MethodOptions = None,
    like: Like = None,
    wrap: Wrap = None,
    score: Score = None,
    group: Groups = None,
    normalize: Normalize = None,
    preprocess: Preprocess = None,
    labels: Labels = None,
    provider: Providers = None,
    threads: Threads = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    input_size: InputSize = None,
    keep_output: KeepOutputs = None,
    check: Check = True,
    as_json: AsJson = False,
) -> None:
    """Draw where the model looked, for each picture and target: STEM.cam.png, or STEM.CLASS.cam.png for several.

    Films (.mp4, .mov …) become films: STEM.cam.webm.
    """
    from onnxcam.folders import Style, explain_jobs, make_folder
    from onnxcam.footage import explain_films, is_film
    from onnxcam.jobs import ARRAYS, SUFFIXES, find_jobs
    from onnxcam.metadata import is_explain_graph
    from onnxcam.opening import open_explainer, parts_for
    from onnxcam.reports.keeping import check_report, reported

    check_drawing(colormap, blend, channel_view)
    if channel_view and not channels:
        raise typer.BadParameter("it needs --channels K", param_hint="--channel-view")
    check_report(report)
    films = [Path(name) for name in images if is_film(name)]
    pictures = [name for name in images if not is_film(name)]
    if pictures or not films:
        find_jobs(pictures, output, suffixes=SUFFIXES | ARRAYS)  # what is not there is said before any work is done
    targets = [target_of(text) for text in target or []] + [-rank for rank in range(1, top_k + 1)]
    build = asked(layer=layer, method=method, score=score, normalize=normalize) | conversion(
        weights=weights,
        pretrained=pretrained,
        input_size=input_size,
        dynamic_size=False,
        keep_outputs=keep_output,
        check=check,
    )
    wished, asking = (
        wishes(like=like, option=option, group=group, wrap=wrap),
        pointing(target_box=target_box, region=region, reference=reference, inputs=other_input),
    )
    if is_explain_graph(model) and "options" in wished:
        asking["options"] = wished.pop("options")  # of the method of many passes that the graph is for
    build |= wished
    run = asked(preprocess=preprocess, labels=labels, providers=provider, threads=threads)
    if channels and not is_explain_graph(model):
        build["outputs"] = parts_for(method)
    explainer = open_explainer(model, build, run, several=len(targets) > 1, targets=targets)
    if explainer.form is not None:
        only_pictures = {"--contour": contour, "--box": box, "--blend": blend, "--channels": channels}
        refuse_of_arrays(only_pictures | {"--report": report, "a film": films}, explainer.form.wanted)
    jobs = find_jobs(pictures, output, suffixes=ARRAYS if explainer.form else SUFFIXES) if pictures else []
    for entry in targets:
        explainer.classes.number(entry)  # a class that does not exist is one error, not one a picture
    make_folder(output)
    style = Style(
        alpha,
        colormap,
        blend,
        contour=contour,
        box=box,
        legend=legend,
        save_heatmap=save_heatmap,
        channels=channels,
        channel_view=channel_view,
    )
    many = {"pictures": len(jobs), "targets": max(1, len(targets))}
    is_long = explainer.metadata.driver is not None
    with (
        console.without_native_noise(),
        reported(report, explainer, model=model, style=style, **many, as_json=as_json) as page,
        console.passes(is_shown=is_long) as progress,
    ):
        if progress is not None:
            asking["progress"] = progress
        results = chain(
            page.watch(explain_jobs(explainer, jobs, targets, style, keep=page.keep, asking=asking)),
            explain_films(explainer, films, output, targets, style=style, every=every, asking=asking),
        )
        count = len(jobs) + len(films)
        console.report(results if is_long else console.progress(results, count), count, as_json=as_json)
