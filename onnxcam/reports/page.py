"""The page itself: one HTML file that needs nothing else, and that a browser lets do nothing else."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from onnxcam.errors import MissingExtra
from onnxcam.files import write_whole
from onnxcam.legend import bar
from onnxcam.overlay import DEFAULT_COLORMAP
from onnxcam.reports.album import LOSSLESS, Album, Line, data_uri

EXTRA = "report"
ALPHA = 0.5  # how much of the heatmap an enlarged picture shows at first, 0 to 1, where nobody has said


def check_extra() -> None:
    """Refuses a page that could not be written at the end.

    Raises:
        MissingExtra: if Jinja is not installed.
    """
    if find_spec("jinja2") is None:
        raise MissingExtra("--report", EXTRA)


def save(album: Album, path: Path, *, title: str, facts: Sequence[tuple[str, str]], missing: int = 0) -> Path:
    """Where the page was written: whole or not at all. Arguments are those of `render`.

    Raises:
        CannotWriteFile: if it cannot be.
    """
    text = render(album, title=title, facts=facts, folder=path.parent, missing=missing)
    write_whole(path, text.encode(errors="replace"))
    return path


def render(
    album: Album, *, title: str, facts: Sequence[tuple[str, str]], folder: Path | None = None, missing: int = 0
) -> str:
    """The page's text.

    Args:
        album: what it shows.
        title: what was explained.
        facts: name and value of what should be known of the model and the run.
        folder: where the page will lie; with it, each line leads to its overlay.
        missing: how many pictures there would be more, had the run not been stopped.

    Raises:
        MissingExtra: if Jinja is not installed.
    """
    check_extra()
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    style, script = part("page.css"), part("page.js")
    shown = Counter(line.name for line in album.lines)
    return template.from_string(part("page.html")).render(
        title=title,
        facts=facts,
        style=Markup(style),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        policy=policy(style, script),
        rows=rows(album.lines, folder),
        how=sorted({f"{line.method} at {line.layer}" for line in album.lines if line.method and line.layer}),
        classes=sorted({line.label for line in album.lines if line.label}, key=str.casefold),
        statuses=Counter(line.status for line in album.lines),
        pictures=len(shown),
        missing=missing,
        # Only these few: each is a picture's address, which no JSON escape touches.
        data={"photos": album.photos, "heats": [line.heat for line in album.lines]},
        scale=data_uri(bar(128, 4, album.drawing.get("colormap", DEFAULT_COLORMAP)), LOSSLESS),
        alpha=album.drawing.get("alpha", ALPHA),
        blend=album.drawing.get("blend", "alpha"),
    )


def part(name: str) -> str:
    """One of the files that the page is made of."""
    return (files("onnxcam.reports") / name).read_text(encoding="utf-8")


def policy(style: str, script: str) -> str:
    """The content security policy: this style sheet and this script, pictures inside the page, and nothing else."""
    return (
        f"default-src 'none'; img-src data:; style-src '{digest(style)}'; script-src '{digest(script)}'; "
        f"base-uri 'none'; form-action 'none'"
    )


def digest(text: str) -> str:
    """The hash by which a policy knows a text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def rows(lines: Sequence[Line], folder: Path | None) -> list[dict[str, Any]]:
    """What the template shows of each line; names without the folder that all pictures lie in."""
    top = common_folder([line.name for line in lines])
    return [
        {
            "line": line,
            "folder": "" if Path(line.name).parent == top else shortened(Path(line.name).parent, top).as_posix(),
            "file": Path(line.name).name,
            "link": None if folder is None or line.file is None else link(line.file, folder),
        }
        for line in lines
    ]


def common_folder(names: Sequence[str]) -> Path | None:
    """The folder that all the pictures lie in or below; None where they share none."""
    try:
        return Path(os.path.commonpath([Path(name).parent for name in names]))
    except ValueError:  # no pictures, absolute and relative names, or two drives
        return None


def shortened(folder: Path, top: Path | None) -> Path:
    """The folder as seen from the top."""
    return folder if top is None else folder.relative_to(top)


def link(file: Path, folder: Path) -> str | None:
    """The file's address as seen from the folder; None where there is no way from one to the other."""
    try:
        # By its bytes: a name need not be text in any encoding.
        return quote(os.fsencode(Path(os.path.relpath(file, folder)).as_posix()))
    except ValueError:  # two drives
        return None
