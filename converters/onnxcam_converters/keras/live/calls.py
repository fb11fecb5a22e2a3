"""The calls of layers while a model is traced: which layer, under which name, gave which tensor."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

Enter = Callable[[str], AbstractContextManager[Any]]


class Calls:
    """What layers have given, by their paths: "conv", "base/conv"; of a second call "conv@2"."""

    def __init__(self, enter: Enter) -> None:
        self.outputs: dict[str, Any] = {}
        self._enter = enter
        self._open: list[str] = []
        self._depth = 0
        self._counts: Counter[str] = Counter()
        self._thread = threading.get_ident()

    def wrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The `__call__` of layers, which also keeps what they give."""

        def __call__(layer: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 - Keras reads the name
            if threading.get_ident() != self._thread:
                return original(layer, *args, **kwargs)
            with self._inside(layer.name) as path:
                outputs = original(layer, *args, **kwargs)
            if path:
                self.outputs[path] = outputs
            return outputs

        return __call__

    @contextlib.contextmanager
    def _inside(self, name: str) -> Iterator[str]:
        """The path of the layer that is being called; "" for the outermost, the model itself."""
        self._depth += 1
        path = "/".join([*self._open[-1:], name]) if self._depth > 1 else ""
        if path:
            number = self._counts[path]
            self._counts[path] += 1
            path = f"{path}@{number + 1}" if number else path
            self._open.append(path)
        try:
            with self._enter(path) if path else contextlib.nullcontext():
                yield path
        finally:
            self._depth -= 1
            if path:
                self._open.pop()


@contextlib.contextmanager
def recorded(base: type, enter: Enter) -> Iterator[Calls]:
    """The calls of layers while inside.

    Args:
        base: the class whose `__call__` all layers go through.
        enter: from a layer's path to a context in which it is called.
    """
    calls = Calls(enter)
    original = base.__call__
    base.__call__ = calls.wrap(original)  # type: ignore[assignment]
    try:
        yield calls
    finally:
        base.__call__ = original  # type: ignore[method-assign]
