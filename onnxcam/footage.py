"""Films explained: every frame's heatmap laid over it, and a film of that written for each target."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxcam.errors import OnnxCamError
from onnxcam.explanation import INTERRUPTED
from onnxcam.folders import make_folder
from onnxcam.images import Image
from onnxcam.records import Failure, Record, Style
from onnxcam.video import SUFFIXES, FilmWriter, film_writer, frames, open_film

if TYPE_CHECKING:
    from onnxcam.engine import Explainer
    from onnxcam.explanation import Explanation


NOTHING = np.zeros((0, 0), np.float32)


def is_film(source: str) -> bool:
    """Whether it is the name of a film."""
    return Path(source).suffix.lower() in SUFFIXES


def explain_films(
    explainer: Explainer,
    films: Sequence[Path],
    folder: Path,
    targets: Sequence[Any],
    *,
    style: Style,
    every: int = 1,
    asking: Mapping[str, Any] | None = None,
) -> Iterator[list[Record] | Failure]:
    """For each film the records of those written, one a target; or why there are none.

    What is written runs as long as the film: of every so many frames one, at so much lower a rate. When a
    KeyboardInterrupt comes, what is written by then is a film that can be played.
    """
    make_folder(folder)
    for film in films:
        try:
            yield _explain_film(explainer, film, folder, list(targets) or [-1], style=style, every=every, asking=asking)
        except OnnxCamError as error:
            yield Failure(str(film), error)


def _explain_film(
    explainer: Explainer,
    film: Path,
    folder: Path,
    targets: Sequence[Any],
    *,
    style: Style,
    every: int,
    asking: Mapping[str, Any] | None,
) -> list[Record]:
    rate, started = open_film(film).frames_per_s / every, time.perf_counter()
    seen: list[list[Explanation]] = [[] for _ in targets]
    with ExitStack() as stack:
        writers = [stack.enter_context(film_writer(folder / name, rate)) for name in _names(film, len(targets))]
        for _, frame in frames(film, every):
            for place, explanation in enumerate(_explain_frame(explainer, frame, targets, asking or {})):
                writers[place].write(explanation.overlay(**style.drawing()).array)
                # Pictures and maps of a whole film are gigabytes.
                seen[place].append(replace(explanation, heatmap=NOTHING, map=NOTHING, image=NOTHING.astype(np.uint8)))
    ms = (time.perf_counter() - started) * 1000 / max(1, sum(map(len, seen)))
    return [_record(film, writer, those, ms) for writer, those in zip(writers, seen, strict=True)]


def _names(film: Path, count: int) -> list[str]:
    """Names of the films written, without suffix; several are numbered in the order of the targets."""
    return [f"{film.stem}.cam"] if count == 1 else [f"{film.stem}.{place}.cam" for place in range(1, count + 1)]


def _explain_frame(
    explainer: Explainer, frame: Image, targets: Sequence[Any], asking: Mapping[str, Any]
) -> Sequence[Explanation]:
    """One explanation a target.

    Raises:
        KeyboardInterrupt: also if it left a method of many passes with half a map.
    """
    if explainer.metadata.multi_target:
        several: Sequence[Explanation] = explainer(frame, list(targets), **asking)
        return whole(several)
    return [one for target in targets for one in whole([explainer(frame, target, **asking)])]


def whole(found: Sequence[Explanation]) -> Sequence[Explanation]:
    """The explanations, if they were not stopped: half a map is no frame.

    Raises:
        KeyboardInterrupt: if they were.
    """
    if found[-1].status == INTERRUPTED:
        raise KeyboardInterrupt
    return found


def _record(film: Path, writer: FilmWriter, seen: Sequence[Explanation], ms: float) -> Record:
    """One line about a film: the class that most frames had, the mean of its score, and how many maps are no good."""
    index, _ = Counter(one.target_index for one in seen).most_common(1)[0]
    same = [one for one in seen if one.target_index == index]
    bad = [one for one in seen if one.status != "ok"]
    return Record(
        image=str(film),
        output=str(writer.path),
        heatmap=None,
        target_index=index,
        label=same[0].label,
        score=sum(one.target_score for one in same) / len(same),
        method=same[0].method,
        layer=same[0].layer,
        status=bad[0].status if len(bad) == len(seen) else "ok",
        ms=round(ms, 2),
        reason=f"{len(bad)} of {len(seen)} frames have no map that can be used: {bad[0].reason}" if bad else "",
    )
