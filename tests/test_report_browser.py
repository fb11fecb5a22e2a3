"""The report in a browser: what a person does with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Page, opened
from explain_graphs import colours

from onnxcam.engine import Explainer
from onnxcam.reports import Album, save

EVIL = '<script>document.title = "taken"<img src=x onerror="document.title = 1">.png'
# name, red, green, blue from 0 to 255: their means are the scores
PHOTOS = {"p10.png": (200, 40, 10), "p9.png": (30, 90, 60), "Äpfel.png": (5, 6, 250), EVIL: (120, 100, 90)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("jinja2")
    album = Album(size=200)
    explainer = Explainer(colours(multi_target=True).SerializeToString(), threads=1)
    for name, rgb in PHOTOS.items():
        image = np.broadcast_to(np.array(rgb, np.uint8), (30, 40, 3)).copy()
        for ms, found in enumerate(explainer(image, [-1, -2]), start=1):
            album.add(f"in/{name}", found, ms=float(ms))
    album.fail("in/broken.png", "it is <b>empty</b>")
    return save(album, tmp_path_factory.mktemp("report") / "r.html", title="colours.onnx", facts=[("Model", "<i>m")])


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with opened() as browser:
        yield browser


@pytest.fixture
def page(driver: Any, report: Path) -> Iterator[Page]:
    shown = Page(driver, report)
    yield shown
    assert shown.complaints() == []
    assert [url for url in shown.requested() if url != report.as_uri()] == []


def names(page: Page) -> list[str]:
    return page.texts("tbody .file")


def scores(page: Page) -> list[str]:
    return page.texts("tbody td[data-key=score]")


def test_all_heatmaps_are_there_in_the_order_of_the_run(page: Page):
    assert names(page) == [name for name in PHOTOS for _ in range(2)] + ["broken.png"]
    assert page.one("#count").text == "9 rows"


def test_a_name_full_of_markup_is_shown_and_not_run(page: Page):
    assert EVIL in names(page)
    page.click(".enlarge", at=6)
    assert page.one("#viewer h2").text == EVIL
    assert page.driver.title == "colours.onnx: where the model looked"
    assert page.all("b, i") == []


def test_scores_sort_by_number_the_highest_first_and_then_the_lowest(page: Page):
    page.click("th[data-key=score] button")
    down = scores(page)
    assert down[:8] == sorted(down[:8], key=float, reverse=True)
    assert page.one("th[data-key=score]").get_attribute("aria-sort") == "descending"
    page.click("th[data-key=score] button")
    up = scores(page)
    assert up[:8] == down[:8][::-1]
    assert up[8] == down[8] == "–", "what has no score is last either way"


def test_names_sort_as_people_count(page: Page):
    page.click("th[data-key=name] button")
    found = list(dict.fromkeys(names(page)))
    assert found.index("p9.png") < found.index("p10.png")
    assert found.index("Äpfel.png") < found.index("broken.png")


@pytest.mark.parametrize("key", "name class score status method layer time".split())
def test_every_column_sorts(page: Page, key: str):
    page.click(f"th[data-key={key}] button")
    first = page.script(f"return [...document.querySelectorAll('tbody td[data-key={key}]')].map(td => td.innerText)")
    page.click(f"th[data-key={key}] button")
    assert page.one(f"th[data-key={key}]").get_attribute("aria-sort") is not None
    assert len(page.all("th[aria-sort]")) == 1
    assert sorted(first) == sorted(page.texts(f"tbody td[data-key={key}]"))


def test_rows_are_filtered_by_text_class_status_and_score(page: Page):
    page.choose("#text", "P9 green")
    assert names(page) == ["p9.png"]
    page.choose("#text", "")
    page.choose("#class", "blue, navy")
    assert set(page.texts("tbody td[data-key=class] span:first-child")) == {"blue, navy"}
    page.choose("#class", "")
    page.choose("#status", "failed")
    assert names(page) == ["broken.png"]
    page.choose("#status", "")
    page.choose("#low", "0.2")
    page.choose("#high", "0.5")
    assert scores(page)
    assert all(0.2 <= float(score) <= 0.5 for score in scores(page))


def test_a_filter_that_nothing_fits_says_so_and_reset_brings_all_back(page: Page):
    page.click("th[data-key=name] button")
    page.choose("#text", "nowhere")
    assert page.one("#none").text == "No heatmap fits these filters."
    page.click("#start-over")
    assert names(page)[:2] == ["p10.png", "p10.png"]
    assert page.one("#count").text == "9 rows"


def test_a_click_enlarges_and_arrows_and_escape_lead_on_and_out(page: Page):
    page.click(".enlarge", at=1)
    assert page.one("#viewer .place").text == "2 / 8"
    assert page.one("#viewer h2").text == "p10.png"
    page.press("\ue014")  # arrow right
    assert page.one("#viewer h2").text == "p9.png"
    page.press("\ue012")  # arrow left
    page.press("\ue012")
    assert page.one("#viewer .place").text == "1 / 8"
    page.press("\ue012")
    assert page.one("#viewer .place").text == "1 / 8"
    for _ in range(3):
        page.press("\ue014")
    page.press("\ue00c")  # escape
    assert page.all("#viewer") == []
    focused = page.driver.switch_to.active_element
    assert "p9.png" in focused.get_attribute("aria-label"), "the focus goes to the one that was shown last"


def test_the_viewer_goes_through_what_is_filtered_in_the_order_it_is_sorted(page: Page):
    page.choose("#class", "red, scarlet")
    page.click("th[data-key=score] button")
    page.click(".enlarge")
    first = page.one("#viewer h2").text
    page.click("#viewer .next")
    assert [first, page.one("#viewer h2").text] == names(page)[:2] == ["p10.png", EVIL]


@pytest.mark.parametrize("dialog", ["#viewer", "#side"])
def test_pictures_are_drawn_one_over_the_other(page: Page, dialog: str):
    page.click(".enlarge")
    if dialog == "#side":
        page.click("#viewer .siblings")
    page.script("await Promise.all([...document.querySelectorAll('dialog[open] img')].map(img => img.decode()))")
    boxes = page.script(
        "return [...document.querySelector(arguments[0] + ' .stack').querySelectorAll('img')].map(img => "
        "[img.naturalWidth, img.naturalHeight, ...Object.values(img.getBoundingClientRect().toJSON())])",
        dialog,
    )
    assert boxes[0] == boxes[1]
    assert boxes[0][:2] == [40, 30]


def test_the_slider_goes_from_the_photo_to_the_heatmap(page: Page):
    page.click(".enlarge")
    opacity = "return document.querySelector('#viewer .heat').style.opacity"
    assert float(page.script(opacity)) == 0.5
    for value in ("0", "100", "30"):
        page.choose("#viewer .blend input", value)
        assert float(page.script(opacity)) == int(value) / 100
    page.click("#viewer .next")
    assert float(page.script(opacity)) == 0.3, "it stays for the next picture"


def test_arrows_on_the_slider_move_the_slider(page: Page):
    page.click(".enlarge")
    page.one("#viewer .blend input").send_keys("\ue014")
    assert page.one("#viewer .place").text == "1 / 8"
    assert page.one("#viewer .blend input").get_attribute("value") == "51"


def test_chosen_rows_are_shown_side_by_side(page: Page):
    page.click("tbody .pick input", at=0)
    assert not page.one("#open-side").is_enabled(), "one alone has no side"
    page.click("tbody .pick input", at=3)
    page.click("#open-side")
    assert page.texts("#side h2") == ["p10.png", "p9.png"]
    left, right = page.all("#side .stack")
    assert left.rect["y"] == right.rect["y"]
    assert left.rect["x"] + left.rect["width"] <= right.rect["x"]
    page.choose("#side .blend input", "80")
    found = page.script("return [...document.querySelectorAll('#side .heat')].map(img => img.style.opacity)")
    assert found == ["0.8", "0.8"]
    page.press("\ue00c")
    page.click("#clear")
    assert page.all("#tray") == []


def test_side_by_side_tells_class_score_and_what_differs(page: Page):
    page.click("tbody .pick input", at=0)
    page.click("tbody .pick input", at=1)
    page.click("#open-side")
    assert page.texts("#side .pane:first-child dt") == ["Class", "Score", "Time"]


def test_all_heatmaps_of_one_picture_are_a_click_away(page: Page):
    page.click(".enlarge", at=3)
    page.click("#viewer .siblings")
    assert page.texts("#side h2") == ["p9.png", "p9.png"]


def test_the_gallery_shows_the_same_rows_as_cards(page: Page):
    page.click(".views label:last-of-type")
    assert names(page)[:2] == ["p10.png", "p10.png"]
    first, second = page.all("tbody tr")[:2]
    assert first.rect["y"] == second.rect["y"]
    page.click("th[data-key=name] button")
    assert names(page)[0] != "p10.png"


def test_the_dark_theme_follows_the_system(page: Page):
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = page.script(colour)
    theme = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", theme)
    assert page.script(colour) != light
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_everything_that_can_be_used_has_a_name(page: Page):
    page.click(".enlarge")
    nameless = page.script(
        "return [...document.querySelectorAll('button, input, select')].filter(e => !(e.textContent.trim() ||"
        " e.getAttribute('aria-label') || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert nameless == []
    assert page.script("return [...document.querySelectorAll('#viewer img')].every(img => img.alt !== '')")
