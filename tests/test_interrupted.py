"""Ctrl-C: what is done is kept, the rest is said to be missing, and the shell gets its code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Command, colour_graph, photo
from explain_graphs import colours
from numpy.typing import NDArray

from onnxcam import Explainer, Interrupted
from onnxcam.footage import explain_films
from onnxcam.records import Style
from onnxcam.signature import Signature
from onnxcam.video import film_writer, frames

RISE = {"name": "rise", "options": {"masks": 100}}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes Ctrl-C come once, after so many runs of the graph."""
    run = Signature.run

    def stop(count: int) -> None:
        calls: list[int] = []

        def counted(self: Signature, *given: Any) -> Any:
            calls.append(1)
            if len(calls) == count + 1:
                raise KeyboardInterrupt
            return run(self, *given)

        monkeypatch.setattr(Signature, "run", counted)

    return stop


def photos(count: int) -> list[NDArray[np.uint8]]:
    return [np.full((8, 8, 3), (200, 30 * number, 10), np.uint8) for number in range(count)]


def test_of_a_list_the_finished_pictures_come_with_the_exception(stop_after: Callable[[int], None]):
    explain, pictures = Explainer(colours().SerializeToString()), photos(4)
    stop_after(2)
    with pytest.raises(KeyboardInterrupt, match="2 of 4 are explained") as stopped:
        explain(pictures, batch_size=1)
    assert isinstance(stopped.value, Interrupted)
    assert len(stopped.value.done) == 2
    for given, found in zip(pictures, stopped.value.done, strict=False):
        np.testing.assert_array_equal(found.image, given)


def test_many_passes_that_had_not_begun_leave_the_pictures_before_them(stop_after: Callable[[int], None]):
    explain = Explainer(colours(driver={"name": "rise", "options": {"masks": 8}}).SerializeToString())
    stop_after(4)  # one run says the class, one the masks: the third picture has not begun
    with pytest.raises(Interrupted) as stopped:
        explain(photos(4), batch_size=8)
    assert [found.status for found in stopped.value.done] == ["ok", "ok"]


def test_of_several_targets_those_that_are_finished_are_kept(stop_after: Callable[[int], None]):
    explain = Explainer(colours(multi_target=True, driver=RISE).SerializeToString())
    stop_after(1 + 13)
    with pytest.raises(Interrupted, match="1 of 3") as stopped:
        explain(photos(1)[0], ["red", "green", "blue"])
    assert [found.name for found in stopped.value.done] == ["red, scarlet"]


def test_with_nothing_finished_it_is_a_plain_keyboard_interrupt(stop_after: Callable[[int], None]):
    stop_after(0)
    with pytest.raises(KeyboardInterrupt) as stopped:
        Explainer(colours().SerializeToString())(photos(2))
    assert not isinstance(stopped.value, Interrupted)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return [photo(tmp_path / "in" / f"{name}.png") for name in "abc"]


def test_many_passes_stopped_at_the_first_picture_say_how_many_are_missing(
    tmp_path: Path, pictures: list[Path], command: Command, stop_after: Callable[[int], None]
):
    pytest.importorskip("jinja2")
    stop_after(3)
    page, graph = tmp_path / "r.html", colour_graph(tmp_path, driver=RISE)
    ran = command("explain", graph, *pictures, "-o", tmp_path / "out", "--json", "--report", page)
    assert ran.code == 130
    assert ran.err[-1] == "interrupted: 1 of 3 pictures are explained and kept, 2 are not done"
    first, second = map(json.loads, ran.out)
    assert (first["status"], first["report"]["passes"], second) == ("interrupted", 16, {"report": str(page)})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.cam.png"]
    assert "interrupted: 2 pictures are not in here" in page.read_text()


@pytest.mark.parametrize("is_multi", [True, False], ids=["together", "one by one"])
def test_the_targets_that_are_done_keep_their_names(
    tmp_path: Path, pictures: list[Path], command: Command, stop_after: Callable[[int], None], is_multi: bool
):
    stop_after(1 + 13)  # the class, then the masks in batches of eight: the second target has not begun
    graph = colour_graph(tmp_path, driver=RISE, multi_target=is_multi)
    ran = command("explain", graph, *pictures, "-o", tmp_path / "out", "--target", "red", "--target", "blue")
    assert ran.code == 130
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.0.cam.png"]
    said = "interrupted: 0 of 3 pictures are explained and kept, one with 1 of its 2 targets, 2 are not done"
    assert ran.err[-1] == said


def test_a_film_whose_frame_is_stopped_ends_there(tmp_path: Path, stop_after: Callable[[int], None]):
    with film_writer(tmp_path / "film", 10.0) as writer:
        for _ in range(4):
            writer.write(np.full((32, 32, 3), 90, np.uint8))
    explain = Explainer(colours(driver={"name": "rise", "options": {"masks": 16}}).SerializeToString())
    stop_after(3 + 2)  # the second frame has had one of two batches
    with pytest.raises(KeyboardInterrupt):
        list(explain_films(explain, [writer.path], tmp_path / "out", ["red"], style=Style()))
    (film,) = (tmp_path / "out").iterdir()
    assert len(list(frames(film))) == 1
