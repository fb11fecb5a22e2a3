"""Models that a function of the user's makes: `package.module:function`."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from onnxcam.errors import InvalidSource

FORM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_factory(text: str) -> bool:
    """Whether the text has the form `package.module:function`."""
    return FORM.fullmatch(text) is not None


def call_factory(text: str) -> Any:
    """What the function named gives, called without arguments; modules of the current folder are found as well.

    Raises:
        InvalidSource: if there is no such module or function, or it wants arguments.
    """
    module_name, _, path = text.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
        for name in path.split("."):
            found = getattr(found, name)
        return found()
    except (ImportError, AttributeError, TypeError) as error:
        raise InvalidSource(text, f"{type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(here)
