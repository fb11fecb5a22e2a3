"""The report of a folder: what is in the file, and when it is written."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import Command, bytes_at, colour_graph, photo
from explain_graphs import DARK_IS_NAN

from onnxcam.engine import Explainer
from onnxcam.reports import Album, Line, page, render, save
from onnxcam.reports.album import SMALLEST, size_for

EVIL = '<script>alert("x")<.png'


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    pytest.importorskip("jinja2")
    return Command(monkeypatch, capsys)


class Outline(HTMLParser):
    """Tags with their attributes, the text of the table's rows, and the data block."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[str] = []
        self.data = ""
        self._is_data = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append("")
        self._is_data = tag == "script" and dict(attrs).get("id") == "data"

    def handle_data(self, text: str) -> None:
        if self._is_data:
            self.data += text
        if self.rows:
            self.rows[-1] += " ".join([*text.split(), ""])


def outline(path: Path) -> Outline:
    return Outline(path.read_text(encoding="utf-8"))


def pixels(uri: str) -> np.ndarray[Any, Any]:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/webp;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def test_a_folder_of_results_becomes_one_page_with_a_row_for_each_heatmap(tmp_path: Path, command: Command):
    for name in ("a.png", "sub/b.png"):
        photo(tmp_path / "in" / name)
    path = tmp_path / "out" / "report.html"
    where = ["-o", tmp_path / "out", "--report", path]
    ran = command("explain", colour_graph(tmp_path), tmp_path / "in", *where, "--top-k", "2")
    assert (ran.code, ran.out[-1]) == (0, str(path))
    found = outline(path)
    assert [tag for tag, given in found.tags if "data-row" in given] == ["tr"] * 4
    assert "red, scarlet" in found.rows[1]
    assert "0.7843 ok gradcam layer4" in found.rows[1]
    assert [given["href"] for tag, given in found.tags if tag == "a"][1:3] == ["a.0.cam.png", "a.1.cam.png"]
    assert (path.parent / "a.0.cam.png").is_file()


def test_json_names_the_report(tmp_path: Path, command: Command):
    photo(tmp_path / "a.png")
    given = ["-o", tmp_path / "out", "--report", tmp_path / "r.html", "--json"]
    ran = command("explain", colour_graph(tmp_path), tmp_path / "a.png", *given)
    assert json.loads(ran.out[-1]) == {"report": str(tmp_path / "r.html")}


def test_pictures_inside_the_page_are_the_photo_the_heatmap_and_the_overlay(tmp_path: Path, command: Command):
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[:, 40:] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    given = ["--colormap", "hot", "--report", tmp_path / "r.html", "-o", tmp_path]
    assert command("explain", colour_graph(tmp_path), tmp_path / "a.png", *given).code == 0
    found = outline(tmp_path / "r.html")
    data = json.loads(found.data)
    (thumb,) = [given["src"] for tag, given in found.tags if given.get("loading") == "lazy"]
    blue, heat = pixels(data["photos"][0]), pixels(data["heats"][0])
    np.testing.assert_allclose(blue[30, 70], (0, 0, 255), atol=12)
    np.testing.assert_allclose(heat[30, 75], (255, 255, 255), atol=6)
    np.testing.assert_allclose(heat[30, 5], (0, 0, 0), atol=6)
    np.testing.assert_allclose(pixels(thumb)[30, 5], (0, 0, 0), atol=6)
    np.testing.assert_allclose(pixels(thumb)[30, 75], (128, 128, 255), atol=16)


def test_a_photo_with_several_heatmaps_is_in_the_page_once(tmp_path: Path, command: Command):
    photo(tmp_path / "a.png")
    given = ["--top-k", "3", "--report", tmp_path / "r.html", "-o", tmp_path / "out"]
    assert command("explain", colour_graph(tmp_path), tmp_path / "a.png", *given).code == 0
    data = json.loads(outline(tmp_path / "r.html").data)
    assert (len(data["photos"]), len(data["heats"])) == (1, 3)


def test_names_and_labels_are_text_and_nothing_else(tmp_path: Path, command: Command):
    photo(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / EVIL)
    bytes_at(tmp_path / "in" / "<img src=x onerror=alert(2)>.png", b"no picture")
    labels = ["</script><b>red", "green", "blue"]
    model = colour_graph(tmp_path, labels=labels)
    ran = command("explain", model, tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.html")
    assert ran.code == 1
    found = outline(tmp_path / "r.html")
    assert [given for tag, given in found.tags if tag == "script"][1:] == [{}]
    assert not [tag for tag, _ in found.tags if tag == "b"]
    assert not [given for _, given in found.tags if "onerror" in given]
    rows = " ".join(found.rows)
    assert EVIL in rows
    assert labels[0] in rows


def test_the_page_may_load_nothing_and_run_nothing_but_its_own_script(tmp_path: Path):
    pytest.importorskip("jinja2")
    text = render(Album(), title="m", facts=[])
    (policy,) = [given["content"] for tag, given in Outline(text).tags if "Content-Security-Policy" in given.values()]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert page.digest(script) in policy
    assert not re.findall(r"https?://|\beval\(|innerHTML|new Function", text)


def test_failed_pictures_are_listed_with_the_reason(tmp_path: Path, command: Command):
    photo(tmp_path / "in" / "good.png")
    bytes_at(tmp_path / "in" / "bad.png", b"not a picture")
    path = tmp_path / "r.html"
    ran = command("explain", colour_graph(tmp_path), tmp_path / "in", "-o", tmp_path / "out", "--report", path)
    assert ran.code == 1
    bad, good = outline(path).rows[1:3]
    assert "bad.png" in bad
    assert "is not a picture in a format" in bad
    assert "good.png" in good


def test_degenerate_maps_come_with_their_reason(tmp_path: Path, command: Command):
    photo(tmp_path / "dark.png", bgr=(0, 0, 0))
    model = colour_graph(tmp_path, ending=DARK_IS_NAN)
    assert command("explain", model, tmp_path / "dark.png", "-o", tmp_path, "--report", tmp_path / "r.html").code == 0
    row = outline(tmp_path / "r.html").rows[1]
    assert "not-finite" in row
    assert "values of the map are not finite" in row


def test_an_interrupted_run_leaves_a_page_of_what_is_done(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    for name in ("a.png", "b.png", "c.png"):
        photo(tmp_path / "in" / name)
    call = Explainer.__call__

    def interrupted(self: Explainer, image: Path, *given: object, **more: Any) -> object:
        if image.name == "b.png":
            raise KeyboardInterrupt
        return call(self, image, *given, **more)

    monkeypatch.setattr(Explainer, "__call__", interrupted)
    path = tmp_path / "r.html"
    ran = command("explain", colour_graph(tmp_path), tmp_path / "in", "-o", tmp_path / "out", "--report", path)
    assert ran.code == 130
    text = path.read_text(encoding="utf-8")
    assert "a.png" in text
    assert "b.png" not in text
    assert "interrupted: 2 pictures are not in here" in text


def test_model_and_run_are_described(tmp_path: Path, command: Command):
    photo(tmp_path / "a.png")
    model = colour_graph(tmp_path, source={"file": "net.onnx", "sha256": "c0ffee" * 10})
    command("explain", model, tmp_path / "a.png", "-o", tmp_path, "--report", tmp_path / "r.html")
    text = html.unescape(re.sub(r"<[^>]*>", " ", (tmp_path / "r.html").read_text(encoding="utf-8")))
    for fact in ("net.onnx", "c0ffee" * 10, "layer4", '"scale": 0.00392', "ONNX Runtime", "onnxcam 0."):
        assert fact in text


def test_a_report_that_is_no_page_is_refused_before_any_work(tmp_path: Path, command: Command):
    path = photo(tmp_path / "a.jpg")
    before = path.read_bytes()
    ran = command("explain", colour_graph(tmp_path), path, "-o", tmp_path / "out", "--report", path)
    assert (ran.code, len(ran.err)) == (1, 1)
    assert "Name it …/report.html" in ran.err[0]
    assert path.read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_a_missing_jinja_is_said_before_any_work(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "find_spec", lambda _: None)
    path = photo(tmp_path / "a.jpg")
    ran = command("explain", colour_graph(tmp_path), path, "-o", tmp_path / "out", "--report", tmp_path / "r.html")
    assert ran.err == [
        "error: --report needs a package that is not installed. Get it by: pip install 'onnxcam[report]'"
    ]
    assert not (tmp_path / "out").exists()


def test_the_more_heatmaps_the_smaller_their_pictures():
    sizes = [size_for(count) for count in (1, 100, 1000, 4000, 100_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == SMALLEST
    # A picture of that size is at most a byte for ten pixels: a thousand of them are a page that still opens.
    assert 1000 * size_for(1000) ** 2 * 2 / 10 * 4 / 3 < 60e6


def test_names_are_shown_from_the_folder_that_all_share(tmp_path: Path):
    assert page.common_folder(["/x/in/a.png", "/x/in/sub/b.png"]) == Path("/x/in")
    assert page.common_folder(["in/a.png", "/x/b.png"]) is None
    assert page.link(Path("/x/out/a b#.cam.png"), Path("/x/pages")) == "../out/a%20b%23.cam.png"


def test_a_file_name_that_is_no_text_is_in_the_page_too(tmp_path: Path):
    pytest.importorskip("jinja2")
    name = os.fsdecode(b"in/caf\xe9.png")
    album = Album(lines=[Line(name=name, file=Path(os.fsdecode(b"out/caf\xe9.cam.png")), status="ok")])
    path = save(album, tmp_path / "r.html", title="m", facts=[])
    found = Outline(path.read_text(encoding="utf-8"))
    assert "caf?.png" in found.rows[1]
    assert [given["href"] for tag, given in found.tags if tag == "a"][1].endswith("out/caf%E9.cam.png")


def test_long_times_are_whole_milliseconds():
    pytest.importorskip("jinja2")
    album = Album(lines=[Line(name="a.png", status="ok", ms=ms) for ms in (2351.7, 12.345)])
    rows = Outline(render(album, title="m", facts=[])).rows
    assert "2352 ms" in rows[1]
    assert "12.3 ms" in rows[2]
